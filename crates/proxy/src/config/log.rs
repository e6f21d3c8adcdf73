//! `[log]`: what is written to standard error.

use super::table::Table;

/// What is logged and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text an event.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How severe an event must be to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what needs an operator.
    Error,
    /// Also what may soon need one.
    Warn,
    /// Also one line a request.
    #[default]
    Info,
    /// Also the steps of a request.
    Debug,
    /// Everything of ours. Libraries never say more than warnings: their details hold signatures.
    Trace,
}

/// Reads `[log]`.
pub(super) fn read(mut table: Table<'_>) -> Option<LogConfig> {
    let format = match table.take("format") {
        Some(value) => value.choice(&[("human", LogFormat::Human), ("json", LogFormat::Json)]),
        None => Some(LogFormat::default()),
    };
    let level = match table.take("level") {
        Some(value) => value.choice(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ]),
        None => Some(LogLevel::default()),
    };
    table.finish();
    Some(LogConfig {
        format: format?,
        level: level?,
    })
}
