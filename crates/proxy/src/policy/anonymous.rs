//! What may be done without a signature: reading what `[[anonymous]]` names, and nothing else.

use http::{HeaderMap, HeaderName};

use crate::{
    config::{AnonymousAction, AnonymousConfig},
    error::S3Error,
    object_key::{BucketName, ObjectKey, ObjectPath, aliases},
    query_string::QueryString,
    route::Operation,
};

/// The `x-amz-` headers that are looked at without a signature. The others would have the gateway's account pay, or act in its name.
const HEADERS: [&str; 3] = [
    "x-amz-checksum-mode",
    "x-amz-content-sha256",
    "x-amz-expected-bucket-owner",
];

/// Decides about a request that nobody signed.
///
/// # Errors
///
/// `AccessDenied` for everything that no rule allows, and for old versions; `InvalidRequest` for `response-*` parameters, which would let
/// anybody choose how a browser takes an object of this host.
pub fn permit_anonymous(
    rules: &[AnonymousConfig],
    operation: &Operation,
    path: &ObjectPath,
    query: &QueryString,
) -> Result<(), S3Error> {
    let key = path.key().map(ObjectKey::as_str).unwrap_or_default();
    let (action, place) = match operation {
        // Browsers ask so of their own accord; the storage answers with headers that say what it allows to whom.
        Operation::OptionsObject => return Ok(()),
        Operation::GetObject | Operation::HeadObject => (AnonymousAction::Get, key),
        Operation::ListObjects | Operation::ListObjectsV2 => (
            AnonymousAction::List,
            query.unique("prefix").ok().flatten().unwrap_or_default(),
        ),
        Operation::HeadBucket => (AnonymousAction::List, ""),
        _ => return Err(refusal()),
    };
    if !allows(rules, action, path, place) || query.contains("versionId") {
        return Err(refusal());
    }
    let overrides = |name: &str| name.starts_with("response-");
    if query
        .parameters()
        .iter()
        .any(|parameter| overrides(&parameter.name))
    {
        return Err(S3Error::invalid_request(
            "Request specific response headers cannot be used for anonymous GET requests.",
        ));
    }
    Ok(())
}

/// Whether anybody may read an object, as far as `[[anonymous]]` says.
pub fn is_public(rules: &[AnonymousConfig], bucket: &str, key: &str) -> bool {
    rules
        .iter()
        .any(|rule| rule.allows(AnonymousAction::Get, bucket, key))
}

/// The answer to an anonymous request that failed: whoever may not list a bucket does not learn which keys there are not.
pub fn conceal_absence(
    rules: &[AnonymousConfig],
    operation: &Operation,
    path: &ObjectPath,
    error: S3Error,
) -> S3Error {
    let key = path.key().map(ObjectKey::as_str).unwrap_or_default();
    // A preflight is about the rules of a bucket and looks at no key, and that a bucket is there is told by any answer about its rules.
    if *operation != Operation::OptionsObject
        && error.status == http::StatusCode::NOT_FOUND
        && !allows(rules, AnonymousAction::List, path, key)
    {
        return S3Error::access_denied("Access Denied").with_detail(error);
    }
    error
}

/// Takes away every `x-amz-` header that means something only with a signature.
pub fn strip_anonymous(headers: &mut HeaderMap) {
    let stripped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-") && !HEADERS.contains(&name.as_str()))
        .cloned()
        .collect();
    for name in stripped {
        headers.remove(name);
    }
}

/// The answer to what needs a signature.
pub fn refusal() -> S3Error {
    S3Error::access_denied("Access Denied.").with_element("Reason", "Requests must be signed.")
}

