//! Records as lines of the Common Event Format (ArcSight CEF, version 0): a header of seven fields between bars, and an extension of keys and
//! values. The keys are those of its dictionary; what has none there is in labelled custom strings.

use std::fmt::Write as _;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    event::{Event, Kind, Verdict},
    line::Header,
};

/// How much a refusal matters, and everything else (0 to 10).
const SEVERITY: (u8, u8) = (6, 2);

/// The line of a record, without its line feed; `None` for those about the log itself.
pub fn line(log: &str, header: &Header, event: &Event) -> Option<String> {
    let class = match event.kind {
        Kind::Intent => "intent",
        Kind::Outcome => "outcome",
        Kind::Segment | Kind::Start | Kind::Stop | Kind::Lost => return None,
    };
    let time = OffsetDateTime::parse(&event.time, &Rfc3339).ok()?;
    let is_refusal =
        event.decision == Some(Verdict::Deny) || matches!(event.status, Some(401 | 403));
    let severity = if is_refusal { SEVERITY.0 } else { SEVERITY.1 };
    let name = event.operation.as_deref().unwrap_or(class);
    let mut line = format!(
        "CEF:0|sealgate|sealgate|{}|{class}|{}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        escaped(name, &['|'])
    );
    let milliseconds = time.unix_timestamp_nanos() / 1_000_000;
    let mut pairs = vec![
        ("rt", milliseconds.to_string()),
        ("externalId", format!("{log}/{}", header.seq)),
    ];
    let mut text = |key, value: Option<&str>| {
        pairs.extend(value.map(|value| (key, value.to_owned())));
    };
    text("src", event.source.as_deref());
    text("suser", event.identity.as_deref());
    // The account's id: an access key is what an identity signs with.
    text("suid", event.access_key.as_deref());
    text("act", event.action.as_deref());
    text(
        "outcome",
        event.decision.map(|decision| match decision {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        }),
    );
    text("reason", event.error.as_deref());
    text("filePath", event.key.as_deref());
    text("fileHash", event.key_hash.as_deref());
    text("fileId", event.version.as_deref());
    let key_ids = event.key_ids.join(",");
    let custom = [
        ("cs1", "cs1Label", "bucket", event.bucket.as_deref()),
        ("cs2", "cs2Label", "request", event.request.as_deref()),
        ("cs3", "cs3Label", "policy", event.policy.as_deref()),
        ("cs4", "cs4Label", "grant", event.grant.as_deref()),
        (
            "cs5",
            "cs5Label",
            "keyIds",
            (!key_ids.is_empty()).then_some(key_ids.as_str()),
        ),
        (
            "cs6",
            "cs6Label",
            "complete",
            event.complete.map(|all| if all { "true" } else { "false" }),
        ),
    ];
    for (key, label, meaning, value) in custom {
        if let Some(value) = value {
            pairs.push((label, meaning.to_owned()));
            pairs.push((key, value.to_owned()));
        }
    }
    if let Some(status) = event.status {
        pairs.push(("cn1Label", "status".to_owned()));
        pairs.push(("cn1", status.to_string()));
    }
    pairs.extend(event.bytes.map(|bytes| ("out", bytes.to_string())));
    for (number, (key, value)) in pairs.iter().enumerate() {
        let space = if number == 0 { "" } else { " " };
        // Writing to a String never fails.
        let _ = write!(line, "{space}{key}={}", escaped(value, &['=']));
    }
    Some(line)
}

/// A value in which backslashes and these characters are escaped, line ends are written as CEF has them, and other control characters, which it
/// has no form for, as in the records.
fn escaped(value: &str, special: &[char]) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' => text.push_str("\\\\"),
            character if special.contains(&character) => {
                text.push('\\');
                text.push(character);
            }
            character if character.is_control() => {
                let _ = write!(text, "\\\\u{:04x}", u32::from(character));
            }
            character => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, Outcome};

    fn header() -> Header {
        Header {
            seq: 7,
            prev: String::new(),
            signed: 0,
        }
    }

    #[test]
    fn a_decision_is_one_line_whatever_the_names_are() {
        let intent = Event {
            time: "2026-01-02T03:04:05.678901Z".to_owned(),
            ..Event::intent(Decision {
                request: "0123456789ABCDEF".to_owned(),
                identity: "alice".to_owned(),
                source: Some("192.0.2.1".to_owned()),
                operation: "Get|Object".to_owned(),
                action: Some("decrypt"),
                bucket: Some("photos".to_owned()),
                key: Some("a=b\\c|d\ne\u{1b}[m".to_owned()),
                ..Decision::new(Verdict::Deny)
            })
        };
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            r"CEF:0|sealgate|sealgate|{version}|intent|Get\|Object|6|rt=1767323045678 externalId=example.com/one/7 src=192.0.2.1 suser=alice act=decrypt outcome=deny filePath=a\=b\\c|d\ne\\u001b[m cs1Label=bucket cs1=photos cs2Label=request cs2=0123456789ABCDEF"
        );
        assert_eq!(line("example.com/one", &header(), &intent), Some(expected));
    }

    #[test]
    fn an_outcome_has_its_numbers_and_the_log_itself_is_left_out() {
        let outcome = Event::outcome(Outcome {
            status: Some(200),
            bytes: 5,
            complete: true,
            key_ids: vec!["one".to_owned(), "two".to_owned()],
            ..Outcome::default()
        });
        let text = line("l", &header(), &outcome).unwrap();
        for part in [
            "|outcome|outcome|2|",
            " out=5",
            " cn1Label=status cn1=200",
            " cs5Label=keyIds cs5=one,two",
            " cs6Label=complete cs6=true",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(line("l", &header(), &Event::new(Kind::Start)), None);
    }
}
