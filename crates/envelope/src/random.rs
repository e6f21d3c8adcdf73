//! Where random bytes come from: a parameter, so that vectors can be made again byte for byte.

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::suite::NONCE_LENGTH;

/// A source of unpredictable bytes for keys, salts, identifiers and nonces.
///
/// Production code passes [`OsRandom`], and sealers take nonces from a [`NonceSupply`]. Any other implementation is for test vectors.
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

/// The operating system's random bytes for the nonces of one part: the first by itself, as most objects have one segment, later ones from a
/// supply, because asking for 252 bytes costs little more than asking for 12. Nonces are no secrets, but they must not repeat: a supply belongs
/// to one sealer and is not cloned.
#[derive(Debug)]
pub struct NonceSupply {
    supply: [u8; SUPPLY_LENGTH],
    used: usize,
    is_first: bool,
}

/// 21 nonces: up to 256 bytes come in one piece and without interruption (getrandom(2)).
const SUPPLY_LENGTH: usize = 21 * NONCE_LENGTH;

impl Default for NonceSupply {
    fn default() -> Self {
        Self {
            supply: [0; SUPPLY_LENGTH],
            used: SUPPLY_LENGTH,
            is_first: true,
        }
    }
}

impl Random for NonceSupply {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        if std::mem::take(&mut self.is_first) || bytes.len() > SUPPLY_LENGTH {
            return OsRandom.fill(bytes);
        }
        if hand_out(&self.supply, &mut self.used, bytes).is_ok() {
            return Ok(());
        }
        // Whatever comes of the drawing, none of the old ones is handed out again.
        self.used = SUPPLY_LENGTH;
        OsRandom.fill(&mut self.supply)?;
        self.used = 0;
        hand_out(&self.supply, &mut self.used, bytes)
    }
}

/// `N` bytes from a source, drawn at once and handed out in pieces, in their order: each question to the operating system costs more than the
/// bytes do. They may become keys, so that they are wiped; a piece is handed out once.
pub(crate) struct Drawn<const N: usize> {
    bytes: Zeroizing<[u8; N]>,
    used: usize,
}

impl<const N: usize> Drawn<N> {
    /// Draws them.
    ///
    /// # Errors
    /// As [`Random::fill`].
    pub(crate) fn from(source: &mut dyn Random) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; N]);
        source.fill(bytes.as_mut_slice())?;
        Ok(Self { bytes, used: 0 })
    }
}

impl<const N: usize> Random for Drawn<N> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        hand_out(self.bytes.as_slice(), &mut self.used, bytes)
    }
}

/// Fills `bytes` with the next of those that were drawn, each of which is handed out once.
///
/// # Errors
/// [`Error::Machine`] if fewer are left; then none is used.
fn hand_out(drawn: &[u8], used: &mut usize, bytes: &mut [u8]) -> Result<()> {
    let end = used.saturating_add(bytes.len());
    let next = drawn.get(*used..end);
    let next = next.ok_or_else(|| Error::machine("too few random bytes were drawn"))?;
    bytes.copy_from_slice(next);
    *used = end;
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_supply_gives_no_byte_twice_and_no_zeros() {
        let mut supply = NonceSupply::default();
        let mut seen = HashSet::new();
        for _ in 0..1_000 {
            let mut nonce = [0; NONCE_LENGTH];
            supply.fill(&mut nonce).unwrap();
            let (first, second) = nonce.split_at(NONCE_LENGTH / 2);
            for half in [first, second] {
                // 2,000 values of 48 bits: two are equal by chance once in 140 million runs.
                assert!(seen.insert(half.to_vec()));
                assert_ne!(half, [0; NONCE_LENGTH / 2]);
            }
        }
    }

    #[test]
    fn drawn_bytes_are_those_of_the_source_in_their_order_and_each_once() {
        struct Counting(u8);
        impl Random for Counting {
            fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
                for byte in bytes {
                    *byte = self.0;
                    self.0 += 1;
                }
                Ok(())
            }
        }
        let mut drawn = Drawn::<7>::from(&mut Counting(1)).unwrap();
        let (mut three, mut four) = ([0; 3], [0; 4]);
        drawn.fill(&mut three).unwrap();
        drawn.fill(&mut four).unwrap();
        assert_eq!((three, four), ([1, 2, 3], [4, 5, 6, 7]));
        assert!(drawn.fill(&mut [0]).is_err());
    }

    #[test]
    fn what_is_longer_than_the_supply_comes_at_once() {
        let mut bytes = [0; 2 * SUPPLY_LENGTH];
        let mut supply = NonceSupply::default();
        for _ in 0..2 {
            supply.fill(&mut bytes).unwrap();
            assert!(
                bytes
                    .chunks(16)
                    .all(|piece| piece.iter().any(|byte| *byte != 0))
            );
        }
    }
}
