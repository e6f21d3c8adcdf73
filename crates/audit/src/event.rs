//! What is recorded: decisions, what came of them, and what happened to the log itself.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::limits::{MAX_KEY_IDS, MAX_OBJECT_NAME, MAX_TEXT};

const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The first line of a file: `tree` holds the frontier of all lines before it, so that a file can be verified without the earlier ones.
    Segment,
    /// The log was opened by a process; `lost` and `cut_bytes` say what an earlier one left behind.
    Start,
    /// The log was closed in order.
    Stop,
    /// Something was decided and is about to be done, or was refused. Durable before anything is done.
    Intent,
    /// What came of a request: joined to its intents by `request`.
    Outcome,
    /// Events that could not be recorded, where the configuration lets requests go on all the same; `lost` says how many.
    Lost,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may be done.
    Allow,
    /// It was refused.
    Deny,
}

/// Everything of a line but its place in the log. The order of the members is that of the canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// UTC, RFC 3339 with microseconds.
    pub time: String,
    /// What the line is about.
    pub kind: Kind,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The access key id that signed; in a session, the one that the session was got with, where there was one. Of a command, the one that it makes or revokes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// The session in which they ask: its access key id, and of a role also the session's name and who got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The grant that lets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The S3 operation of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What is done to this object: `decrypt`, `encrypt`, or the operation itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The object's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Instead of it, its keyed hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hash: Option<String>,
    /// The object's version, where the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// By which policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The working keys that were opened or sealed with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_ids: Vec<String>,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The S3 error code of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Bytes of the answer's body that were handed to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether the answer's body ended; false where it failed, or the client went away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Of a segment: the frontier of the tree of all lines before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Vec<String>>,
    /// The software and version that opened the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Bytes of a line that was being written when a process ended, and that were cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_bytes: Option<u64>,
    /// Events that were not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a text was too long, and is cut here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Who wants to do what to what, and whether they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The id of the request.
    pub request: String,
    /// Who asks; empty where nobody is known.
    pub identity: String,
    /// The access key that signed, that the session was got with, or that a command makes.
    pub access_key: Option<String>,
    /// The session in which they ask, where they do not ask with a key of their own.
    pub session: Option<String>,
    /// The grant that lets them.
    pub grant: Option<String>,
    /// From which address.
    pub source: Option<String>,
    /// The S3 operation of the request.
    pub operation: String,
    /// `decrypt`, `encrypt`, or nothing where the operation says it all.
    pub action: Option<&'static str>,
    /// The bucket.
    pub bucket: Option<String>,
    /// The object's key, decoded.
    pub key: Option<String>,
    /// Its version, where the request names one.
    pub version: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// By which policy.
    pub policy: Option<String>,
}

impl Decision {
    /// One that says nothing else yet.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            request: String::new(),
            identity: String::new(),
            access_key: None,
            session: None,
            grant: None,
            source: None,
            operation: String::new(),
            action: None,
            bucket: None,
            key: None,
            version: None,
            verdict,
            policy: None,
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The id of the request.
    pub request: String,
    /// The status of the answer; none where there was no answer.
    pub status: Option<u16>,
    /// The S3 error code of the answer.
    pub error: Option<String>,
    /// Bytes of the answer's body that were handed to the client.
    pub bytes: u64,
    /// Whether the answer's body ended.
    pub complete: bool,
    /// The working keys that were opened or sealed with.
    pub key_ids: Vec<String>,
}

impl Event {
    /// An event of now that says nothing else yet.
    pub fn new(kind: Kind) -> Self {
        Self {
            time: format_time(OffsetDateTime::now_utc()),
            kind,
            request: None,
            identity: None,
            access_key: None,
            session: None,
            grant: None,
            source: None,
            operation: None,
            action: None,
            bucket: None,
            key: None,
            key_hash: None,
            version: None,
            decision: None,
            policy: None,
            key_ids: Vec::new(),
            status: None,
            error: None,
            bytes: None,
            complete: None,
            tree: None,
            software: None,
            cut_bytes: None,
            lost: None,
            reason: None,
            cut: false,
        }
    }

    /// A decision.
    pub fn intent(decision: Decision) -> Self {
        let present = |text: String| (!text.is_empty()).then_some(text);
        Self {
            request: present(decision.request),
            identity: present(decision.identity),
            access_key: decision.access_key,
            session: decision.session,
            grant: decision.grant,
            source: decision.source,
            operation: present(decision.operation),
            action: decision.action.map(str::to_owned),
            bucket: decision.bucket,
            key: decision.key,
            version: decision.version,
            decision: Some(decision.verdict),
            policy: decision.policy,
            ..Self::new(Kind::Intent)
        }
    }

    /// What came of a request.
    pub fn outcome(outcome: Outcome) -> Self {
        Self {
            request: Some(outcome.request),
            status: outcome.status,
            error: outcome.error,
            bytes: Some(outcome.bytes),
            complete: Some(outcome.complete),
            key_ids: outcome.key_ids,
            ..Self::new(Kind::Outcome)
        }
    }

    /// The event with every text within its limit; `cut` tells where one was not.
    pub(crate) fn bounded(mut self) -> Self {
        let mut cut = self.cut;
        let mut bound = |text: &mut Option<String>, limit: usize| {
            let Some(text) = text else { return };
            if text.len() > limit {
                let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end));
                text.truncate(end.unwrap_or(0));
                cut = true;
            }
        };
        bound(&mut self.key, MAX_OBJECT_NAME);
        for text in [
            &mut self.request,
            &mut self.identity,
            &mut self.access_key,
            &mut self.session,
            &mut self.grant,
            &mut self.source,
            &mut self.operation,
            &mut self.action,
            &mut self.bucket,
            &mut self.version,
            &mut self.policy,
            &mut self.error,
            &mut self.software,
            &mut self.reason,
        ] {
            // Escaped, a byte may take six: short texts leave room for the longest key.
            bound(text, MAX_TEXT);
        }
        cut |= self.key_ids.len() > MAX_KEY_IDS;
        self.key_ids.truncate(MAX_KEY_IDS);
        self.cut = cut;
        self
    }
}

/// A time as records have it.
pub fn format_time(time: OffsetDateTime) -> String {
    // The format has nothing that a time of UTC lacks.
    time.format(TIME).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let mut event = Event::new(Kind::Intent);
        event.identity = Some("ü".repeat(200));
        let event = event.bounded();
        assert!(event.cut);
        assert_eq!(event.identity.unwrap().len(), MAX_TEXT);
    }
}
