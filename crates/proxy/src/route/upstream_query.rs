//! What of a client's query goes upstream: the parameters that S3 has for the operation, written anew.
//!
//! Storages have parameters of their own, and what those do is not known here: MinIO adds the metadata of every object to a listing for
//! `metadata=true`. What S3 does not know it ignores, and so it stays behind. Written anew, a query means one thing to every server: some split
//! it at a bare `;`, or refuse it then, and take `+` for itself.

use super::{Operation, passed};
use crate::{operation::append_query, query_string::QueryString};

/// The parameters of an operation (S3 API Reference, "Request Parameters"); `None` for one whose query the operation itself writes.
fn known(operation: &Operation) -> Option<&'static [&'static str]> {
    Some(match operation {
        Operation::ListBuckets => &[
            "bucket-region",
            "continuation-token",
            "max-buckets",
            "prefix",
        ],
        Operation::HeadBucket | Operation::CreateBucket | Operation::DeleteBucket => &[],
        Operation::GetBucketLocation => &["location"],
        Operation::ListObjects => &["delimiter", "encoding-type", "marker", "max-keys", "prefix"],
        Operation::ListObjectsV2 => &[
            "continuation-token",
            "delimiter",
            "encoding-type",
            "fetch-owner",
            "list-type",
            "max-keys",
            "prefix",
            "start-after",
        ],
        Operation::ListObjectVersions => &[
            "delimiter",
            "encoding-type",
            "key-marker",
            "max-keys",
            "prefix",
            "version-id-marker",
            "versions",
        ],
        _ => return None,
    })
}

/// The query for the upstream, percent-encoded, without `?`. Empty for operations that write their own.
pub fn upstream_query(operation: &Operation, query: &QueryString) -> String {
    let goes = |name: &str| match (operation, known(operation)) {
        (_, Some(known)) => known.contains(&name),
        (Operation::Pass(_), None) => passed::goes_upstream(name),
        _ => false,
    };
    let mut written = String::new();
    for parameter in query.parameters() {
        if goes(&parameter.name) {
            let value = parameter.value.as_deref().unwrap_or_default();
            append_query(&mut written, &parameter.name, value);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::{object_key::ObjectPath, route::choose};

    fn sent(method: &Method, path: &str, query: &str) -> String {
        let path = ObjectPath::parse(None, &[], path).unwrap();
        let query = QueryString::parse(Some(query)).unwrap();
        let operation = choose(method, &path, &query, &HeaderMap::new()).unwrap();
        upstream_query(&operation, &query)
    }

    #[test]
    fn only_what_s3_knows_of_an_operation_goes_upstream() {
        for (method, path, query, expected) in [
            (
                Method::GET,
                "/data",
                "metadata=true&prefix=a&list-type=2&x-id=ListObjectsV2",
                "prefix=a&list-type=2",
            ),
            (
                Method::GET,
                "/data",
                "versions&metadata=true&max-keys=5",
                "versions=&max-keys=5",
            ),
            (
                Method::GET,
                "/data",
                "prefix=a&allow-unordered=true&start-after=b&marker=c",
                "prefix=a&marker=c",
            ),
            (Method::GET, "/data", "location&ping=1", "location="),
            (Method::HEAD, "/data", "read&prefix=x", ""),
            (Method::PUT, "/data", "x-id=CreateBucket&uploads", ""),
            (Method::GET, "/", "prefix=a&extended=true", "prefix=a"),
            (
                Method::GET,
                "/data",
                "inventory&id=a%26b&x-id=x&x-amz-meta=1",
                "inventory=&id=a%26b",
            ),
            (
                Method::PUT,
                "/data/k",
                "retention&versionId=v%2B1&X-Amz-Bypass-Governance-Retention=true",
                "retention=&versionId=v%2B1",
            ),
            (Method::GET, "/data/k", "versionId=1", ""),
        ] {
            let written = query.replace("x-amz-meta=1", "x-amz-expected-bucket-owner=1");
            assert_eq!(
                sent(&method, path, &written),
                expected,
                "{method} {path}?{query}"
            );
        }
    }

    #[test]
    fn a_semicolon_and_a_plus_mean_one_thing_only() {
        let query = "list-type=2&prefix=a;max-keys=1;b+c%3Bd";
        assert_eq!(
            sent(&Method::GET, "/data", query),
            "list-type=2&prefix=a%3Bmax-keys%3D1%3Bb%20c%3Bd"
        );
        // As it was signed.
        assert_eq!(
            crate::auth::canonical::canonical_query(query),
            "list-type=2&prefix=a%3Bmax-keys%3D1%3Bb%20c%3Bd"
        );
    }

    proptest! {
        #[test]
        fn known_values_arrive_as_they_were_signed(prefix in "\\PC{0,30}", marker in "\\PC{0,30}") {
            let mut query = String::new();
            append_query(&mut query, "marker", &marker);
            append_query(&mut query, "prefix", &prefix);
            let sent = sent(&Method::GET, "/data", &query);
            prop_assert_eq!(&sent, &crate::auth::canonical::canonical_query(&query));
            prop_assert!(!sent.contains(';') && !sent.contains('+'));
        }
    }
}
