//! `sealgate inspect`: what a sealed file says about itself, without its key.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use sealgate_envelope::Suite;
use sealgate_envelope::header::Header;
use sealgate_envelope::io::SealedFile;
use sealgate_envelope::layout::plaintext_length;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::files::Input;
use super::output;

/// Bytes in front of a sealed file's header: magic and length (FORMAT.md section 8).
const PREAMBLE_LENGTH: u64 = 12;

/// Show what a sealed file says about itself
///
/// No key is needed, and nothing is verified: whoever could change the file could change this. `open` verifies.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate inspect notes.txt.sealed\n  sealgate inspect --json notes.txt.sealed | jq .wraps"
)]
pub(super) struct InspectArguments {
    /// The sealed file; `-` for standard input
    input: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &InspectArguments) -> anyhow::Result<()> {
    let input = Input::open(&arguments.input)?;
    let name = input.name();
    let file = input.into_file()?;
    let length = file
        .metadata()
        .with_context(|| format!("{name} can't be read"))?
        .len();
    let sealed = SealedFile::read(file).with_context(|| format!("{name} can't be read"))?;
    let description = Description::of(sealed.header(), length);
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&description.to_json())?
    } else {
        description.to_text()
    })
}

/// What a header and a length tell.
struct Description {
    suite: String,
    created: String,
    working_key_id: String,
    object_id: String,
    file_length: u64,
    /// `None` where no sealed file has this length.
    plaintext_length: Option<u64>,
    wraps: Vec<(String, String)>,
}

impl Description {
    fn of(header: &Header, file_length: u64) -> Self {
        let body_length = (header.as_bytes().len() as u64)
            .checked_add(PREAMBLE_LENGTH)
            .and_then(|start| file_length.checked_sub(start));
        let wraps = header.wraps().iter().map(|wrap| {
            let provider = wrap.provider();
            let name = provider
                .name()
                .map_or_else(|| format!("unknown ({})", provider.code()), str::to_owned);
            (name, wrap.key_reference().to_string())
        });
        Self {
            suite: suite_name(header.suite()),
            created: rfc3339(header.created()),
            working_key_id: header.working_key_id().to_string(),
            object_id: header.object_id().to_string(),
            file_length,
            plaintext_length: body_length.and_then(plaintext_length),
            wraps: wraps.collect(),
        }
    }

    fn to_json(&self) -> Value {
        let wraps = self.wraps.iter().map(
            |(provider, reference)| json!({ "provider": provider, "key_reference": reference }),
        );
        json!({
            "format": 1,
            "verified": false,
            "suite": self.suite,
            "created": self.created,
            "working_key_id": self.working_key_id,
            "object_id": self.object_id,
            "file_length": self.file_length,
            "plaintext_length": self.plaintext_length,
            "wraps": wraps.collect::<Vec<_>>(),
        })
    }

    fn to_text(&self) -> String {
        let length = self.plaintext_length.map_or_else(
            || "unknown: no sealed file has this length, so this one is damaged".to_owned(),
            |length| format!("{length} bytes"),
        );
        let wraps: Vec<_> = self
            .wraps
            .iter()
            .map(|(provider, reference)| format!("{provider} key {reference}"))
            .collect();
        format!(
            "sealed file, format version 1 (nothing here is verified; `sealgate open` verifies)\n\
             suite          {}\n\
             created        {}\n\
             plaintext      {length}\n\
             file           {} bytes\n\
             working key    {}\n\
             object id      {}\n\
             wrapped under  {}",
            self.suite,
            self.created,
            self.file_length,
            self.working_key_id,
            self.object_id,
            wraps.join(", ")
        )
    }
}

/// The name that configurations use, or the number of a suite that this version of the command has no name for.
fn suite_name(suite: Suite) -> String {
    match suite {
        Suite::Aes256Gcm => "aes-256-gcm".to_owned(),
        Suite::ChaCha20Poly1305 => "chacha20-poly1305".to_owned(),
        other => format!("suite {}", other.code()),
    }
}

/// Milliseconds since 1970 for people; the number itself where no calendar has that time.
fn rfc3339(milliseconds: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{milliseconds} ms since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable_whatever_the_file_says() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_500), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(u64::MAX), format!("{} ms since 1970", u64::MAX));
    }
}
