//! How objects' names are recorded: as they are, or as keyed hashes, where names themselves tell too much.

use std::fmt;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::event::Event;

/// The shortest key of keyed hashes, in bytes.
pub const MIN_NAME_KEY: usize = 16;

/// What becomes of the names of objects.
#[derive(Clone)]
pub enum ObjectNames {
    /// They are recorded.
    Plain,
    /// HMAC-SHA256 of `<bucket>/<key>` is recorded instead. Who holds the key can look for a name that they know; nobody reads names out.
    Hashed(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for ObjectNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Hashed(_) => "Hashed",
        })
    }
}

impl ObjectNames {
    /// The hash of a name; `None` where names are recorded as they are.
    pub fn hash(&self, bucket: &str, key: &str) -> Option<String> {
        let Self::Hashed(secret) = self else {
            return None;
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(bucket.as_bytes());
        mac.update(b"/");
        mac.update(key.as_bytes());
        Some(HEXLOWER.encode(&mac.finalize().into_bytes()))
    }

    /// Replaces the name in an event, where names are hashed. What a version is called says nothing of a name.
    pub fn apply(&self, event: &mut Event) {
        if matches!(self, Self::Plain) {
            return;
        }
        if let Some(key) = event.key.take() {
            event.key_hash = self.hash(event.bucket.as_deref().unwrap_or_default(), &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Decision, Verdict};

    #[test]
    fn a_hashed_name_is_found_by_who_holds_the_key_and_read_by_nobody() {
        let names = ObjectNames::Hashed(Zeroizing::new(vec![7; MIN_NAME_KEY]));
        let mut event = Event::intent(Decision {
            bucket: Some("b".to_owned()),
            key: Some("secret-plan".to_owned()),
            ..Decision::new(Verdict::Allow)
        });
        names.apply(&mut event);
        assert_eq!(event.key, None);
        assert_eq!(event.key_hash, names.hash("b", "secret-plan"));
        assert_ne!(event.key_hash, names.hash("c", "secret-plan"));
        let other = ObjectNames::Hashed(Zeroizing::new(vec![8; MIN_NAME_KEY]));
        assert_ne!(event.key_hash, other.hash("b", "secret-plan"));
        assert_eq!(ObjectNames::Plain.hash("b", "secret-plan"), None);
        assert!(!format!("{names:?}").contains('7'));
    }
}
