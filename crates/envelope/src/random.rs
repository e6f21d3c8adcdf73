//! Where random bytes come from: a parameter, so that vectors can be made again byte for byte.

use crate::error::{Error, Result};

/// A source of unpredictable bytes for keys, salts, identifiers and nonces.
///
/// Production code passes [`OsRandom`]. Any other implementation is for test vectors.
pub trait Random {
    /// Fills `bytes` completely.
    ///
    /// # Errors
    /// [`Error::Machine`] if no entropy can be had; nothing may be sealed then.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()>;
}

/// The operating system's random number generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes).map_err(|error| {
            Error::machine(format!(
                "the operating system gave no random bytes: {error}"
            ))
        })
    }
}

/// `N` fresh random bytes.
///
/// # Errors
/// As [`Random::fill`].
pub(crate) fn random_array<const N: usize>(random: &mut dyn Random) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}
