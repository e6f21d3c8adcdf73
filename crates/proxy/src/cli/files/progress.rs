//! A progress bar for people; nothing where nobody looks.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// Columns of a bar whose end is known.
const KNOWN: &str = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// Columns of a bar that counts.
const COUNTED: &str = "{msg} {bar:30} {pos}/{len} {eta}";

/// The same where nobody knows how many there are.
const UNCOUNTED: &str = "{msg} {spinner} {human_pos} {per_sec}";

/// The same where it is not.
const UNKNOWN: &str = "{msg} {spinner} {bytes} {bytes_per_sec}";

/// How far a copy has come, on standard error if that is a terminal.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `length` bytes, if that is known.
    pub(in crate::cli) fn new(message: &str, length: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = if length.is_some() { KNOWN } else { UNKNOWN };
        // The default style does where a template should not parse.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style).with_message(message.to_owned()))
    }

    /// A bar for so many things that are no bytes.
    pub(in crate::cli) fn counting(message: &str, count: usize) -> Self {
        let Self(bar) = Self::new(message, Some(count as u64));
        let style =
            ProgressStyle::with_template(COUNTED).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style))
    }

    /// A spinner that counts things that are no bytes.
    pub(in crate::cli) fn uncounted(message: &str) -> Self {
        let Self(bar) = Self::new(message, None);
        let style = ProgressStyle::with_template(UNCOUNTED)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style))
    }

    /// So many bytes more.
    pub(in crate::cli) fn advance(&self, count: usize) {
        self.0.inc(count as u64);
    }

    /// `done` of `all` things, where both are only known along the way.
    pub(in crate::cli) fn reach(&self, done: usize, all: usize) {
        self.0.set_length(all as u64);
        self.0.set_position(done as u64);
    }

    /// Runs what writes to the terminal, with the bar out of the way.
    pub(in crate::cli) fn suspend(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    /// Takes the bar away.
    pub(in crate::cli) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_parse() {
        for template in [KNOWN, COUNTED, UNCOUNTED, UNKNOWN] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
