//! From method, path, query and headers to one [`Operation`], or a refusal. There is no default branch that lets a body through.
//!
//! The sorting follows one rule: what stores or serves object bytes is transformed, what only names objects is rewritten, what configures a
//! bucket or labels an object passes with a new signature, and everything that could store plaintext unseen is refused with its reason.

mod misfit;
mod operation;
mod passed;
mod refused;
mod unsigned;
mod upstream_query;

#[cfg(test)]
mod table_tests;

pub use misfit::misfit;
pub use operation::{Operation, Treatment};
pub use passed::may_pass;
#[cfg(test)]
pub(crate) use passed::names as passed_names;
pub use unsigned::{Unsigned, unsigned};
pub use upstream_query::upstream_query;

use self::passed::Passed;
use http::{HeaderMap, Method};

use crate::{
    auth::{Authenticated, Caller},
    error::S3Error,
    object_key::{ObjectPath, Target},
    query_string::QueryString,
};

/// The most bytes of a query parameter's name that an answer repeats.
const MAXIMUM_NAME_SHOWN: usize = 64;

/// Where a request points. `host` is the one that decides about virtual-host style: the signed one, where there is a signature.
///
/// # Errors
///
/// What is no path of S3, and the one operation that has a path of its own.
pub fn locate(
    host: Option<&str>,
    base_domains: &[String],
    path: &str,
    headers: &HeaderMap,
) -> Result<ObjectPath, S3Error> {
    match refused::anywhere(path, headers) {
        Some(why) => Err(S3Error::not_implemented(why)),
        None => Ok(ObjectPath::parse(host, base_domains, path)?),
    }
}

/// Decides what an authenticated request asks for.
///
/// # Errors
///
/// `NotImplemented` with the reason for what is refused by design, `MethodNotAllowed` and `InvalidArgument` for what S3 does not know.
pub fn route(
    _proof: &Authenticated<Caller>,
    method: &Method,
    path: &ObjectPath,
    query: &QueryString,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    choose(method, path, query, headers)
}

fn choose(
    method: &Method,
    path: &ObjectPath,
    query: &QueryString,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    query
        .refuse_duplicates()
        .map_err(|error| S3Error::invalid_argument(error.to_string()))?;
    match path.target() {
        Target::Service => on_service(method, query),
        Target::Bucket(_) => on_bucket(method, query),
        Target::Object(..) => on_object(method, query, headers),
    }
}

fn on_service(method: &Method, query: &QueryString) -> Result<Operation, S3Error> {
    if let Some(why) = refused::on_service(query) {
        return Err(S3Error::not_implemented(why));
    }
    match *method {
        Method::GET => Ok(Operation::ListBuckets),
        _ => Err(method_not_allowed()),
    }
}

fn on_bucket(method: &Method, query: &QueryString) -> Result<Operation, S3Error> {
    if let Some(why) = refused::on_bucket(query) {
        return Err(S3Error::not_implemented(why));
    }
    if let Some(passed) = passed::on_bucket(method, query) {
        return decided(passed);
    }
    match *method {
        Method::GET if query.contains("location") => Ok(Operation::GetBucketLocation),
        Method::GET if query.contains("uploads") => Ok(Operation::ListMultipartUploads),
        Method::GET if query.contains("versions") => Ok(Operation::ListObjectVersions),
        Method::GET if query.unique("list-type") == Ok(Some("2")) => Ok(Operation::ListObjectsV2),
        Method::GET => Ok(Operation::ListObjects),
        Method::HEAD => Ok(Operation::HeadBucket),
        Method::PUT if unknown(query).is_none() => Ok(Operation::CreateBucket),
        Method::DELETE if unknown(query).is_none() => Ok(Operation::DeleteBucket),
        Method::POST if query.contains("delete") => Ok(Operation::DeleteObjects),
        Method::POST if query.parameters().is_empty() => Err(no_form()),
        Method::PUT | Method::DELETE | Method::POST => Err(unknown_subresource(query)),
        _ => Err(method_not_allowed()),
    }
}

