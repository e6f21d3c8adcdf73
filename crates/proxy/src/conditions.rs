//! Conditions on reads, which the gateway decides itself: those of GET and HEAD, and those on the source of a copy (RFC 9110, section 13; S3 API
//! reference, GetObject and CopyObject).
//!
//! Tags are compared as clients see them, so a header needs no mapping here. Conditions on writes are not decided here: between a look and
//! a write another writer may come, so only the storage can.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    entity_tag::{EntityTag, EntityTagError, TagCondition},
    error::S3Error,
};

/// Headers of an answer that a refusal repeats: they say which object it is about (RFC 9110, section 15.4.5).
const OF_THE_OBJECT: [HeaderName; 2] = [
    header::LAST_MODIFIED,
    HeaderName::from_static("x-amz-version-id"),
];

/// The raw values of the four condition headers of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConditionHeaders<'a> {
    /// `If-Match` or `x-amz-copy-source-if-match`.
    pub if_match: Option<&'a str>,
    /// `If-None-Match` or `x-amz-copy-source-if-none-match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since` or `x-amz-copy-source-if-modified-since`.
    pub if_modified_since: Option<&'a str>,
    /// `If-Unmodified-Since` or `x-amz-copy-source-if-unmodified-since`.
    pub if_unmodified_since: Option<&'a str>,
}

/// Conditions, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    matching: Option<TagCondition>,
    none_matching: Option<TagCondition>,
    modified_since: Option<SystemTime>,
    unmodified_since: Option<SystemTime>,
}

/// What the conditions of a read decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// All hold: go on.
    Proceed,
    /// `If-None-Match` or `If-Modified-Since` failed: a GET or HEAD is answered 304, a copy 412.
    NotModified,
    /// `If-Match` or `If-Unmodified-Since` failed: answer 412 `PreconditionFailed`.
    PreconditionFailed,
}