fn allows(
    rules: &[AnonymousConfig],
    action: AnonymousAction,
    path: &ObjectPath,
    place: &str,
) -> bool {
    let bucket = path.bucket().map(BucketName::as_str).unwrap_or_default();
    let allowed = |place: &str| rules.iter().any(|rule| rule.allows(action, bucket, place));
    allowed(place) && aliases(place).iter().all(|alias| allowed(alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<AnonymousConfig> {
        let rule = |bucket: &str, prefix: &str, actions: &[AnonymousAction]| AnonymousConfig {
            buckets: vec![bucket.to_owned()],
            prefix: prefix.to_owned(),
            actions: actions.to_vec(),
        };
        vec![
            rule("public-*", "site/", &[AnonymousAction::Get]),
            rule("open", "a/", &[AnonymousAction::Get, AnonymousAction::List]),
        ]
    }

    fn decide(operation: &Operation, path: &str, query: &str) -> Result<(), S3Error> {
        let path = ObjectPath::parse(None, &[], path).unwrap();
        let query = QueryString::parse(Some(query)).unwrap();
        permit_anonymous(&rules(), operation, &path, &query)
    }

    #[test]
    fn only_what_a_rule_names_can_be_read() {
        assert!(decide(&Operation::GetObject, "/public-1/site/x", "").is_ok());
        assert!(decide(&Operation::HeadObject, "/public-1/site/x", "partNumber=1").is_ok());
        for (path, query) in [
            ("/public-1/other", ""),
            ("/private/site/x", ""),
            ("/public-1/site/x", "versionId=1"),
        ] {
            let error = decide(&Operation::GetObject, path, query).unwrap_err();
            assert_eq!(error.code, "AccessDenied", "{path}?{query}");
        }
    }

    #[test]
    fn a_listing_stays_below_the_prefix() {
        assert!(decide(&Operation::ListObjectsV2, "/open", "prefix=a/b").is_ok());
        assert!(decide(&Operation::ListObjects, "/open", "prefix=a%2F").is_ok());
        assert!(decide(&Operation::ListObjects, "/open", "").is_err());
        assert!(decide(&Operation::ListObjects, "/open", "prefix=b").is_err());
        assert!(decide(&Operation::ListObjectVersions, "/open", "prefix=a/").is_err());
        assert!(decide(&Operation::ListObjects, "/public-1", "prefix=site/").is_err());
    }

    #[test]
    fn nothing_is_ever_written_and_nothing_else_is_read() {
        for operation in [
            Operation::PutObject,
            Operation::DeleteObject,
            Operation::CopyObject,
            Operation::DeleteObjects,
            Operation::CreateMultipartUpload,
            Operation::GetObjectAttributes,
            Operation::ListBuckets,
            Operation::Pass("GetObjectTagging"),
            Operation::Pass("PutObjectAcl"),
        ] {
            assert!(
                decide(&operation, "/open/a/x", "").is_err(),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn nobody_overrides_the_headers_of_an_answer() {
        let query = "response-content-type=text/html";
        let error = decide(&Operation::GetObject, "/open/a/x", query).unwrap_err();
        assert_eq!(error.code, "InvalidRequest");
    }

    #[test]
    fn what_is_not_there_is_concealed_from_those_who_may_not_list() {
        let code = |operation, path: &str| {
            let path = ObjectPath::parse(None, &[], path).unwrap();
            conceal_absence(&rules(), &operation, &path, S3Error::no_such_key())
                .code
                .clone()
        };
        assert_eq!(
            code(Operation::GetObject, "/public-1/site/x"),
            "AccessDenied"
        );
        assert_eq!(code(Operation::GetObject, "/open/a/x"), "NoSuchKey");
        assert_eq!(code(Operation::OptionsObject, "/private/x"), "NoSuchKey");
    }

    #[test]
    fn headers_that_spend_or_unlock_are_taken_away() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-amz-request-payer",
            "x-amz-mfa",
            "x-amz-checksum-mode",
            "range",
        ] {
            headers.insert(name, http::HeaderValue::from_static("x"));
        }
        strip_anonymous(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.contains(&"x-amz-checksum-mode") && left.contains(&"range"));
    }
}
