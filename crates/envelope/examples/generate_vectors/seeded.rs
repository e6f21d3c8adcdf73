//! Random numbers that are the same each time.

use sealgate_envelope::{Random, Result};
use sha2::{Digest, Sha256};

/// SHA-256 of a seed and a counter, for as long as needed.
#[derive(Clone)]
pub(crate) struct Seeded {
    seed: String,
    counter: u64,
    rest: Vec<u8>,
}

impl Seeded {
    pub(crate) fn new(seed: &str) -> Self {
        Self {
            seed: seed.to_owned(),
            counter: 0,
            rest: Vec::new(),
        }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.rest.pop() {
                return byte;
            }
            self.rest = Sha256::new()
                .chain_update(&self.seed)
                .chain_update(self.counter.to_be_bytes())
                .finalize()
                .to_vec();
            self.counter += 1;
        }
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        bytes.fill_with(|| self.byte());
        Ok(())
    }
}
