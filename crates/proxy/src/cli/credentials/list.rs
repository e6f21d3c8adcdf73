//! `sealgate credentials list`: which access keys there are, and what becomes of them.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::output;
use super::store::Store;
use crate::credentials::CredentialFile;

/// List access keys: whose they are, when they were made, until when they work
///
/// Those of the directory, and those that stand in the configuration or in the environment. Nobody is asked, nothing is
/// opened, and no secret is shown. What ended more than 30 days ago is forgotten at the next change.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate credentials list\n  sealgate credentials list --identity app --json"
)]
pub(super) struct ListArguments {
    /// Only of this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ListArguments) -> anyhow::Result<()> {
    let store = Store::open(&arguments.config)?;
    let is_asked = |identity: &str| {
        let mut wanted = arguments.identity.iter();
        wanted.all(|wanted| wanted == identity)
    };
    let is_known = |name: &str| {
        let mut identities = store.config().identities.iter();
        identities.any(|identity| identity.name == name)
    };
    let now = OffsetDateTime::now_utc();
    let mut rows = Vec::new();
    for identity in &store.config().identities {
        for credential in &identity.credentials {
            rows.push(json!({
                "identity": identity.name,
                "access_key_id": credential.access_key_id,
                "from": "configuration",
                "state": "active",
            }));
        }
    }
    let mut broken = Vec::new();
    for (name, file) in store.directory().read_all()? {
        match file {
            Ok(file) => rows.push(row(&file, is_known(&file.identity), now)),
            Err(cause) => broken.push(json!({ "access_key_id": name, "cause": cause })),
        }
    }
    rows.retain(|row| is_asked(&text(row, "identity")));
    rows.sort_by_key(|row| (text(row, "identity"), text(row, "created")));
    if arguments.json {
        let document = json!({ "credentials": rows, "unreadable": broken });
        return output::line(&serde_json::to_string_pretty(&document)?);
    }
    let columns = [
        "identity",
        "access_key_id",
        "state",
        "created",
        "expires",
        "last_rotation",
    ];
    let cells = rows
        .iter()
        .map(|row| columns.map(|column| text(row, column)));
    let lines: Vec<_> = [columns.map(|column| column.replace('_', " "))]
        .into_iter()
        .chain(cells)
        .collect();
    let widths: Vec<_> = (0..columns.len())
        .map(|column| {
            let lengths = lines.iter().filter_map(|line| line.get(column));
            lengths.map(String::len).max().unwrap_or_default()
        })
        .collect();
    for line in &lines {
        let padded: Vec<_> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        output::line(padded.join("  ").trim_end())?;
    }
    for file in &broken {
        output::line(&format!(
            "{}: the file can't be used: {}",
            text(file, "access_key_id"),
            text(file, "cause")
        ))?;
    }
    Ok(())
}

fn row(file: &CredentialFile, is_known: bool, now: OffsetDateTime) -> Value {
    let state = file.state(now);
    let state = if state.works() && !is_known {
        "without identity"
    } else {
        state.name()
    };
    json!({
        "identity": file.identity,
        "access_key_id": file.access_key_id,
        "from": "directory",
        "state": state,
        "created": file.created,
        "expires": file.expires,
        "last_rotation": file.rotated_from.as_ref().map(|_| file.created),
        "rotated_from": file.rotated_from,
        "replaced_by": file.replaced_by,
        "revoked": file.revoked,
    })
}

fn text(row: &Value, column: &str) -> String {
    match row.get(column) {
        Some(Value::String(text)) => text.clone(),
        _ => "-".to_owned(),
    }
}
