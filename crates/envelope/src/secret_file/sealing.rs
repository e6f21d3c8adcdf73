//! A secret sealed with a passphrase: version 2 of secret files.
//!
//! Argon2id (RFC 9106, version 0x13) makes a key of the passphrase and a fresh salt; AES-256-GCM seals the secret under
//! that key, with everything that stands before it in the line as associated data. The salt is fresh each time, so the
//! key is used once and the nonce may be zero.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Kind, Passphrase, SecretFile, line};
use crate::error::{Error, Result};
use crate::keys::KEY_LENGTH;
use crate::random::{OsRandom, random_array};
use crate::suite::{Backend, NONCE_LENGTH, Suite, TAG_LENGTH, aead};

pub(super) const SALT_LENGTH: usize = 16;
pub(super) const SEALED_LENGTH: usize = KEY_LENGTH + TAG_LENGTH;

/// The most memory that a file may ask for, in KiB: 512 MiB. Whoever can exchange the file must not be able to take the
/// machine down with it.
pub const MAXIMUM_ARGON2_MEMORY: u32 = 512 * 1024;
/// The most passes over that memory. With the most memory they take about ten seconds.
pub const MAXIMUM_ARGON2_PASSES: u32 = 16;
/// The most lanes.
pub const MAXIMUM_ARGON2_LANES: u32 = 16;

