//! `sealgate audit search`: who did what.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use sealgate_audit::{
    Directory, ObjectNames, Verdict,
    event::{Event, Kind},
    search::{Entries, Entry, Finder, Query},
};
use zeroize::Zeroizing;

use super::{super::output, places};
use crate::{config::secret_of_reference, object_key::aliases};

/// Show the records that fit, and what came of their requests
///
/// Everything that is given has to fit. The files are read as they are; `sealgate audit verify` says whether they are right.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate audit search audit --bucket photos --prefix 2026/ --since 2026-01-31\n  sealgate audit search audit --identity alice --action decrypt --json\n  sealgate audit search audit --bucket photos --key plan.pdf --name-key file:names.key"
)]
pub(super) struct SearchArguments {
    /// The directory of the log
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Who asked
    #[arg(long)]
    identity: Option<String>,

    /// The access key id that signed, or with which the session was got; of a command, the one that it made or revoked
    #[arg(long, value_name = "ID")]
    access_key: Option<String>,

    /// The session in which they asked: its access key id, or all that records have of it
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,

    /// The grant that let them
    #[arg(long)]
    grant: Option<String>,

    /// The id of the request
    #[arg(long)]
    request: Option<String>,

    /// The source address
    #[arg(long)]
    source: Option<String>,

    /// The S3 operation, or decrypt, encrypt, delete
    #[arg(long)]
    action: Option<String>,

    /// The bucket
    #[arg(long)]
    bucket: Option<String>,

    /// The object's key; also found by what else a storage may take it for, as `/a` for `a`, unless names are hashed
    #[arg(long)]
    key: Option<String>,

    /// What the object's key begins with, or what else a storage may take it for
    #[arg(long)]
    prefix: Option<String>,

    /// The key under which names are hashed: env:NAME or file:PATH; with --bucket and --key
    #[arg(long, value_name = "PLACE", requires = "key", requires = "bucket")]
    name_key: Option<String>,

    /// What was decided
    #[arg(long, value_enum)]
    decision: Option<DecisionArgument>,

    /// Not before this time (UTC)
    #[arg(long, value_name = "TIME", value_parser = places::time)]
    since: Option<String>,

    /// Before this time (UTC)
    #[arg(long, value_name = "TIME", value_parser = places::time)]
    until: Option<String>,

    /// Stop after so many records
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// Print the records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DecisionArgument {
    Allow,
    Deny,
}

pub(super) fn run(arguments: SearchArguments) -> anyhow::Result<()> {
    let mut query = Query {
        identity: arguments.identity,
        access_key: arguments.access_key,
        session: arguments.session,
        grant: arguments.grant,
        request: arguments.request,
        source: arguments.source,
        action: arguments.action,
        bucket: arguments.bucket,
        key: arguments.key,
        prefix: arguments.prefix,
        other_names: Some(aliases),
        key_hash: None,
        decision: arguments.decision.map(|decision| match decision {
            DecisionArgument::Allow => Verdict::Allow,
            DecisionArgument::Deny => Verdict::Deny,
        }),
        since: arguments.since,
        until: arguments.until,
    };
    if let (Some(place), Some(bucket)) = (&arguments.name_key, &query.bucket) {
        let secret = secret_of_reference(place).map_err(anyhow::Error::msg)?;
        let names = ObjectNames::Hashed(Zeroizing::new(secret.expose().as_bytes().to_vec()));
        query.key_hash = query.key.take().and_then(|key| names.hash(bucket, &key));
    }
    let mut finder = Finder::new(query);
    let mut entries = Entries::open(&Directory::new(&arguments.directory), 0)
        .with_context(|| places::unreadable_log(&arguments.directory))?;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(entry) = entries.next_entry()?
    {
        if finder.wants(&entry.event) {
            show(&entry, arguments.json)?;
            left -= 1;
        }
    }
    Ok(())
}

/// Prints a record, as it is or for people.
pub(super) fn show(entry: &Entry, json: bool) -> anyhow::Result<()> {
    if json {
        // A line is ASCII.
        return output::line(String::from_utf8_lossy(&entry.bytes).trim_end());
    }
    output::line(&as_text(entry.header.seq, &entry.event))
}

fn as_text(sequence: u64, event: &Event) -> String {
    let kind = match event.kind {
        Kind::Intent if event.decision == Some(Verdict::Deny) => "denied",
        Kind::Intent => "intent",
        Kind::Outcome => "outcome",
        Kind::Segment => "segment",
        Kind::Start => "start",
        Kind::Stop => "stop",
        Kind::Lost => "LOST",
    };
    let mut text = format!("{sequence:>8}  {}  {kind:7}", event.time);
    let mut word = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Names are whatever somebody chose: escaped, so that none steers a terminal.
            text.push_str("  ");
            text.push_str(name);
            text.extend(value.escape_default());
        }
    };
    word("", event.request.as_deref());
    word("", event.identity.as_deref());
    word("access key ", event.access_key.as_deref());
    word("session ", event.session.as_deref());
    word("grant ", event.grant.as_deref());
    word("from ", event.source.as_deref());
    word("", event.operation.as_deref());
    word("", event.action.as_deref());
    let object = match (&event.bucket, &event.key, &event.key_hash) {
        (Some(bucket), Some(key), _) => Some(format!("{bucket}/{key}")),
        (Some(bucket), None, Some(hash)) => Some(format!("{bucket}/ {hash}")),
        (Some(bucket), None, None) => Some(bucket.clone()),
        _ => None,
    };
    word("", object.as_deref());
    word("version ", event.version.as_deref());
    word("by policy ", event.policy.as_deref());
    word(
        "status ",
        event.status.map(|status| status.to_string()).as_deref(),
    );
    word("", event.error.as_deref());
    word(
        "bytes ",
        event.bytes.map(|bytes| bytes.to_string()).as_deref(),
    );
    if event.complete == Some(false) {
        word("", Some("incomplete"));
    }
    for id in &event.key_ids {
        word("key ", Some(id));
    }
    word("lost ", event.lost.map(|lost| lost.to_string()).as_deref());
    word(
        "cut bytes ",
        event.cut_bytes.map(|cut| cut.to_string()).as_deref(),
    );
    word("because ", event.reason.as_deref());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_steers_a_terminal() {
        let mut event = Event::new(Kind::Outcome);
        event.bucket = Some("b".to_owned());
        event.key = Some("a\u{1b}[2J\n\u{202e}b".to_owned());
        let text = as_text(7, &event);
        assert!(text.ends_with("b/a\\u{1b}[2J\\n\\u{202e}b"), "{text}");
    }
}
