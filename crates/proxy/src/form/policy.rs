//! POST policies: what a form may say, decided by whoever signed it (S3 API, "POST Policy").

use std::ops::RangeInclusive;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Fields;
use crate::{error::S3Error, object_key::aliases};

/// Most conditions of a policy. A form has at most 20 KB, so more could not be about different fields.
const MAXIMUM_CONDITIONS: usize = 256;

/// Fields that need no condition (S3 API, "POST Policy").
const EXEMPT: [&str; 3] = ["file", "policy", "x-amz-signature"];

/// Fields whose names begin so need none either.
const EXEMPT_PREFIX: &str = "x-ignore-";

/// A policy, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    expiration: OffsetDateTime,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Equals {
        field: String,
        value: String,
        /// Written as an object, which S3 shows another way.
        is_simple: bool,
    },
    StartsWith {
        field: String,
        prefix: String,
    },
    Length(RangeInclusive<u64>),
}

impl Policy {
    /// Reads a policy as the form carries it, in base64.
    ///
    /// # Errors
    ///
    /// `InvalidPolicyDocument` with the reason. A condition that is not understood is one.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        // Line ends are allowed in what people paste into pages.
        let compact: String = text.split_ascii_whitespace().collect();
        if compact.is_empty() {
            return Err(invalid("Expecting '{' but found End-of-Input"));
        }
        let bytes = STANDARD
            .decode(compact)
            .map_err(|_| invalid("invalid Base64 encoding."))?;
        let Ok(Value::Object(document)) = serde_json::from_slice(&bytes) else {
            return Err(invalid("Invalid JSON."));
        };
        if let Some(name) = document
            .keys()
            .find(|name| !matches!(name.as_str(), "expiration" | "conditions"))
        {
            return Err(invalid(format!("Unexpected: {name:?}")));
        }
        let expiration = match document.get("expiration") {
            None => return Err(invalid("Policy missing expiration.")),
            Some(Value::String(text)) => OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| invalid(format!("Invalid 'expiration' value: '{text}'")))?,
            Some(_) => return Err(invalid("Invalid JSON.")),
        };
        let conditions = match document.get("conditions") {
            None => return Err(invalid("Policy missing conditions.")),
            Some(Value::Array(conditions)) => conditions,
            Some(_) => return Err(invalid("Invalid 'conditions' value: must be a List.")),
        };
        if conditions.len() > MAXIMUM_CONDITIONS {
            return Err(invalid(format!(
                "it has more than {MAXIMUM_CONDITIONS} conditions."
            )));
        }
        Ok(Self {
            expiration,
            conditions: conditions
                .iter()
                .map(Condition::read)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Verifies every condition, and that every field has one.
    ///
    /// # Errors
    ///
    /// `AccessDenied` with the condition that does not hold, or the field that the policy does not mention.
    pub fn check(&self, fields: &Fields, bucket: &str, now: OffsetDateTime) -> Result<(), S3Error> {
        if now >= self.expiration {
            return Err(S3Error::access_denied(
                "Invalid according to Policy: Policy expired.",
            ));
        }
        for condition in &self.conditions {
            if !condition.holds(fields, bucket) {
                return Err(S3Error::access_denied(format!(
                    "Invalid according to Policy: Policy Condition failed: {condition}"
                )));
            }
        }
        // The bucket is no field, but a policy that names none would be good for any.
        let names = fields.iter().map(|(name, _)| name).chain(["bucket"]);
        for name in names {
            let is_exempt = EXEMPT.contains(&name) || name.starts_with(EXEMPT_PREFIX);
            if !is_exempt && !self.conditions.iter().any(|one| one.is_about(name)) {
                return Err(S3Error::access_denied(format!(
                    "Invalid according to Policy: Extra input fields: {name}"
                )));
            }
        }
        Ok(())
    }

    /// Verifies the length of the file.
    ///
    /// # Errors
    ///
    /// `EntityTooSmall` or `EntityTooLarge`.
    pub fn check_length(&self, length: u64) -> Result<(), S3Error> {
        for condition in &self.conditions {
            let Condition::Length(range) = condition else {
                continue;
            };
            let (code, message, name, bound) = if length < *range.start() {
                (
                    "EntityTooSmall",
                    "Your proposed upload is smaller than the minimum allowed size",
                    "MinSizeAllowed",
                    range.start(),
                )
            } else if length > *range.end() {
                (
                    "EntityTooLarge",
                    "Your proposed upload exceeds the maximum allowed object size.",
                    "MaxSizeAllowed",
                    range.end(),
                )
            } else {
                continue;
            };
            return Err(S3Error::new(StatusCode::BAD_REQUEST, code, message)
                .with_element("ProposedSize", length.to_string())
                .with_element(name, bound.to_string()));
        }
        Ok(())
    }
}

impl Condition {
    fn read(value: &Value) -> Result<Self, S3Error> {
        match value {
            Value::Object(members) => {
                let mut members = members.iter();
                let (Some((field, value)), None) = (members.next(), members.next()) else {
                    return Err(invalid(
                        "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
                    ));
                };
                Ok(Self::Equals {
                    field: field.to_ascii_lowercase(),
                    value: text(value).ok_or_else(|| {
                        invalid("Invalid Simple-Condition: value must be a string.")
                    })?,
                    is_simple: true,
                })
            }
            Value::Array(items) => Self::read_list(items),
            _ => Err(invalid("Invalid condition test: must be a List or Object.")),
        }
    }

    fn read_list(items: &[Value]) -> Result<Self, S3Error> {
        let operator = items
            .first()
            .and_then(text)
            .ok_or_else(|| invalid("Invalid Condition: missing operation identifier."))?;
        let lower = operator.to_ascii_lowercase();
        if !["eq", "starts-with", "content-length-range"].contains(&lower.as_str()) {
            return Err(invalid(format!(
                "Invalid Condition: unknown operation '{operator}'."
            )));
        }
        let [_, first, second] = items else {
            return Err(invalid(format!(
                "Invalid {operator}: wrong number of arguments."
            )));
        };
        let (Some(first), Some(second)) = (text(first), text(second)) else {
            return Err(invalid("Invalid JSON."));
        };
        if lower == "content-length-range" {
            let (Ok(minimum), Ok(maximum)) = (first.parse(), second.parse()) else {
                return Err(invalid("Invalid JSON."));
            };
            return Ok(Self::Length(minimum..=maximum));
        }
        let Some(field) = first.strip_prefix('$').map(str::to_ascii_lowercase) else {
            // It names no field, so it cannot hold.
            return Err(S3Error::access_denied(format!(
                "Invalid according to Policy: Policy Condition failed: [{operator:?},{first:?},{second:?}]"
            )));
        };
        Ok(if lower == "eq" {
            Self::Equals {
                field,
                value: second,
                is_simple: false,
            }
        } else {
            Self::StartsWith {
                field,
                prefix: second,
            }
        })
    }

    /// Whether it holds. The length of the file is looked at once it is known.
    fn holds(&self, fields: &Fields, bucket: &str) -> bool {
        let found = |field: &str| match field {
            "bucket" => Some(bucket),
            field => fields.get(field),
        };
        match self {
            Self::Equals { field, value, .. } => found(field) == Some(value),
            // A list of types is one only if each of them is (S3 API, "POST Policy").
            Self::StartsWith { field, prefix } if field == "content-type" => found(field)
                .is_some_and(|types| {
                    types
                        .split(',')
                        .all(|kind| kind.trim_start().starts_with(prefix))
                }),
            // Also by what a storage may take it for: who may send keys below one prefix does not get out of it by `..`.
            Self::StartsWith { field, prefix } if field == "key" => {
                let key = found(field).unwrap_or_default();
                let mut prefixes = aliases(prefix);
                prefixes.retain(|prefix| !prefix.is_empty());
                prefixes.push(prefix.clone());
                let is_below = |key: &str| prefixes.iter().any(|prefix| key.starts_with(prefix));
                key.starts_with(prefix) && aliases(key).iter().all(|alias| is_below(alias))
            }
            // Without a value there is nothing that could begin otherwise, and "" allows any value, also none.
            Self::StartsWith { field, prefix } => {
                found(field).unwrap_or_default().starts_with(prefix)
            }
            Self::Length(_) => true,
        }
    }

    fn is_about(&self, name: &str) -> bool {
        match self {
            Self::Equals { field, .. } | Self::StartsWith { field, .. } => field == name,
            Self::Length(_) => false,
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Equals {
                field,
                value,
                is_simple,
            } => {
                let gap = if *is_simple { " " } else { "" };
                write!(f, "[\"eq\",{gap}\"${field}\",{gap}{value:?}]")
            }
            Self::StartsWith { field, prefix } => {
                write!(f, "[\"starts-with\",\"${field}\",{prefix:?}]")
            }
            Self::Length(range) => {
                write!(
                    f,
                    "[\"content-length-range\", {}, {}]",
                    range.start(),
                    range.end()
                )
            }
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn invalid(reason: impl std::fmt::Display) -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "InvalidPolicyDocument",
        format!("Invalid Policy: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    fn policy(conditions: &str) -> Result<Policy, S3Error> {
        let text = format!(
            "{{\"expiration\":\"2026-01-01T12:00:01.000Z\",\"conditions\":[{conditions}]}}"
        );
        Policy::parse(&STANDARD.encode(text))
    }

    fn check(conditions: &str, pairs: &[(&str, &str)]) -> Result<(), S3Error> {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.insert(name, (*value).to_owned()).unwrap();
        }
        policy(&format!("{{\"bucket\":\"b\"}},{conditions}"))?.check(&fields, "b", NOW)
    }

    #[test]
    fn rule_25_every_condition_is_verified() {
        let key = [("key", "user/a")];
        let nowhere = check(r#"["eq","key","user/a"]"#, &key).unwrap_err();
        assert!(nowhere.message.ends_with(r#"["eq","key","user/a"]"#));
        for good in [
            r#"{"key":"user/a"}"#,
            r#"["eq","$key","user/a"]"#,
            r#"["EQ","$Key","user/a"]"#,
            r#"["starts-with","$key","user/"]"#,
            r#"["starts-with","$key",""]"#,
            r#"["starts-with","$key","user/"],["starts-with","$acl",""]"#,
        ] {
            check(good, &key).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in [
            r#"{"key":"user/b"}"#,
            r#"["eq","$key","user/"]"#,
            r#"["starts-with","$key","admin/"]"#,
            r#"["starts-with","$key","user/"],{"acl":"private"}"#,
            r#"["starts-with","$key","user/"],{"bucket":"other"}"#,
        ] {
            let error = check(bad, &key).unwrap_err();
            assert_eq!(error.code, "AccessDenied", "{bad}");
            assert!(error.message.contains("Policy Condition failed"), "{error}");
        }
    }

    #[test]
    fn a_key_that_a_storage_takes_for_another_is_held_against_conditions_by_both_names() {
        let below = r#"["starts-with","$key","user/"]"#;
        for bad in ["user/../admin/x", "user/./../admin/x", "user/.."] {
            assert!(check(below, &[("key", bad)]).is_err(), "{bad}");
        }
        for good in ["user/../user/x", "user//x", "user/./x"] {
            check(below, &[("key", good)]).unwrap();
        }
        let slash = r#"["starts-with","$key","/user/"]"#;
        check(slash, &[("key", "/user/x")]).unwrap();
        assert!(check(slash, &[("key", "/user/../admin/x")]).is_err());
        // Whoever signed it wanted it so.
        check(r#"["eq","$key","user/../x"]"#, &[("key", "user/../x")]).unwrap();
    }

    #[test]
    fn rule_25_a_field_without_a_condition_is_refused() {
        let fields = [("key", "a"), ("x-amz-meta-b", "c")];
        let error = check(r#"{"key":"a"}"#, &fields).unwrap_err();
        assert!(error.message.ends_with("Extra input fields: x-amz-meta-b"));
        let exempt = [
            ("key", "a"),
            ("policy", "p"),
            ("x-amz-signature", "s"),
            ("x-ignore-b", "c"),
        ];
        assert!(check(r#"{"key":"a"}"#, &exempt).is_ok());
        let fields = Fields::default();
        assert!(
            policy("").unwrap().check(&fields, "b", NOW).is_err(),
            "any bucket"
        );
    }

    #[test]
    fn rule_25_a_policy_expires() {
        let policy = policy(r#"{"bucket":"b"}"#).unwrap();
        let fields = Fields::default();
        assert!(policy.check(&fields, "b", NOW).is_ok());
        let later = NOW + time::Duration::seconds(1);
        let error = policy.check(&fields, "b", later).unwrap_err();
        assert!(error.message.ends_with("Policy expired."));
    }

    #[test]
    fn rule_25_the_length_has_two_bounds() {
        let policy = policy(r#"["content-length-range", 2, "4"]"#).unwrap();
        let code = |length| {
            policy
                .check_length(length)
                .map_err(|error| error.code.to_string())
        };
        assert_eq!(code(1), Err("EntityTooSmall".to_owned()));
        assert_eq!(code(2), Ok(()));
        assert_eq!(code(4), Ok(()));
        assert_eq!(code(5), Err("EntityTooLarge".to_owned()));
    }

    #[test]
    fn each_of_several_content_types_has_to_begin_right() {
        let images = r#"["starts-with","$Content-Type","image/"]"#;
        assert!(check(images, &[("content-type", "image/png, image/gif")]).is_ok());
        assert!(check(images, &[("content-type", "image/png,text/html")]).is_err());
        assert!(check(images, &[]).is_err());
    }

    #[test]
    fn policies_that_are_not_understood_are_refused() {
        for conditions in [
            r#"["ends-with","$key","x"]"#,
            r#"["eq","$key"]"#,
            "[]",
            r#"["eq","$key",null]"#,
            r#"["content-length-range",-1,5]"#,
            r#"{"key":"a","acl":"b"}"#,
            "{}",
            "7",
        ] {
            let error = policy(conditions).unwrap_err();
            assert_eq!(error.code, "InvalidPolicyDocument", "{conditions}");
        }
        for text in [
            "",
            "!",
            "e30=",
            &STANDARD.encode(r#"{"expiration":"soon","conditions":[]}"#),
            &STANDARD.encode(r#"{"expiration":"2026-01-01T12:00:00Z","conditions":[],"x":1}"#),
        ] {
            assert!(Policy::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_policy_is_read_without_panic(conditions in r#"(\["(eq|starts-with)"|,|"\$key"|\{|\}|\[|\]|"a"|:|1|.){0,20}"#) {
            let _ = policy(&conditions);
        }
    }
}
