//! What a look at the directory does to the keys.

use sealgate_envelope::KeyServiceFailure;

use super::*;
use crate::auth::Origin;
use crate::credentials::{Moment, SealedSecret};

const ONE: &str = "SGAKAAAAAAAAAAAAAAAA";
const TWO: &str = "SGAKBBBBBBBBBBBBBBBB";

fn file(id: &str) -> CredentialFile {
    let secret = SealedSecret {
        header: "aGVhZGVy".to_owned(),
        body: "Ym9keQ".to_owned(),
    };
    CredentialFile::new("app", id.to_owned(), Moment::now(), secret)
}

/// A look that finds these, all of them new.
fn looked(found: Vec<(&str, u64, Result<CredentialFile, String>)>) -> Looked {
    let mut look = Look::default();
    let changed = found
        .into_iter()
        .map(|(name, length, read)| {
            let mark = Some((1, 1, length, 1, 1));
            look.files.insert(name.to_owned(), mark);
            (name.to_owned(), mark, read)
        })
        .collect();
    (look, changed)
}

/// As if the key service had opened all of them.
fn open_all(found: &mut Found) {
    for (name, key) in &mut found.keys {
        if matches!(key.opening, Opening::Due(..)) {
            let secret = SecretAccessKey::new("secret");
            let entry = Arc::new(Entry::new(name, "app", secret));
            key.opening = Opening::Running(RETRY.0);
            let ends = key.file.as_ref().and_then(ends);
            key.standing = Some(Standing::Works { entry, ends });
            key.opening = Opening::None;
        }
    }
}

fn works(keys: &StoredKeys, id: &str) -> bool {
    matches!(keys.standing(id), Some(Standing::Works { .. }))
}

#[test]
fn a_revocation_waits_for_no_secret() {
    let keys = StoredKeys::default();
    let mut found = Found::default();
    found.take(looked(vec![(ONE, 1, Ok(file(ONE)))]));
    open_all(&mut found);
    found.publish(&keys);
    assert!(works(&keys, ONE) && !keys.is_lacking());
    // Another one comes that nobody opens, and the first is revoked meanwhile, by either file.
    let mut revoked = file(ONE);
    revoked.revoke(Moment::now());
    let mut by_file = looked(vec![(ONE, 2, Ok(revoked)), (TWO, 1, Ok(file(TWO)))]);
    found.take(by_file.clone());
    found.publish(&keys);
    assert!(!works(&keys, ONE) && keys.is_lacking());
    assert_eq!(keys.origin(ONE), Origin::TakenBack);
    assert_eq!(keys.origin(TWO), Origin::Good);
    let mut found = Found::default();
    by_file.1 = vec![(ONE.to_owned(), None, Err("cut off".to_owned()))];
    by_file.0.revoked.insert(ONE.to_owned());
    found.take(by_file);
    found.publish(&keys);
    assert_eq!(keys.origin(ONE), Origin::TakenBack);
}

#[test]
fn a_file_that_says_nothing_takes_nothing_away_and_one_that_is_gone_does() {
    let keys = StoredKeys::default();
    let mut found = Found::default();
    found.publish(&keys);
    assert!(keys.is_lacking());
    assert_eq!(keys.origin(ONE), Origin::Unknown);
    found.take(looked(vec![(ONE, 1, Ok(file(ONE)))]));
    open_all(&mut found);
    found.take(looked(vec![(ONE, 2, Err("cut off".to_owned()))]));
    found.publish(&keys);
    assert!(works(&keys, ONE));
    // Of one that never said anything, nobody knows whether it was revoked.
    found.take(looked(vec![
        (ONE, 3, Ok(file(ONE))),
        (TWO, 1, Err("cut off".to_owned())),
    ]));
    found.publish(&keys);
    assert!(works(&keys, ONE));
    assert_eq!(keys.origin(TWO), Origin::Unknown);
    found.take(looked(Vec::new()));
    found.publish(&keys);
    assert!(!works(&keys, ONE));
    assert_eq!(keys.origin(ONE), Origin::TakenBack);
}

#[test]
fn what_fails_is_tried_less_and_less_often_and_what_is_refused_rarely() {
    let mut found = Found::default();
    found.take(looked(vec![(ONE, 1, Ok(file(ONE)))]));
    let mark = found.keys[ONE].mark;
    let mut pause = |failure| {
        found.keys.get_mut(ONE).unwrap().opening = Opening::Running(RETRY.1);
        let error = Error::key_service(failure, "no");
        found.opened((ONE.to_owned(), mark, Err(error)));
        match found.keys[ONE].opening {
            Opening::Due(_, pause) => pause,
            _ => Duration::ZERO,
        }
    };
    assert_eq!(pause(KeyServiceFailure::Unavailable), RETRY.1);
    assert_eq!(pause(KeyServiceFailure::Denied), REFUSED_RETRY);
}
