//! What both places of a SigV4 signature, header and query, have in common.

use std::borrow::Cow;

use super::keys::{SCOPE_TERMINATOR, Service};
use super::limits::{MAX_ACCESS_KEY_ID_LENGTH, MAX_REGION_LENGTH, MAX_SIGNED_HEADERS};

/// The credential of a request: who claims to have signed it, and for which day and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedCredential<'a> {
    /// The access key id, not yet looked up.
    pub access_key_id: Cow<'a, str>,
    /// The day of the signing key, `YYYYMMDD`.
    pub day: Cow<'a, str>,
    /// The region of the signing key.
    pub region: Cow<'a, str>,
}

impl<'a> ClaimedCredential<'a> {
    /// Reads `KEY/DAY/REGION/s3/aws4_request`; the key itself may hold slashes.
    pub(super) fn parse(text: &'a str) -> Result<Self, Cow<'static, str>> {
        Self::parse_for(Service::S3, text)
    }

    /// As [`Self::parse`], for a service.
    pub(super) fn parse_for(expected: Service, text: &'a str) -> Result<Self, Cow<'static, str>> {
        const MALFORMED: &str = "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";
        let mut elements = text.rsplitn(5, '/');
        let (Some(terminator), Some(service), Some(region), Some(day), Some(access_key_id)) = (
            elements.next(),
            elements.next(),
            elements.next(),
            elements.next(),
            elements.next(),
        ) else {
            return Err(MALFORMED.into());
        };
        if terminator != SCOPE_TERMINATOR {
            // With more elements than a scope has, it is not to be known which of them was meant to be the last.
            return Err(if access_key_id.contains('/') {
                MALFORMED.into()
            } else {
                format!("incorrect terminal \"{terminator}\". This endpoint uses \"aws4_request\".")
                    .into()
            });
        }
        if service != expected.name() {
            return Err(format!(
                "incorrect service \"{service}\". This endpoint belongs to \"{}\".",
                expected.name()
            )
            .into());
        }
        if day.len() != 8 || !day.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "incorrect date format \"{day}\". This date in the credential must be in the format \"yyyyMMdd\"."
            )
            .into());
        }
        let region_name = |byte: u8| byte.is_ascii_graphic();
        if region.is_empty() || region.len() > MAX_REGION_LENGTH || !region.bytes().all(region_name)
        {
            return Err(format!(
                "the region in the Credential must have 1 to {MAX_REGION_LENGTH} printable characters."
            )
            .into());
        }
        if access_key_id.is_empty() || access_key_id.len() > MAX_ACCESS_KEY_ID_LENGTH {
            return Err(format!(
                "the access key id in the Credential must have 1 to {MAX_ACCESS_KEY_ID_LENGTH} characters."
            )
            .into());
        }
        Ok(Self {
            access_key_id: access_key_id.into(),
            day: day.into(),
            region: region.into(),
        })
    }

    /// The same, independent of the text it was read from.
    pub(super) fn into_owned(self) -> ClaimedCredential<'static> {
        ClaimedCredential {
            access_key_id: self.access_key_id.into_owned().into(),
            day: self.day.into_owned().into(),
            region: self.region.into_owned().into(),
        }
    }
}

/// The list of signed header names: lower case, each once, `host` among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders<'a>(Cow<'a, str>);

impl<'a> SignedHeaders<'a> {
    pub(super) fn parse(text: Cow<'a, str>) -> Result<Self, Cow<'static, str>> {
        if text.split(';').count() > MAX_SIGNED_HEADERS {
            return Err(
                format!("SignedHeaders lists more than {MAX_SIGNED_HEADERS} names.").into(),
            );
        }
        let name_byte = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        let mut names: Vec<&str> = text.split(';').collect();
        if names
            .iter()
            .any(|name| name.is_empty() || !name.bytes().all(name_byte))
        {
            return Err(
                "SignedHeaders must list lower-case header names separated by \";\".".into(),
            );
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() != count {
            return Err("SignedHeaders lists a name twice.".into());
        }
        if names.binary_search(&"host").is_err() {
            return Err("SignedHeaders must contain \"host\".".into());
        }
        Ok(Self(text))
    }

    /// The list as it was sent, which is also how it is signed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` (lower case) is signed.
    pub fn contains(&self, name: &str) -> bool {
        self.0.split(';').any(|signed| signed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_the_right() {
        let credential =
            ClaimedCredential::parse("a/b/20130524/us-east-1/s3/aws4_request").unwrap();
        assert_eq!(credential.access_key_id, "a/b");
        assert_eq!(credential.day, "20130524");
        assert_eq!(credential.region, "us-east-1");
    }

    #[test]
    fn bad_credentials_name_their_fault() {
        for (text, fault) in [
            ("AKIA/20130524/us-east-1/s3", "mal-formed"),
            ("AKIA/20130524/us-east-1/s3/aws4", "aws4_request"),
            ("AKIA/20130524/us-east-1/kms/aws4_request", "service"),
            ("AKIA/2013-5-24/us-east-1/s3/aws4_request", "yyyyMMdd"),
            ("AKIA/2013-524/us-east-1/s3/aws4_request", "yyyyMMdd"),
            ("AKIA/2013524/us-east-1/s3/aws4_request", "yyyyMMdd"),
            ("A/B/20130524/us-east-1/s3/aws4", "mal-formed"),
            ("AKIA/20130524//s3/aws4_request", "region"),
            ("AKIA/20130524/us east/s3/aws4_request", "region"),
            ("/20130524/us-east-1/s3/aws4_request", "access key id"),
        ] {
            let error = ClaimedCredential::parse(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }

    #[test]
    fn credentials_may_be_as_long_as_their_limits() {
        let is_read = |id: usize, region: usize| {
            let (id, region) = ("A".repeat(id), "r".repeat(region));
            let text = format!("{id}/20130524/{region}/s3/aws4_request");
            ClaimedCredential::parse(&text).is_ok()
        };
        assert!(is_read(MAX_ACCESS_KEY_ID_LENGTH, MAX_REGION_LENGTH));
        assert!(!is_read(MAX_ACCESS_KEY_ID_LENGTH + 1, 1));
        assert!(!is_read(1, MAX_REGION_LENGTH + 1));
    }

    #[test]
    fn signed_headers_are_lower_case_unique_and_hold_host() {
        let list = SignedHeaders::parse("host;x-amz-date".into()).unwrap();
        assert!(list.contains("x-amz-date"));
        assert!(!list.contains("x-amz"));
        for text in [
            "",
            "x-amz-date",
            "host;host",
            "Host",
            "host;",
            "host; range",
        ] {
            assert!(SignedHeaders::parse(text.into()).is_err(), "{text}");
        }
        let names: Vec<_> = (1..MAX_SIGNED_HEADERS).map(|n| format!("a{n}")).collect();
        let most = format!("host;{}", names.join(";"));
        assert!(SignedHeaders::parse(most.into()).is_ok());
        let many = vec!["a"; MAX_SIGNED_HEADERS + 1].join(";");
        assert!(
            SignedHeaders::parse(many.into())
                .unwrap_err()
                .contains("more than")
        );
    }
}
