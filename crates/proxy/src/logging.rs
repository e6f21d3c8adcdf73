//! Logs: on standard error, for people or for machines.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, Registry, reload};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// What libraries may say at most, whatever the level: their details show headers, and those hold signatures.
const LIBRARY_LEVEL: LevelFilter = LevelFilter::WARN;

/// What warns of working keys that do not open.
const KEYRING_TARGET: &str = "sealgate_envelope::keyring";

/// The targets of our own crates start like this.
const OWN_TARGETS: &str = "sealgate";

/// Sends the events of this process to standard error from now on.
///
/// # Errors
/// If logs already go somewhere: this is for the start of a program, once.
pub fn start(config: LogConfig) -> Result<LevelControl, TryInitError> {
    start_with(config.format, filter(config.level))
}

fn start_with(format: LogFormat, targets: Targets) -> Result<LevelControl, TryInitError> {
    let (filter, handle) = reload::Layer::new(targets);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()?;
    Ok(LevelControl(handle))
}

/// What changes the level of a process's log while it runs.
#[derive(Clone, Debug)]
pub struct LevelControl(reload::Handle<Targets, Registry>);

impl LevelControl {
    /// From now on the log says this much.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "the log's level stays as it was");
        }
    }
}

/// As [`start`], for a command that ends by itself: unless somebody asks for more, by `--verbose` or `RUST_LOG`, it warns and says nothing of steps that
/// went well, because what it did is in its report.
///
/// # Errors
/// As [`start`].
pub fn start_for_command(config: LogConfig) -> Result<LevelControl, TryInitError> {
    let asked = std::env::var("RUST_LOG").ok();
    start(LogConfig {
        level: command_level(
            config.level,
            VERBOSE.load(Ordering::Relaxed),
            asked.as_deref(),
        ),
        ..config
    })
}

/// As [`start_for_command`], for a command that has keys refused to show that they do: what the keyring warns of then is what
/// should be, and its advice is not for whoever destroys a key.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_for_refusals(config: LogConfig) -> Result<LevelControl, TryInitError> {
    let asked = std::env::var("RUST_LOG").ok();
    let is_verbose = VERBOSE.load(Ordering::Relaxed);
    let level = command_level(config.level, is_verbose, asked.as_deref());
    let targets = filter(level);
    start_with(
        config.format,
        if level == LogLevel::Warn {
            targets.with_target(KEYRING_TARGET, LevelFilter::ERROR)
        } else {
            targets
        },
    )
}

/// From now on commands log as their configuration says.
pub fn be_verbose() {
    VERBOSE.store(true, Ordering::Relaxed);
}

static VERBOSE: AtomicBool = AtomicBool::new(false);

fn command_level(configured: LogLevel, is_verbose: bool, asked: Option<&str>) -> LogLevel {
    match asked.map(str::to_ascii_lowercase).as_deref() {
        Some("error") => LogLevel::Error,
        Some("warn") => LogLevel::Warn,
        Some("info") => LogLevel::Info,
        Some("debug") => LogLevel::Debug,
        Some("trace") => LogLevel::Trace,
        _ if is_verbose || configured == LogLevel::Error => configured,
        _ => LogLevel::Warn,
    }
}

fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(own.min(LIBRARY_LEVEL))
        .with_target(OWN_TARGETS, own)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_stay_quiet_whatever_the_level() {
        let trace = filter(LogLevel::Trace);
        assert!(trace.would_enable("sealgate::gateway", &Level::TRACE));
        assert!(trace.would_enable("sealgate_envelope::keyring", &Level::TRACE));
        assert!(!trace.would_enable("hyper::proto", &Level::INFO));
        assert!(trace.would_enable("rustls", &Level::WARN));
        let error = filter(LogLevel::Error);
        assert!(!error.would_enable("sealgate", &Level::WARN));
        assert!(!error.would_enable("rustls", &Level::WARN));
    }
    #[test]
    fn a_command_only_warns_unless_it_is_asked_for_more() {
        use LogLevel::{Debug, Error, Info, Trace, Warn};
        for (configured, is_verbose, asked, level) in [
            (Info, false, None, Warn),
            (Trace, false, None, Warn),
            (Error, false, None, Error),
            (Info, true, None, Info),
            (Trace, true, None, Trace),
            (Info, false, Some("DEBUG"), Debug),
            (Info, false, Some("hyper=trace"), Warn),
        ] {
            assert_eq!(command_level(configured, is_verbose, asked), level);
        }
    }
}
