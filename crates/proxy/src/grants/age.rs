//! A list of revocations that nobody signs anew.

use sealgate_access::{grant::Revocations, rfc3339};

/// What a list is told to be of which more than half of the life is over: whoever signs lists does so several times in a life, so the timer that
/// does it has stopped. Grants still count.
pub(crate) fn aging(known: &Revocations, now: u64) -> Option<String> {
    let (issued, stale_from) = known.life()?;
    let half = stale_from.saturating_sub(issued) / 2;
    (now >= issued.saturating_add(half) && now < stale_from).then(|| {
        format!(
            "the list of revocations was signed at {} and no new one since; all grants fail at {}",
            rfc3339(issued),
            rfc3339(stale_from)
        )
    })
}

#[cfg(test)]
mod tests {
    use sealgate_access::PrivateKey;
    use sealgate_access::grant::{RevocationList, SignedRevocationList};

    use super::*;

    #[test]
    fn a_list_is_old_from_the_half_of_its_life_and_is_told_to_be_until_it_is_stale() {
        let key = PrivateKey::parse(&PrivateKey::text_of_seed(&[1; 32])).unwrap();
        let mut known = Revocations::new("d", vec![key.public_key()], 600);
        assert_eq!(aging(&known, 1_800_000_000), None);
        let list = RevocationList {
            version: RevocationList::VERSION,
            deployment: "d".to_owned(),
            number: 1,
            issued: 1_800_000_000,
            next_update: 1_800_009_000,
            revoked: std::collections::BTreeSet::new(),
        };
        let signed = SignedRevocationList::sign(&list, &key).unwrap();
        known.update(&signed, 1_800_000_000).unwrap();
        assert_eq!(aging(&known, 1_800_000_299), None);
        let told = aging(&known, 1_800_000_300).unwrap();
        assert!(told.contains("2027-01-15T08:10:00Z"), "{told}");
        assert!(aging(&known, 1_800_000_599).is_some());
        assert_eq!(aging(&known, 1_800_000_600), None);
    }
}