fn on_object(
    method: &Method,
    query: &QueryString,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    if let Some(why) = refused::on_object(method, query, headers) {
        return Err(S3Error::not_implemented(why));
    }
    if let Some(passed) = passed::on_object(method, query) {
        return decided(passed);
    }
    let upload_id = query.unique("uploadId").ok().flatten();
    let copies = headers.contains_key("x-amz-copy-source");
    match (method, upload_id) {
        (&Method::PUT, Some(upload_id)) => {
            let number = part_number(query)?;
            let upload_id = upload_id.to_owned();
            Ok(if copies {
                Operation::UploadPartCopy { upload_id, number }
            } else {
                Operation::UploadPart { upload_id, number }
            })
        }
        (&Method::GET, Some(upload_id)) => Ok(Operation::ListParts {
            upload_id: upload_id.to_owned(),
        }),
        (&Method::POST, Some(upload_id)) => Ok(Operation::CompleteMultipartUpload {
            upload_id: upload_id.to_owned(),
        }),
        (&Method::DELETE, Some(upload_id)) => Ok(Operation::AbortMultipartUpload {
            upload_id: upload_id.to_owned(),
        }),
        (&Method::POST, None) if query.contains("uploads") => Ok(Operation::CreateMultipartUpload),
        (&Method::PUT, None) if unknown(query).is_some() => Err(unknown_subresource(query)),
        (&Method::PUT, None) if query.contains("partNumber") => Err(S3Error::invalid_argument(
            "This operation does not accept a query-string with partNumber and without uploadId.",
        )),
        (&Method::PUT, None) if copies => Ok(Operation::CopyObject),
        (&Method::PUT, None) => Ok(Operation::PutObject),
        (&Method::GET, None) if query.contains("attributes") => Ok(Operation::GetObjectAttributes),
        (&Method::GET, None) => Ok(Operation::GetObject),
        (&Method::HEAD, _) => Ok(Operation::HeadObject),
        (&Method::DELETE, None) => Ok(Operation::DeleteObject),
        (&Method::POST, None) => Err(unknown_subresource(query)),
        _ => Err(method_not_allowed()),
    }
}

/// A request that passes unread must mean one thing only, to us and to every storage.
fn decided(passed: Passed) -> Result<Operation, S3Error> {
    match passed {
        Passed::Operation(name) => Ok(Operation::Pass(name)),
        Passed::NoSuchMethod => Err(method_not_allowed()),
        Passed::Ambiguous(name, other) => Err(S3Error::invalid_argument(format!(
            "The query parameters {name:?} and {:?} cannot be used together.",
            shown(&other)
        ))),
    }
}

/// A part number from 1 to 10,000 (S3 API, UploadPart).
fn part_number(query: &QueryString) -> Result<u16, S3Error> {
    query
        .unique("partNumber")
        .ok()
        .flatten()
        .and_then(|text| text.parse().ok())
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| {
            S3Error::invalid_argument(
                "Part number must be an integer between 1 and 10000, inclusive.",
            )
        })
}

/// The first query parameter that no operation with a body knows. The parameters of a presigned URL have been stripped before.
fn unknown(query: &QueryString) -> Option<&str> {
    query
        .parameters()
        .iter()
        .map(|parameter| parameter.name.as_str())
        .find(|name| !is_harmless(name))
}

/// Parameters that change nothing about where bytes go.
const HARMLESS: [&str; 13] = [
    "delete",
    "list-type",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "uploadId",
    "uploads",
    "versionId",
    "x-id",
];

/// Whether a parameter may accompany an operation that carries a body.
fn is_harmless(name: &str) -> bool {
    // Presigned URLs may carry what other requests send as headers.
    HARMLESS.contains(&name) || name.to_ascii_lowercase().starts_with("x-amz-")
}

fn unknown_subresource(query: &QueryString) -> S3Error {
    let name = shown(unknown(query).unwrap_or("(none)"));
    S3Error::not_implemented(format!(
        "A request with the query parameter {name:?} is refused: the gateway does not know it, and it could store data in the clear."
    ))
}

