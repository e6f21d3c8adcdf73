//! `sealgate audit export`: the records, for other programs.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use sealgate_audit::{
    Directory, cef, ocsf,
    search::{Entries, Query},
};

use super::{super::output, places};

/// Write records to standard output, for a SIEM or an archive
///
/// OCSF events (schema 1.9.0, class API Activity, 6003) and CEF lines (ArcSight, version 0) are of intents and outcomes;
/// JSON lines are the records as they are, those about the log itself too.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate audit export audit --since 2026-01-31 > audit.jsonl\n  sealgate audit export audit --format ocsf --log audit.example.com/replica-1 --from 4711\n  sealgate audit export audit --format cef --log audit.example.com/replica-1 | logger --server siem.example.com"
)]
pub(super) struct ExportArguments {
    /// The directory of the log
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// The form
    #[arg(long, value_enum, default_value = "json")]
    format: Format,

    /// The name of the log, for OCSF and CEF
    #[arg(long, value_name = "NAME", default_value = "sealgate")]
    log: String,

    /// The first record
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,

    /// Not before this time (UTC)
    #[arg(long, value_name = "TIME", value_parser = places::time)]
    since: Option<String>,

    /// Before this time (UTC)
    #[arg(long, value_name = "TIME", value_parser = places::time)]
    until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Ocsf,
    Cef,
}

pub(super) fn run(arguments: &ExportArguments) -> anyhow::Result<()> {
    let query = Query {
        since: arguments.since.clone(),
        until: arguments.until.clone(),
        ..Query::default()
    };
    let mut entries = Entries::open(&Directory::new(&arguments.directory), arguments.from)
        .with_context(|| places::unreadable_log(&arguments.directory))?;
    while let Some(entry) = entries.next_entry()? {
        if entry.header.seq < arguments.from || !query.fits(&entry.event) {
            continue;
        }
        match arguments.format {
            Format::Json => output::line(String::from_utf8_lossy(&entry.bytes).trim_end())?,
            Format::Cef => {
                if let Some(line) = cef::line(&arguments.log, &entry.header, &entry.event) {
                    output::line(&line)?;
                }
            }
            Format::Ocsf => {
                if let Some(event) = ocsf::event(&arguments.log, &entry.header, &entry.event) {
                    output::line(&event.to_string())?;
                }
            }
        }
    }
    Ok(())
}
