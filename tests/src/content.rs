//! What is stored: bytes that no compression, deduplication or chance makes equal, and markers to look for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;

/// `length` bytes that are a function of `seed`: another seed gives other bytes, and no two places in them are alike.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64*, a generator by Marsaglia and Vigna: fast, and good enough to be unlike itself.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// 16 random bytes: their appearance anywhere is no coincidence.
#[derive(Clone, Copy, Debug)]
pub struct Canary([u8; 16]);

impl Canary {
    /// A fresh one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
        Ok(Self(bytes))
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// In hexadecimal digits, as headers and keys can hold it.
    pub fn hexadecimal(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// All the ways in which the bytes, or their hexadecimal digits, could lie in a file: raw, in hexadecimal of both cases,
    /// and in both alphabets of base64 at each of the three alignments.
    fn appearances(&self) -> Vec<Vec<u8>> {
        let lower = self.hexadecimal();
        let mut forms = vec![
            self.0.to_vec(),
            lower.clone().into_bytes(),
            lower.to_uppercase().into_bytes(),
        ];
        for text in [&self.0[..], lower.as_bytes()] {
            for skipped in 0..3 {
                let Some(aligned) = text.get(skipped..) else {
                    continue;
                };
                // Only whole groups of three bytes: the digits of the last group would depend on what follows.
                let whole = aligned
                    .get(..aligned.len() - aligned.len() % 3)
                    .unwrap_or_default();
                forms.push(
                    base64::engine::general_purpose::STANDARD_NO_PAD
                        .encode(whole)
                        .into_bytes(),
                );
                forms.push(
                    base64::engine::general_purpose::URL_SAFE_NO_PAD
                        .encode(whole)
                        .into_bytes(),
                );
            }
        }
        forms
    }

    /// The files under `directory` in whose content or name the canary appears.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn found_in(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        let forms = self.appearances();
        let mut found = Vec::new();
        for path in files(directory)? {
            let content = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
            let name = path.as_os_str().as_encoded_bytes();
            if forms
                .iter()
                .any(|form| contains(&content, form) || contains(name, form))
            {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// All files under a directory.
///
/// # Errors
/// If a directory can't be listed.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in
            std::fs::read_dir(&directory).with_context(|| format!("{}", directory.display()))?
        {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Whether `needle` lies somewhere in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_every_form_and_not_otherwise() {
        let canary = Canary::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("plain"), pattern(1, 100_000)).unwrap();
        assert!(canary.found_in(directory.path()).unwrap().is_empty());
        let hexadecimal = canary.hexadecimal();
        let mut hidden: Vec<Vec<u8>> = vec![
            canary.bytes().to_vec(),
            hexadecimal.to_uppercase().into_bytes(),
        ];
        for before in 0..3 {
            for text in [canary.bytes(), hexadecimal.as_bytes()] {
                let text = [&b"abc"[..before], text, b"xyz"].concat();
                hidden.push(
                    base64::engine::general_purpose::STANDARD
                        .encode(text)
                        .into_bytes(),
                );
            }
        }
        for (number, form) in hidden.into_iter().enumerate() {
            let path = directory.path().join(format!("hidden-{number}"));
            std::fs::write(&path, [&b"before"[..], &form, b"behind"].concat()).unwrap();
            assert_eq!(
                canary.found_in(directory.path()).unwrap(),
                std::slice::from_ref(&path)
            );
            std::fs::remove_file(path).unwrap();
        }
        let path = directory.path().join(hexadecimal);
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            canary.found_in(directory.path()).unwrap(),
            [path],
            "in a name"
        );
    }

    #[test]
    fn patterns_differ_by_seed_and_place() {
        assert_eq!(pattern(7, 1_001), pattern(7, 1_001));
        assert_ne!(pattern(7, 64), pattern(8, 64));
        let bytes = pattern(1, 65_536 * 2);
        assert_ne!(bytes[..65_536], bytes[65_536..]);
    }
}
