//! `sealgate audit tail`: the newest records, and those that come.

use std::{collections::VecDeque, path::PathBuf, thread, time::Duration};

use anyhow::Context as _;
use clap::Args;
use sealgate_audit::{Directory, search::Entries};

use super::{places, search::show};

/// How often it is looked for new records.
const INTERVAL: Duration = Duration::from_millis(250);

/// Show the last records, and with --follow those that come
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate audit tail audit --follow --json | jq .")]
pub(super) struct TailArguments {
    /// The directory of the log
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// How many of the last records
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16))]
    lines: u16,

    /// Go on until interrupted
    #[arg(long)]
    follow: bool,

    /// Print the records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &TailArguments) -> anyhow::Result<()> {
    let directory = Directory::new(&arguments.directory);
    let mut entries = Entries::follow(&directory)
        .with_context(|| places::unreadable_log(&arguments.directory))?;
    let mut last = VecDeque::new();
    while let Some(entry) = entries.next_entry()? {
        last.push_back(entry);
        if last.len() > usize::from(arguments.lines) {
            last.pop_front();
        }
    }
    for entry in &last {
        show(entry, arguments.json)?;
    }
    if !arguments.follow {
        return Ok(());
    }
    loop {
        match entries.next_entry()? {
            Some(entry) => show(&entry, arguments.json)?,
            None => thread::sleep(INTERVAL),
        }
    }
}
