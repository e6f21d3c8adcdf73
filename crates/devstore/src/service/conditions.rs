//! Conditional requests: RFC 9110, section 13, and "Conditional writes" of the S3 user guide.

use http::{HeaderMap, HeaderName};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::answer;
use crate::index::records::ObjectRecord;

/// The conditions of a read, or of the source of a copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadConditions {
    pub(crate) matches: Option<ETagCondition>,
    pub(crate) none_matches: Option<ETagCondition>,
    pub(crate) modified_since: Option<Timestamp>,
    pub(crate) unmodified_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

impl ReadConditions {
    /// Decides in the order of RFC 9110, section 13.2.2. `modified` is in milliseconds.
    pub(crate) fn judge(&self, etag: &str, modified: i64) -> Verdict {
        // HTTP dates have no fractions.
        let modified = modified.div_euclid(1000);
        match (&self.matches, &self.unmodified_since) {
            (Some(condition), _) if !matches(condition, etag, Comparison::Strong) => {
                return Verdict::Failed;
            }
            (None, Some(time)) if modified > seconds(time) => return Verdict::Failed,
            _ => {}
        }
        match (&self.none_matches, &self.modified_since) {
            (Some(condition), _) if matches(condition, etag, Comparison::Weak) => {
                Verdict::NotModified
            }
            (None, Some(time)) if modified <= seconds(time) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// For GET and HEAD.
    pub(crate) fn check_read(&self, record: &ObjectRecord) -> S3Result<()> {
        match self.judge(&record.etag, record.modified) {
            Verdict::Proceed => Ok(()),
            Verdict::NotModified => Err(answer::not_modified(record)),
            Verdict::Failed => Err(answer::precondition_failed()),
        }
    }

    /// For the source of a copy, where "not modified" is a failure too.
    pub(crate) fn check_source(&self, record: &ObjectRecord) -> S3Result<()> {
        match self.judge(&record.etag, record.modified) {
            Verdict::Proceed => Ok(()),
            Verdict::NotModified | Verdict::Failed => Err(answer::precondition_failed()),
        }
    }
}

/// The conditions of a write, to be checked inside the transaction that stores the object.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteConditions {
    if_match: Option<ETagCondition>,
    if_none_match: bool,
}

impl WriteConditions {
    /// S3 knows only `*` as If-None-Match of a write, and refuses what it does not know.
    pub(crate) fn new(
        if_match: Option<ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<Self> {
        let if_none_match = match if_none_match {
            None => false,
            Some(ETagCondition::Any) => true,
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(
                    NotImplemented,
                    "If-None-Match of a write can only be *"
                ));
            }
        };
        if if_match.is_some() && if_none_match {
            return Err(s3_error!(
                NotImplemented,
                "If-Match and If-None-Match of a write exclude each other"
            ));
        }
        Ok(Self {
            if_match,
            if_none_match,
        })
    }

    /// From the headers, for operations whose inputs do not carry them.
    pub(crate) fn from_headers(headers: &HeaderMap) -> S3Result<Self> {
        let condition = |name: HeaderName| {
            let value = headers
                .get(&name)
                .map(|value| ETagCondition::parse_http_header(value.as_bytes()));
            value
                .transpose()
                .map_err(|_| s3_error!(InvalidArgument, "{name} is neither * nor an ETag"))
        };
        Self::new(
            condition(http::header::IF_MATCH)?,
            condition(http::header::IF_NONE_MATCH)?.as_ref(),
        )
    }

    pub(crate) fn check(&self, existing: Option<&ObjectRecord>) -> S3Result<()> {
        match (&self.if_match, existing) {
            (Some(_), None) => {
                return Err(s3_error!(NoSuchKey, "The specified key does not exist."));
            }
            (Some(condition), Some(record))
                if !matches(condition, &record.etag, Comparison::Strong) =>
            {
                return Err(answer::precondition_failed());
            }
            _ => {}
        }
        if self.if_none_match && existing.is_some() {
            return Err(answer::precondition_failed());
        }
        Ok(())
    }
}

