//! Conditional requests that the gateway decides itself, such as those on the source of a copy (RFC 9110, section 13; S3 API reference, CopyObject).
//!
//! Tags are compared as clients see them, so a header needs no mapping here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::entity_tag::{EntityTag, EntityTagError, TagCondition};

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

    /// Whether a copy may read a source with this client-visible tag and modification time; if not, answer 412 `PreconditionFailed`.
    pub fn allow_copy(&self, entity_tag: &EntityTag, last_modified: SystemTime) -> bool {
        self.evaluate(entity_tag, last_modified) == Decision::Proceed
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
    fn a_copy_needs_every_condition() {
        let conditions = |value| {
            Conditions::parse(ConditionHeaders {
                if_none_match: Some(value),
                ..Default::default()
            })
            .unwrap()
        };
        assert!(!conditions("*").allow_copy(&EntityTag::strong("x"), UNIX_EPOCH));
        assert!(conditions("\"y\"").allow_copy(&EntityTag::strong("x"), UNIX_EPOCH));
        assert!(!conditions("*").is_empty() && Conditions::default().is_empty());
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
            prop_assert_ne!(matching.allow_copy(&current, UNIX_EPOCH), excluding.allow_copy(&current, UNIX_EPOCH));
        }
    }
}