/// What one guess at a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory in KiB, at least 8 for each lane.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PassphraseCost {
    /// The second recommendation of RFC 9106, section 4: 64 MiB, so that a small container can open the file too.
    fn default() -> Self {
        Self {
            memory: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

impl PassphraseCost {
    /// Reads the three numbers as they are written: no sign, no leading zero, within the limits.
    pub(super) fn read(words: [&str; 3]) -> std::result::Result<Self, String> {
        let number = |word: &str, what: &str, limit: u32| {
            let number: u32 = word
                .parse()
                .ok()
                .filter(|number: &u32| number.to_string() == word)
                .ok_or_else(|| format!("its {what} is not a number"))?;
            if (1..=limit).contains(&number) {
                Ok(number)
            } else {
                Err(format!("its {what} is above the limit, {limit}, or 0"))
            }
        };
        let [memory, passes, lanes] = words;
        let cost = Self {
            memory: number(memory, "memory in KiB", MAXIMUM_ARGON2_MEMORY)?,
            passes: number(passes, "number of passes", MAXIMUM_ARGON2_PASSES)?,
            lanes: number(lanes, "number of lanes", MAXIMUM_ARGON2_LANES)?,
        };
        if cost.memory < 8 * cost.lanes {
            return Err("its memory is less than 8 KiB for each lane".to_owned());
        }
        Ok(cost)
    }
}

/// A secret as version 2 holds it.
pub(super) struct SealedSecret {
    pub(super) labels: Vec<String>,
    pub(super) cost: PassphraseCost,
    pub(super) salt: [u8; SALT_LENGTH],
    pub(super) sealed: [u8; SEALED_LENGTH],
    /// The line before the sealed key.
    pub(super) head: String,
}

impl SealedSecret {
    /// The labels beside it, which are no secret.
    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Opens it; the error completes a sentence that begins with the file.
    pub(super) fn open(self, passphrase: &Passphrase) -> std::result::Result<SecretFile, String> {
        let derived = derive(passphrase, self.cost, &self.salt)
            .map_err(|error| format!("cannot be opened: {}", error.detail()))?;
        let mut opened = Zeroizing::new(self.sealed);
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        let plaintext = aead(Suite::Aes256Gcm, Backend::default(), &derived).and_then(|cipher| {
            let plaintext = cipher.open(
                &[0; NONCE_LENGTH],
                self.head.as_bytes(),
                opened.as_mut_slice(),
            )?;
            key.copy_from_slice(plaintext);
            Ok(())
        });
        plaintext.map_err(|_| {
            "does not open: the passphrase is wrong (the file's checksum is right, so it is not damaged by chance)".to_owned()
        })?;
        Ok(SecretFile {
            labels: self.labels,
            key,
        })
    }
}

/// The line of version 2.
pub(super) fn seal(
    kind: &Kind,
    file: &SecretFile,
    passphrase: &Passphrase,
    cost: PassphraseCost,
) -> Result<Zeroizing<String>> {
    let salt: [u8; SALT_LENGTH] = random_array(&mut OsRandom)?;
    let head = line::sealed_head(kind, &file.labels, cost, &salt);
    let derived = derive(passphrase, cost, &salt)?;
    let mut sealed = Zeroizing::new([0; SEALED_LENGTH]);
    for (to, from) in sealed.iter_mut().zip(file.key.iter()) {
        *to = *from;
    }
    aead(Suite::Aes256Gcm, Backend::default(), &derived)?.seal(
        &[0; NONCE_LENGTH],
        head.as_bytes(),
        sealed.as_mut_slice(),
    )?;
    Ok(Zeroizing::new(line::sealed(&head, &sealed)))
}

fn derive(
    passphrase: &Passphrase,
    cost: PassphraseCost,
    salt: &[u8; SALT_LENGTH],
) -> Result<Zeroizing<[u8; KEY_LENGTH]>> {
    let failed = |error: argon2::Error| Error::machine(format!("Argon2id failed: {error}"));
    let parameters =
        Params::new(cost.memory, cost.passes, cost.lanes, Some(KEY_LENGTH)).map_err(failed)?;
    let count = parameters.block_count();
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(count).map_err(|_| {
        Error::machine(format!(
            "{} KiB of memory are needed for the passphrase, and not to be had",
            cost.memory
        ))
    })?;
    memory.resize(count, Block::default());
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    let derived = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into_with_memory(
            passphrase.as_bytes(),
            salt,
            key.as_mut_slice(),
            memory.as_mut_slice(),
        );
    memory.iter_mut().for_each(Block::zeroize);
    derived.map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_service::local::LOCAL_KEY;
    use crate::secret_file::line::{Content, parse};

    const CHEAP: PassphraseCost = PassphraseCost {
        memory: 32,
        passes: 1,
        lanes: 2,
    };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    fn line() -> String {
        let file = SecretFile {
            labels: vec!["ab".repeat(16)],
            key: Zeroizing::new([7; 32]),
        };
        seal(
            &LOCAL_KEY,
            &file,
            &passphrase("correct horse battery"),
            CHEAP,
        )
        .unwrap()
        .to_string()
    }

    fn open(line: &str, text: &str) -> std::result::Result<[u8; 32], String> {
        match parse(&LOCAL_KEY, line.as_bytes())? {
            Content::Sealed(sealed) => sealed.open(&passphrase(text)).map(|file| *file.key),
            Content::Clear(_) => panic!("a line in the clear"),
        }
    }

    /// As [`line::sealed`] does it, so that only the seal can notice what was altered.
    fn with_checksum(line: &str) -> String {
        use sha2::Digest as _;
        let (before, _) = line.rsplit_once(' ').unwrap();
        let digest = sha2::Sha256::digest(format!("{before} ").as_bytes());
        format!(
            "{before} {}\n",
            data_encoding::HEXLOWER.encode(&digest[..4])
        )
    }

    #[test]
    fn only_the_right_passphrase_opens() {
        let line = line();
        assert_eq!(open(&line, "correct horse battery"), Ok([7; 32]));
        assert!(
            open(&line, "correct horse battery ")
                .unwrap_err()
                .contains("wrong")
        );
        assert!(!line.contains("BwcH"), "the key stands in the line");
        assert_eq!(with_checksum(&line), line);
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase() {
        let line = line();
        for position in 0..line.len() - 1 {
            let mut damaged = line.clone().into_bytes();
            damaged[position] = if damaged[position] == b'1' {
                b'2'
            } else {
                b'1'
            };
            if damaged == line.as_bytes() {
                continue;
            }
            let fault = open(
                std::str::from_utf8(&damaged).unwrap(),
                "correct horse battery",
            );
            assert!(!fault.unwrap_err().contains("passphrase"), "{position}");
        }
    }

    #[test]
    fn what_stands_before_the_key_is_authenticated() {
        let line = line();
        for (from, to) in [
            ("abab", "aaab"),
            (" 32 1 2 ", " 33 1 2 "),
            (" 32 1 2 ", " 32 2 2 "),
        ] {
            let altered = with_checksum(&line.replacen(from, to, 1));
            assert_ne!(altered, line);
            assert!(open(&altered, "correct horse battery").is_err());
        }
    }

    #[test]
    fn a_file_cannot_ask_for_more_than_the_limits() {
        for (numbers, part) in [
            ("524289 1 1", "memory"),
            ("4294967295 1 1", "memory"),
            ("99999999999 1 1", "memory"),
            ("1024 17 1", "passes"),
            ("1024 1 17", "lanes"),
            ("0 1 1", "memory"),
            ("1024 0 1", "passes"),
            ("1024 1 0", "lanes"),
            ("15 1 2", "8 KiB"),
            ("+32 1 2", "memory"),
            ("032 1 2", "memory"),
        ] {
            let altered = with_checksum(&line().replacen("32 1 2", numbers, 1));
            let fault = open(&altered, "correct horse battery").unwrap_err();
            assert!(fault.contains(part), "{numbers}: {fault}");
        }
        PassphraseCost::read(["524288", "16", "16"]).unwrap();
    }

    /// A vector of the reference implementation, src/test.c: those of RFC 9106 have a secret and associated data, which
    /// files have not.
    #[test]
    fn derivation_is_the_published_one() {
        let derived = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(65_536, 2, 1, Some(32)).unwrap(),
        );
        let mut key = [0; 32];
        derived
            .hash_password_into(b"password", b"somesalt", &mut key)
            .unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&key),
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
        );
    }
}
