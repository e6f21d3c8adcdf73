//! The plaintext of large vectors, and the nonces of recipes.

use sealgate_envelope::{Random, Result};
use sha2::{Digest, Sha256};

/// Bytes `start..start + length` of the pattern: byte i is (i XOR (i >> 8) XOR (i >> 16)) AND 255.
pub(crate) fn pattern(start: u64, length: u64) -> Vec<u8> {
    (start..start + length)
        .map(|index| {
            let [.., third, second, first] = index.to_be_bytes();
            first ^ second ^ third
        })
        .collect()
}

/// The nonces of a part that is sealed from a recipe: the first 12 bytes of SHA-256("nonce" ‖ u16 part ‖ u64 segment).
pub(crate) struct RecipeNonces {
    part: u16,
    segment: u64,
}

impl RecipeNonces {
    /// Those of part `part`.
    pub(crate) fn new(part: u16) -> Self {
        Self { part, segment: 0 }
    }
}

impl Random for RecipeNonces {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let hash = Sha256::new()
            .chain_update("nonce")
            .chain_update(self.part.to_be_bytes())
            .chain_update(self.segment.to_be_bytes())
            .finalize();
        self.segment += 1;
        for (to, from) in bytes.iter_mut().zip(hash) {
            *to = from;
        }
        Ok(())
    }
}
