//! The options that commands share which go through a whole bucket.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

use clap::Args;

use super::files::Progress;
use super::output;
use crate::config::parse_size;
use crate::migration::{Pace, STEP};

/// The shortest part that S3 takes before the last.
const MINIMUM_PART: u64 = 5 << 20;

/// The longest.
const MAXIMUM_PART: u64 = 5 << 30;

#[derive(Clone, Debug, Args)]
pub(super) struct PaceArguments {
    /// Move at most this much a second, what is read back included: 500KiB, 20MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    rate: Option<NonZeroU32>,

    /// Begin at most so many objects a second
    #[arg(long, value_name = "N")]
    objects_per_second: Option<NonZeroU32>,

    /// Work on so many objects at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

impl PaceArguments {
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency.into()
    }

    /// The pace, and a progress bar that it moves.
    pub(super) fn start(&self, message: &str) -> (Pace, Progress) {
        let progress = Progress::new(message, None);
        let bar = progress.clone();
        let pace = self.pace(Arc::new(move |count| bar.advance(count)));
        (pace, progress)
    }

    /// The pace; `progress` hears of bytes that pass.
    pub(super) fn pace(&self, progress: Arc<dyn Fn(usize) + Send + Sync>) -> Pace {
        Pace::new(self.rate, self.objects_per_second, progress)
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct PartArguments {
    /// Write objects that are longer than this in parts of this length
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = part)]
    part_size: u64,
}

impl PartArguments {
    pub(super) fn length(&self) -> u64 {
        self.part_size
    }
}

/// Names a failure as soon as it happens, above the progress bar.
pub(super) fn tell(progress: &Progress, line: &str) {
    progress.suspend(|| {
        // Nobody is left to tell where standard error is closed.
        let line = output::printable(line, false);
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    });
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    let bytes = parse_size(text).ok_or("write a whole number and B, KiB, MiB or GiB: 20MiB")?;
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes as usize >= STEP)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| "choose from 16KiB to 3GiB; leave it out for no bound".to_owned())
}

fn part(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text).ok_or("write a whole number and MiB or GiB: 64MiB")?;
    if (MINIMUM_PART..=MAXIMUM_PART).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("choose from 5MiB to 5GiB, what S3 takes as a part".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_bounded_and_the_bounds_are_named() {
        assert_eq!(rate("20MiB").unwrap().get(), 20 << 20);
        assert!(rate("1B").unwrap_err().contains("16KiB"));
        assert!(rate("fast").unwrap_err().contains("20MiB"));
        assert_eq!(part("5MiB").unwrap(), 5 << 20);
        assert!(part("4MiB").unwrap_err().contains("5MiB"));
    }
}