/// The answer to a POST to a bucket that is no form, or that is signed as forms are not.
pub fn no_form() -> S3Error {
    S3Error::precondition_failed().with_element(
        "Condition",
        "Bucket POST must be of the enclosure-type multipart/form-data",
    )
}

fn shown(name: &str) -> String {
    name.chars().take(MAXIMUM_NAME_SHOWN).collect()
}

fn method_not_allowed() -> S3Error {
    S3Error::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_data(method: &Method, path: &str, query: &str) -> Result<Operation, S3Error> {
        let path = ObjectPath::parse(None, &[], path).unwrap();
        choose(
            method,
            &path,
            &QueryString::parse(Some(query)).unwrap(),
            &HeaderMap::new(),
        )
    }

    fn passes(method: &Method, path: &str, query: &str) -> bool {
        matches!(on_data(method, path, query), Ok(Operation::Pass(_)))
    }

    #[test]
    fn labels_pass_with_the_methods_that_s3_has_for_them() {
        for (method, query) in [
            (Method::GET, "acl"),
            (Method::PUT, "acl"),
            (Method::GET, "tagging&versionId=1"),
            (Method::PUT, "tagging&x-id=PutObjectTagging"),
            (Method::DELETE, "tagging"),
            (
                Method::PUT,
                "retention&x-amz-bypass-governance-retention=true",
            ),
            (Method::PUT, "legal-hold"),
            (Method::POST, "restore&versionId=1"),
        ] {
            assert!(passes(&method, "/data/k", query), "{method} {query}");
        }
    }

    #[test]
    fn no_label_takes_an_object_past_the_gateway() {
        for (method, query) in [
            // MinIO takes these for PutObject, GetObject and DeleteObject.
            (Method::PUT, "restore"),
            (Method::GET, "restore"),
            (Method::DELETE, "acl"),
            (Method::DELETE, "legal-hold"),
            (Method::POST, "tagging"),
            // And these for operations of a multipart upload.
            (Method::POST, "acl&uploads"),
            (Method::POST, "restore&uploads"),
            (Method::PUT, "tagging&partNumber=1&uploadId=x"),
            (Method::PUT, "tagging&partNumber=1&upload%49d=x"),
            (Method::POST, "restore&uploadId=x"),
            (Method::GET, "tagging&attributes"),
            (Method::PUT, "acl&tagging"),
            (Method::PUT, "acl&x-amz-copy-source=%2Fb%2Fk"),
            (Method::PUT, "acl&X-Amz-Meta-A=b"),
            (Method::PUT, "acl&anything"),
        ] {
            assert!(
                on_data(&method, "/data/k", query).is_err(),
                "{method} {query}"
            );
        }
    }

    #[test]
    fn rule_26_keys_of_clients_are_refused() {
        for name in [
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-copy-source-server-side-encryption-customer-key",
        ] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static("x"),
            )]);
            let path = ObjectPath::parse(None, &[], "/data/k").unwrap();
            for method in [Method::GET, Method::HEAD, Method::PUT] {
                let error = choose(&method, &path, &QueryString::default(), &headers).unwrap_err();
                assert_eq!(error.code, "NotImplemented", "{method} {name}");
                assert!(!may_pass(name), "{name} does not pass either");
            }
        }
    }

    #[test]
    fn configurations_pass_alone() {
        assert!(passes(
            &Method::GET,
            "/data",
            "inventory&continuation-token=x"
        ));
        assert!(passes(&Method::PUT, "/data", "lifecycle"));
        assert!(passes(&Method::DELETE, "/data", "cors"));
        for (method, query) in [
            (Method::DELETE, "versioning"),
            (Method::PUT, "policyStatus"),
            (Method::POST, "acl"),
            (Method::PUT, "metadataConfiguration"),
            (Method::GET, "acl&versions"),
            (Method::GET, "policy&list-type=2"),
            (Method::PUT, "acl&delete"),
        ] {
            assert!(
                on_data(&method, "/data", query).is_err(),
                "{method} {query}"
            );
        }
    }
}
