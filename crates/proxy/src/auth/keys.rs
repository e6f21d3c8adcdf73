//! Secrets of Signature Version 4 and the one primitive they are used with.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of a SHA-256 digest, an HMAC-SHA256 tag and a SigV4 signature.
pub(super) const DIGEST_LENGTH: usize = 32;

/// Bytes of a SHA-256 block, which is the length of an HMAC key before padding ends (RFC 2104).
const BLOCK_LENGTH: usize = 64;

/// What a request is signed for. A signature for one service is none for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Buckets and objects.
    S3,
    /// Short-lived credentials.
    Sts,
}

impl Service {
    /// Its name in the scope of a credential.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Sts => "sts",
        }
    }
}

/// The last element of every credential scope.
pub(super) const SCOPE_TERMINATOR: &str = "aws4_request";

/// A secret access key. Zeroized on drop, absent from `Debug`, with no way to print it.
#[derive(Clone)]
pub struct SecretAccessKey(Zeroizing<String>);

impl SecretAccessKey {
    /// Takes the secret over; the caller's copy, if any, is the caller's to wipe.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// Whether there is nothing in it, which a configuration should refuse.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretAccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretAccessKey(redacted)")
    }
}

/// The key that signs requests of one day, region and service. Zeroized on drop, absent from `Debug`.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; DIGEST_LENGTH]>);

impl SigningKey {
    /// Derives the key for `day` (`YYYYMMDD`), `region`, and S3.
    pub fn derive(secret: &SecretAccessKey, day: &str, region: &str) -> Self {
        Self::derive_for(Service::S3, secret, day, region)
    }

    /// Derives the key for a service.
    pub fn derive_for(service: Service, secret: &SecretAccessKey, day: &str, region: &str) -> Self {
        let mut start = Zeroizing::new(Vec::with_capacity(4 + secret.0.len()));
        start.extend_from_slice(b"AWS4");
        start.extend_from_slice(secret.0.as_bytes());
        let mut key = Zeroizing::new(hmac_sha256(&start, &[day.as_bytes()]));
        for element in [region, service.name(), SCOPE_TERMINATOR] {
            *key = hmac_sha256(&*key, &[element.as_bytes()]);
        }
        Self(key)
    }

    /// The signature of the concatenation of `message`.
    pub fn sign(&self, message: &[&[u8]]) -> Signature {
        Signature(hmac_sha256(&*self.0, message))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(redacted)")
    }
}

/// A SigV4 signature. Compared in constant time, absent from `Debug`: a valid one is as good as the request.
#[derive(Clone, Copy)]
pub struct Signature([u8; DIGEST_LENGTH]);

impl Signature {
    /// Reads 64 lower-case hexadecimal digits, the only form in which S3 accepts a signature.
    pub fn from_hex(text: &str) -> Option<Self> {
        decode_digest(text).map(Self)
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        encode_hex(&self.0)
    }
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Signature {}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signature(redacted)")
    }
}

/// Lower-case hexadecimal text of `bytes`.
pub(super) fn encode_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Reads 64 lower-case hexadecimal digits.
pub(super) fn decode_digest(text: &str) -> Option<[u8; DIGEST_LENGTH]> {
    if text.len() != 2 * DIGEST_LENGTH {
        return None;
    }
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// HMAC-SHA256 (RFC 2104) of the concatenation of `message`.
fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; DIGEST_LENGTH] {
    // Padding the key to a block here makes the constructor infallible.
    let mut block = Zeroizing::new([0_u8; BLOCK_LENGTH]);
    if let Some(start) = block.get_mut(..key.len()) {
        start.copy_from_slice(key);
    } else {
        let hashed = Zeroizing::new(<[u8; DIGEST_LENGTH]>::from(Sha256::digest(key)));
        for (target, source) in block.iter_mut().zip(hashed.iter()) {
            *target = *source;
        }
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for piece in message {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 (short key) and 6 (key longer than a block).
    #[test]
    fn hmac_gives_the_published_values() {
        assert_eq!(
            encode_hex(&hmac_sha256(
                b"Jefe",
                &[b"what do ya want ", b"for nothing?"]
            )),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            encode_hex(&hmac_sha256(
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn signatures_are_read_strictly() {
        let text = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert_eq!(Signature::from_hex(text).unwrap().to_hex(), text);
        assert_eq!(Signature::from_hex(&text.to_uppercase()), None);
        assert_eq!(Signature::from_hex(&text[1..]), None);
        assert_eq!(Signature::from_hex(&format!("{text}00")), None);
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = SecretAccessKey::new("wJalrXUtnFEMI");
        let key = SigningKey::derive(&secret, "20130524", "us-east-1");
        let printed = format!("{secret:?} {key:?} {:?}", key.sign(&[b"x"]));
        assert!(!printed.contains("wJalr"));
        assert!(!printed.contains(&encode_hex(&*key.0)));
        assert!(!printed.contains(&key.sign(&[b"x"]).to_hex()));
    }
}