impl Conditions {
    /// Reads the headers. A date that cannot be read is ignored, as RFC 9110 demands (sections 13.1.3 and 13.1.4).
    ///
    /// # Errors
    /// [`EntityTagError`] where a list of tags cannot be read; answer `InvalidArgument`.
    pub fn parse(headers: ConditionHeaders<'_>) -> Result<Self, EntityTagError> {
        let date = |value: Option<&str>| {
            value.and_then(|text| httpdate::parse_http_date(text.trim()).ok())
        };
        Ok(Self {
            matching: headers.if_match.map(TagCondition::parse).transpose()?,
            none_matching: headers.if_none_match.map(TagCondition::parse).transpose()?,
            modified_since: date(headers.if_modified_since),
            unmodified_since: date(headers.if_unmodified_since),
        })
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the client wants the very object that it knows by its tag or its date, to go on with it perhaps.
    pub fn want_a_known_object(&self) -> bool {
        match &self.matching {
            Some(condition) => *condition != TagCondition::Any,
            None => self.unmodified_since.is_some(),
        }
    }

    /// Decides for an existing object with this client-visible tag and modification time.
    ///
    /// A tag condition takes precedence over the date condition of its pair (RFC 9110, section 13.2.2): where `If-Match` is present
    /// `If-Unmodified-Since` is not looked at, and where `If-None-Match` is present `If-Modified-Since` is not.
    pub fn evaluate(&self, entity_tag: &EntityTag, last_modified: SystemTime) -> Decision {
        // HTTP dates have whole seconds; a finer time would always be later than the date that it was served as.
        let last_modified = whole_seconds(last_modified);
        let unchanged = match (&self.matching, self.unmodified_since) {
            (Some(condition), _) => condition.matches_strongly(entity_tag),
            (None, Some(date)) => last_modified <= date,
            (None, None) => true,
        };
        if !unchanged {
            return Decision::PreconditionFailed;
        }
        let changed = match (&self.none_matching, self.modified_since) {
            (Some(condition), _) => !condition.matches_weakly(entity_tag),
            (None, Some(date)) => last_modified > date,
            (None, None) => true,
        };
        if changed {
            Decision::Proceed
        } else {
            Decision::NotModified
        }
    }

    /// Decides by the head of the upstream's answer. A storage that gives no time of modification is taken at its word about dates.
    ///
    /// # Errors
    /// 304 `NotModified` or 412 `PreconditionFailed`, with the headers that say which object the answer was about.
    pub fn hold(&self, answer: &HeaderMap) -> Result<(), S3Error> {
        if self.is_empty() {
            return Ok(());
        }
        let text = |name| answer.get(name).and_then(|value| value.to_str().ok());
        let entity_tag = EntityTag::parse(text(header::ETAG).unwrap_or_default()).to_client();
        let modified = text(header::LAST_MODIFIED)
            .and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        let decision = match modified {
            Some(modified) => self.evaluate(&entity_tag, modified),
            None => self.without_dates().evaluate(&entity_tag, UNIX_EPOCH),
        };
        let mut refusal = match decision {
            Decision::Proceed => return Ok(()),
            Decision::NotModified => {
                S3Error::new(StatusCode::NOT_MODIFIED, "NotModified", "Not Modified")
            }
            Decision::PreconditionFailed => S3Error::precondition_failed(),
        };
        for name in OF_THE_OBJECT {
            if let Some(value) = answer.get(&name) {
                refusal.headers.insert(name, value.clone());
            }
        }
        if let Ok(value) = HeaderValue::from_str(&entity_tag.to_string()) {
            refusal.headers.insert(header::ETAG, value);
        }
        Err(refusal)
    }

    fn without_dates(&self) -> Self {
        Self {
            modified_since: None,
            unmodified_since: None,
            ..self.clone()
        }
    }

    /// The one condition that the upstream may decide too, with its header: such that no storage misreads it, and that what it refuses
    /// would be refused by [`Self::evaluate`] in the same way.
    pub fn for_upstream(&self) -> Option<(HeaderName, String)> {
        // What is decided first (RFC 9110, section 13.2.2) must not be overtaken by what is decided later.
        match (&self.matching, self.unmodified_since) {
            (Some(condition), _) => {
                return simple(condition, false).map(|value| (header::IF_MATCH, value));
            }
            (None, Some(date)) => {
                return Some((header::IF_UNMODIFIED_SINCE, httpdate::fmt_http_date(date)));
            }
            (None, None) => {}
        }
        match (&self.none_matching, self.modified_since) {
            (Some(condition), _) => {
                simple(condition, true).map(|value| (header::IF_NONE_MATCH, value))
            }
            (None, Some(date)) => Some((header::IF_MODIFIED_SINCE, httpdate::fmt_http_date(date))),
            (None, None) => None,
        }
    }
}

/// A condition of one tag in the upstream's form. In a weak comparison the mark of weakness means nothing, and in a strong one such a tag
/// matches nothing, whatever a storage makes of it.
fn simple(condition: &TagCondition, is_weak_comparison: bool) -> Option<String> {
    match condition {
        TagCondition::Any => Some("*".to_owned()),
        TagCondition::Tags(tags) => match tags.as_slice() {
            [tag] if is_weak_comparison || !tag.is_weak() => {
                let tag = EntityTag::strong(tag.opaque());
                Some(TagCondition::Tags(vec![tag]).to_upstream_header())
            }
            _ => None,
        },
    }
}

/// Cuts a time to whole seconds; times before 1970 become 1970.
fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH
        + Duration::from_secs(
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn decide(headers: ConditionHeaders<'_>) -> Decision {
        let last_modified = httpdate::parse_http_date(SAME).unwrap() + Duration::from_millis(900);
        Conditions::parse(headers)
            .unwrap()
            .evaluate(&EntityTag::strong("tag-01"), last_modified)
    }

    #[test]
    fn each_condition_alone() {
        let headers = ConditionHeaders::default();
        assert_eq!(decide(headers), Decision::Proceed);
        for (value, decision) in [
            ("\"tag-01\"", Decision::Proceed),
            ("*", Decision::Proceed),
            ("\"x\", tag-01", Decision::Proceed),
            ("\"tag\"", Decision::PreconditionFailed),
            ("W/\"tag-01\"", Decision::PreconditionFailed),
        ] {
            assert_eq!(
                decide(ConditionHeaders {
                    if_match: Some(value),
                    ..headers
                }),
                decision,
                "{value}"
            );
        }
        for (value, decision) in [
            ("\"tag-01\"", Decision::NotModified),
            ("*", Decision::NotModified),
            ("W/\"tag-01\"", Decision::NotModified),
            ("\"tag\"", Decision::Proceed),
        ] {
            assert_eq!(
                decide(ConditionHeaders {
                    if_none_match: Some(value),
                    ..headers
                }),
                decision,
                "{value}"
            );
        }
        for (value, decision) in [
            (BEFORE, Decision::Proceed),
            (SAME, Decision::NotModified),
            (AFTER, Decision::NotModified),
            ("yesterday", Decision::Proceed),
        ] {
            assert_eq!(
                decide(ConditionHeaders {
                    if_modified_since: Some(value),
                    ..headers
                }),
                decision,
                "{value}"
            );
        }
        for (value, decision) in [
            (BEFORE, Decision::PreconditionFailed),
            (SAME, Decision::Proceed),
            (AFTER, Decision::Proceed),
            ("yesterday", Decision::Proceed),
        ] {
            assert_eq!(
                decide(ConditionHeaders {
                    if_unmodified_since: Some(value),
                    ..headers
                }),
                decision,
                "{value}"
            );
        }
    }

    #[test]
    fn tags_take_precedence_over_dates() {
        let both = ConditionHeaders {
            if_match: Some("\"tag-01\""),
            if_unmodified_since: Some(BEFORE),
            ..Default::default()
        };
        assert_eq!(decide(both), Decision::Proceed);
        let both = ConditionHeaders {
            if_none_match: Some("\"tag-01\""),
            if_modified_since: Some(BEFORE),
            ..Default::default()
        };
        assert_eq!(decide(both), Decision::NotModified);
        let both = ConditionHeaders {
            if_none_match: Some("\"other\""),
            if_modified_since: Some(AFTER),
            ..Default::default()
        };
        assert_eq!(decide(both), Decision::Proceed);
    }

    #[test]
    fn a_failed_match_wins_over_not_modified() {
        let headers = ConditionHeaders {
            if_match: Some("\"x\""),
            if_none_match: Some("*"),
            ..Default::default()
        };
        assert_eq!(decide(headers), Decision::PreconditionFailed);
    }

    #[test]
    fn an_answer_that_a_storage_should_not_have_given_is_refused_with_what_it_is_about() {
        let answer = HeaderMap::from_iter([
            (header::ETAG, HeaderValue::from_static("\"tag\"")),
            (header::LAST_MODIFIED, HeaderValue::from_static(SAME)),
            (
                HeaderName::from_static("x-amz-version-id"),
                HeaderValue::from_static("v"),
            ),
            (
                HeaderName::from_static("x-amz-meta-a"),
                HeaderValue::from_static("b"),
            ),
        ]);
        let hold = |headers| Conditions::parse(headers).unwrap().hold(&answer);
        let none = ConditionHeaders::default();
        assert!(hold(none).is_ok());
        let not_modified = hold(ConditionHeaders {
            if_none_match: Some("\"tag-01\""),
            ..none
        })
        .unwrap_err();
        assert_eq!(not_modified.status, StatusCode::NOT_MODIFIED);
        assert_eq!(not_modified.headers[header::ETAG], "\"tag-01\"");
        assert_eq!(not_modified.headers[header::LAST_MODIFIED], SAME);
        assert_eq!(not_modified.headers.len(), 3);
        let failed = hold(ConditionHeaders {
            if_match: Some("\"tag\""),
            ..none
        })
        .unwrap_err();
        assert_eq!(failed.code, "PreconditionFailed");
        assert!(
            hold(ConditionHeaders {
                if_modified_since: Some(BEFORE),
                ..none
            })
            .is_ok()
        );
    }

    #[test]
    fn one_simple_condition_goes_upstream() {
        let sent = |headers| {
            Conditions::parse(headers)
                .unwrap()
                .for_upstream()
                .map(|(name, value)| format!("{name}: {value}"))
        };
        let none = ConditionHeaders::default();
        assert_eq!(sent(none), None);
        let matching = |value| ConditionHeaders {
            if_match: Some(value),
            ..none
        };
        let excluding = |value| ConditionHeaders {
            if_none_match: Some(value),
            ..none
        };
        let both = |a, b| ConditionHeaders {
            if_none_match: Some(b),
            ..matching(a)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(sent(matching("\"a-01\"")), text("if-match: \"a\""));
        assert_eq!(sent(matching("a-3")), text("if-match: \"a-3\""));
        assert_eq!(sent(matching("*")), text("if-match: *"));
        assert_eq!(sent(matching("W/\"a-01\"")), None);
        assert_eq!(sent(matching("\"a-01\", \"b-01\"")), None);
        assert_eq!(sent(excluding("W/\"a-01\"")), text("if-none-match: \"a\""));
        assert_eq!(sent(excluding("\"a-01\", \"b-01\"")), None);
        // The storage must not answer 304 where 412 is due.
        assert_eq!(sent(both("\"a-01\"", "*")), text("if-match: \"a\""));
        assert_eq!(sent(both("W/\"a-01\"", "*")), None);
        let dates = ConditionHeaders {
            if_unmodified_since: Some(BEFORE),
            if_modified_since: Some(AFTER),
            ..none
        };
        assert_eq!(sent(dates), Some(format!("if-unmodified-since: {BEFORE}")));
        let beside_tags = ConditionHeaders {
            if_none_match: Some("\"a-01\""),
            if_modified_since: Some(AFTER),
            ..none
        };
        assert_eq!(sent(beside_tags), text("if-none-match: \"a\""));
        let unreadable = ConditionHeaders {
            if_modified_since: Some("yesterday"),
            ..none
        };
        assert_eq!(sent(unreadable), None);
    }

    #[test]
    fn no_conditions_are_told_from_some() {
        let some = Conditions::parse(ConditionHeaders {
            if_none_match: Some("*"),
            ..Default::default()
        });
        assert!(!some.unwrap().is_empty() && Conditions::default().is_empty());
    }

    #[test]
    fn broken_lists_are_errors() {
        assert_eq!(
            Conditions::parse(ConditionHeaders {
                if_match: Some("\"x"),
                ..Default::default()
            }),
            Err(EntityTagError::Unterminated)
        );
    }

    #[test]
    fn who_names_a_tag_or_a_date_wants_a_known_object() {
        let of = |if_match, if_none_match, if_unmodified_since| {
            let headers = ConditionHeaders {
                if_match,
                if_none_match,
                if_unmodified_since,
                ..ConditionHeaders::default()
            };
            Conditions::parse(headers).unwrap().want_a_known_object()
        };
        let date = Some("Fri, 27 Nov 2026 12:00:00 GMT");
        assert!(of(Some("\"a\""), None, None) && of(None, None, date));
        assert!(!of(Some("*"), None, None) && !of(None, Some("\"a\""), None));
        // Beside If-Match the date is not looked at.
        assert!(!of(Some("*"), None, date));
    }

    proptest! {
        #[test]
        fn if_match_and_if_none_match_are_opposites_for_strong_tags(tag in "[a-z]{1,3}", current in "[a-z]{1,3}") {
            let current = EntityTag::strong(current);
            let quoted = format!("\"{tag}\"");
            let none = ConditionHeaders::default();
            let matching = ConditionHeaders { if_match: Some(&quoted), ..none };
            let excluding = ConditionHeaders { if_none_match: Some(&quoted), ..none };
            let matching = Conditions::parse(matching).unwrap();
            let excluding = Conditions::parse(excluding).unwrap();
            let proceeds = |conditions: Conditions| conditions.evaluate(&current, UNIX_EPOCH) == Decision::Proceed;
            prop_assert_ne!(proceeds(matching), proceeds(excluding));
        }
    }
}
