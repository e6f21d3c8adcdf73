//! What a client says about an object: checked, and brought into the form of the index.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use s3s::dto::{Metadata, Tag, Timestamp};
use s3s::{S3Result, s3_error};

use crate::index::records::Attributes;
use crate::limits::{MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS, MAX_USER_METADATA};

/// What S3 answers for an object that was stored without a content type.
pub(crate) const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Collects the attributes from an input that stores an object, and checks them.
macro_rules! attributes_of {
    ($input:expr) => {
        $crate::service::attributes::checked(
            $crate::index::records::Attributes {
                metadata: $crate::service::attributes::user_metadata($input.metadata.clone())?,
                content_type: $input.content_type.clone(),
                content_encoding: $input.content_encoding.clone(),
                content_disposition: $input.content_disposition.clone(),
                content_language: $input.content_language.clone(),
                cache_control: $input.cache_control.clone(),
                expires: $input
                    .expires
                    .clone()
                    .map($crate::service::attributes::expiry),
                storage_class: $input
                    .storage_class
                    .as_ref()
                    .map(|class| class.as_str().to_owned()),
                website_redirect: $input.website_redirect_location.clone(),
                tags: Vec::new(),
            },
            $input.tagging.as_deref(),
        )
    };
}
pub(crate) use attributes_of;

/// Refuses what this store cannot honour: it neither encrypts nor locks, and must not pretend to.
macro_rules! refuse_protection {
    ($input:expr) => {
        if $input.sse_customer_algorithm.is_some()
            || $input.sse_customer_key.is_some()
            || $input.server_side_encryption.is_some()
            || $input.ssekms_key_id.is_some()
        {
            return Err(s3s::s3_error!(
                NotImplemented,
                "This store has no server-side encryption"
            ));
        }
        if $input.object_lock_mode.is_some()
            || $input.object_lock_retain_until_date.is_some()
            || $input.object_lock_legal_hold_status.is_some()
        {
            return Err(s3s::s3_error!(
                InvalidRequest,
                "Bucket is missing Object Lock Configuration"
            ));
        }
    };
}
pub(crate) use refuse_protection;

const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
];

/// The parts that an input has under the same names everywhere, checked.
pub(crate) fn checked(mut attributes: Attributes, tagging: Option<&str>) -> S3Result<Attributes> {
    attributes.content_encoding = attributes
        .content_encoding
        .and_then(|value| without_framing(&value));
    if let Some(class) = &attributes.storage_class
        && !STORAGE_CLASSES.contains(&class.as_str())
    {
        return Err(s3_error!(
            InvalidStorageClass,
            "The storage class you specified is not valid"
        ));
    }
    // STANDARD is what an answer without the header means.
    attributes.storage_class = attributes.storage_class.filter(|class| class != "STANDARD");
    attributes.tags = tagging.map(parse_tagging).transpose()?.unwrap_or_default();
    Ok(attributes)
}

pub(crate) fn expiry(expires: Timestamp) -> i64 {
    time::OffsetDateTime::from(expires).unix_timestamp()
}

/// User metadata within the limit of S3: names and values together.
pub(crate) fn user_metadata(metadata: Option<Metadata>) -> S3Result<BTreeMap<String, String>> {
    let metadata: BTreeMap<String, String> = metadata.into_iter().flatten().collect();
    let size: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_USER_METADATA {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size: {size} bytes of {MAX_USER_METADATA}"
        ));
    }
    Ok(metadata)
}

/// `aws-chunked` is the framing of the request, not an encoding of the object.
fn without_framing(value: &str) -> Option<String> {
    let kept: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|token| !token.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    let kept = kept.join(", ");
    (!kept.is_empty()).then_some(kept)
}

/// The value of `x-amz-tagging`: tags as a query string.
fn parse_tagging(text: &str) -> S3Result<Vec<(String, String)>> {
    let decode = |text: &str| {
        let decoded = text.replace('+', " ");
        percent_decode_str(&decoded)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
    };
    let tags = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(key)?, decode(value)?))
    });
    let tags: Result<Vec<_>, std::str::Utf8Error> = tags.collect();
    check_tags(tags.map_err(|_| {
        s3_error!(
            InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8"
        )
    })?)
}

/// The tags of a PutObjectTagging.
pub(crate) fn tags_of(set: Vec<Tag>) -> S3Result<Vec<(String, String)>> {
    check_tags(
        set.into_iter()
            .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
            .collect(),
    )
}

fn check_tags(tags: Vec<(String, String)>) -> S3Result<Vec<(String, String)>> {
    if tags.len() > MAX_TAGS {
        return Err(s3_error!(
            InvalidTag,
            "Object tags cannot be greater than {MAX_TAGS}"
        ));
    }
    let mut keys = BTreeSet::new();
    for (key, value) in &tags {
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY {
            return Err(s3_error!(
                InvalidTag,
                "The TagKey you have provided is invalid"
            ));
        }
        if value.chars().count() > MAX_TAG_VALUE {
            return Err(s3_error!(
                InvalidTag,
                "The TagValue you have provided is invalid"
            ));
        }
        if !keys.insert(key) {
            return Err(s3_error!(
                InvalidTag,
                "Cannot provide multiple Tags with the same key"
            ));
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_metadata_counts_names_and_values() {
        let with = |length| Some(Metadata::from([("m".to_owned(), "v".repeat(length))]));
        assert!(user_metadata(with(2000)).is_ok());
        assert!(user_metadata(with(2047)).is_ok());
        assert_eq!(
            user_metadata(with(2048)).unwrap_err().code(),
            &s3s::S3ErrorCode::MetadataTooLarge
        );
    }

    #[test]
    fn framing_is_no_content_encoding() {
        assert_eq!(without_framing("aws-chunked"), None);
        assert_eq!(without_framing("gzip,aws-chunked").as_deref(), Some("gzip"));
        assert_eq!(
            without_framing("AWS-Chunked, gzip, br").as_deref(),
            Some("gzip, br")
        );
        assert_eq!(without_framing(""), None);
    }

    #[test]
    fn tagging_headers_are_decoded() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            parse_tagging("a=b&c%20d=%C3%A9+f&g").unwrap(),
            [pair("a", "b"), pair("c d", "é f"), pair("g", "")]
        );
        for text in [
            "a=1&a=2",
            "=1",
            "a=%FF",
            &format!("{}=1", "k".repeat(129)),
            &format!("k={}", "v".repeat(257)),
        ] {
            assert!(parse_tagging(text).is_err(), "{text}");
        }
        let many: Vec<String> = (0..11).map(|number| format!("k{number}=v")).collect();
        assert!(parse_tagging(&many.join("&")).is_err());
    }

    #[test]
    fn storage_classes_are_known_ones() {
        let class = |name: &str| Attributes {
            storage_class: Some(name.to_owned()),
            ..Attributes::default()
        };
        assert_eq!(
            checked(class("GLACIER"), None)
                .unwrap()
                .storage_class
                .as_deref(),
            Some("GLACIER")
        );
        assert_eq!(
            checked(class("STANDARD"), None).unwrap().storage_class,
            None
        );
        assert!(checked(class("CARDBOARD"), None).is_err());
    }
}
