//! So many of a row whose length is not known, each with the same chance (Vitter's algorithm R).

use anyhow::Context as _;

/// What was kept of a row so far.
#[derive(Debug)]
pub(crate) struct Reservoir<T> {
    /// The choice.
    pub(crate) kept: Vec<T>,
    count: usize,
    /// How many were offered.
    pub(crate) offered: u64,
}

impl<T> Reservoir<T> {
    /// Will keep so many.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            kept: Vec::new(),
            count,
            offered: 0,
        }
    }

    /// Takes in one more, and keeps it or not.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub(crate) fn offer(&mut self, item: T) -> anyhow::Result<()> {
        self.offered += 1;
        if self.kept.len() < self.count {
            self.kept.push(item);
            return Ok(());
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).context("the system has no randomness")?;
        let place = usize::try_from(u64::from_be_bytes(bytes) % self.offered)?;
        if let Some(kept) = self.kept.get_mut(place) {
            *kept = item;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservoir_keeps_so_many_different_ones_and_the_late_ones_too() {
        let mut late = 0;
        for _ in 0..200 {
            let mut reservoir = Reservoir::new(5);
            for item in 0..50 {
                reservoir.offer(item).unwrap();
            }
            let mut kept = reservoir.kept;
            kept.sort_unstable();
            kept.dedup();
            assert_eq!(kept.len(), 5);
            late += kept.iter().filter(|item| **item >= 25).count();
        }
        // 500 of 1,000 are expected; the chance of fewer than 400 is below 10^-9.
        assert!((400..=600).contains(&late), "{late}");
        let mut short = Reservoir::new(5);
        short.offer(1).unwrap();
        assert_eq!(short.kept, [1]);
    }
}