/// If-Range: whether the range applies. RFC 9110, section 13.1.5.
pub(crate) fn range_applies(headers: &HeaderMap, record: &ObjectRecord) -> bool {
    let Some(value) = headers.get(http::header::IF_RANGE) else {
        return true;
    };
    if let Ok(condition) = ETagCondition::parse_http_header(value.as_bytes()) {
        return matches(&condition, &record.etag, Comparison::Strong);
    }
    let time = value
        .to_str()
        .ok()
        .and_then(|text| Timestamp::parse(s3s::dto::TimestampFormat::HttpDate, text).ok());
    time.is_some_and(|time| seconds(&time) == record.modified.div_euclid(1000))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether one of the tags of a condition is `etag`.
fn matches(condition: &ETagCondition, etag: &str, comparison: Comparison) -> bool {
    let (list, first_is_weak) = match condition {
        ETagCondition::Any => return true,
        ETagCondition::ETag(ETag::Strong(list)) => (list, false),
        ETagCondition::ETag(ETag::Weak(list)) => (list, true),
    };
    // The parser of s3s takes a list of tags for one tag and strips its outer quotes: `"a", W/"b"`
    // arrives as `a", W/"b`. Split at quotes, tags and what stands between them alternate.
    let mut weak = first_is_weak;
    for (position, piece) in list.split('"').enumerate() {
        if position % 2 == 1 {
            weak = piece.trim_end().ends_with("W/");
        } else if piece == etag && (comparison == Comparison::Weak || !weak) {
            return true;
        }
    }
    false
}

fn seconds(time: &Timestamp) -> i64 {
    time::OffsetDateTime::from(time.clone()).unix_timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(text: &str) -> ETagCondition {
        ETagCondition::parse_http_header(text.as_bytes()).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        time::OffsetDateTime::from_unix_timestamp(second)
            .unwrap()
            .into()
    }

    fn judge(conditions: &ReadConditions) -> Verdict {
        conditions.judge("abc", 10_500)
    }

    #[test]
    fn if_match_takes_lists_and_only_strong_tags() {
        let with = |text| {
            judge(&ReadConditions {
                matches: Some(etag(text)),
                ..Default::default()
            })
        };
        for text in [
            "*",
            "\"abc\"",
            "abc",
            "\"x\", \"abc\"",
            "W/\"x\", \"abc\"",
            "\"abc\",\"x\"",
        ] {
            assert_eq!(with(text), Verdict::Proceed, "{text}");
        }
        for text in ["\"x\"", "W/\"abc\"", "\"x\", W/\"abc\"", "\"ab\""] {
            assert_eq!(with(text), Verdict::Failed, "{text}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let with = |text| {
            judge(&ReadConditions {
                none_matches: Some(etag(text)),
                ..Default::default()
            })
        };
        for text in ["*", "\"abc\"", "W/\"abc\"", "\"x\", W/\"abc\""] {
            assert_eq!(with(text), Verdict::NotModified, "{text}");
        }
        assert_eq!(with("\"x\""), Verdict::Proceed);
    }

    #[test]
    fn dates_count_whole_seconds_and_yield_to_tags() {
        let since = |second| {
            judge(&ReadConditions {
                modified_since: Some(at(second)),
                ..Default::default()
            })
        };
        assert_eq!(
            (since(9), since(10), since(11)),
            (Verdict::Proceed, Verdict::NotModified, Verdict::NotModified)
        );
        let until = |second| {
            judge(&ReadConditions {
                unmodified_since: Some(at(second)),
                ..Default::default()
            })
        };
        assert_eq!(
            (until(9), until(10), until(11)),
            (Verdict::Failed, Verdict::Proceed, Verdict::Proceed)
        );
        let both = ReadConditions {
            matches: Some(etag("abc")),
            unmodified_since: Some(at(1)),
            ..Default::default()
        };
        assert_eq!(judge(&both), Verdict::Proceed);
        let both = ReadConditions {
            none_matches: Some(etag("x")),
            modified_since: Some(at(99)),
            ..Default::default()
        };
        assert_eq!(judge(&both), Verdict::Proceed);
    }

    #[test]
    fn unknown_write_conditions_are_refused() {
        assert!(WriteConditions::new(None, Some(&etag("\"x\""))).is_err());
        assert!(WriteConditions::new(Some(etag("\"x\"")), Some(&etag("*"))).is_err());
        assert!(
            WriteConditions::new(Some(etag("\"x\"")), None)
                .unwrap()
                .check(None)
                .is_err()
        );
        assert!(
            WriteConditions::new(None, Some(&etag("*")))
                .unwrap()
                .check(None)
                .is_ok()
        );
    }
}
