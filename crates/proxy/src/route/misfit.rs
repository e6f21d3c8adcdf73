//! Requests that no operation of S3 has. S3 says so before it asks who sends them, so that a client with a mistaken URL is not told that its
//! signature is missing.

use http::{HeaderMap, Method, StatusCode};

use crate::{error::S3Error, object_key::Target, query_string::QueryString};

/// The error for a request whose method, query or copy source fits no operation. Whether one that fits is allowed, or known to the gateway, is
/// another question, for the signature and for [`route`](super::route).
pub fn misfit(
    method: &Method,
    target: &Target,
    query: &QueryString,
    headers: &HeaderMap,
) -> Option<S3Error> {
    let has = |name: &str| query.contains(name);
    if let Some(source) = headers.get("x-amz-copy-source")
        && (*method != Method::POST || has("uploadId"))
        && *method != Method::PUT
        && !matches!(target, Target::Service)
    {
        return Some(
            S3Error::invalid_argument(
                "You can only specify a copy source header for copy requests.",
            )
            .with_element("ArgumentName", "x-amz-copy-source")
            .with_element("ArgumentValue", source.to_str().unwrap_or_default()),
        );
    }
    match (target, method) {
        (Target::Service, &Method::POST) => Some(not_allowed(method, "SERVICE")),
        (Target::Object(..), &Method::GET) if has("uploads") => Some(S3Error::invalid_request(
            "Key is not expected for the GET method ?uploads subresource",
        )),
        (Target::Object(..), &Method::GET) if has("versions") => Some(S3Error::invalid_request(
            "There is no such thing as the ?versions sub-resource for a key",
        )),
        (Target::Object(..), &Method::POST) if query.parameters().is_empty() => {
            Some(not_allowed(method, "SERVICE"))
        }
        (Target::Object(..), &Method::PUT) if has("uploadId") && !has("partNumber") => {
            Some(not_allowed(method, "UPLOAD"))
        }
        (Target::Object(..), &Method::PUT) if has("partNumber") && !has("uploadId") => Some(
            S3Error::invalid_argument("This operation does not accept partNumber without uploadId")
                .with_element("ArgumentName", "partNumber")
                .with_element("ArgumentValue", "partNumber"),
        ),
        _ => None,
    }
}

fn not_allowed(method: &Method, resource: &'static str) -> S3Error {
    S3Error::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    )
    .with_element("Method", method.as_str())
    .with_element("ResourceType", resource)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::object_key::ObjectPath;

    fn code(method: &Method, path: &str, query: &str, copies: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        if copies {
            headers.insert("x-amz-copy-source", HeaderValue::from_static("b/k"));
        }
        let path = ObjectPath::parse(None, &[], path).unwrap();
        let query = QueryString::parse(Some(query)).unwrap();
        misfit(method, path.target(), &query, &headers).map(|error| error.code.to_string())
    }

    #[test]
    fn what_fits_no_operation_is_named() {
        for (method, path, query, copies, expected) in [
            (Method::POST, "/", "", false, "MethodNotAllowed"),
            (Method::POST, "/data/k", "", false, "MethodNotAllowed"),
            (
                Method::PUT,
                "/data/k",
                "uploadId=u",
                false,
                "MethodNotAllowed",
            ),
            (
                Method::PUT,
                "/data/k",
                "partNumber=1",
                false,
                "InvalidArgument",
            ),
            (Method::GET, "/data/k", "uploads", false, "InvalidRequest"),
            (Method::GET, "/data/k", "versions", false, "InvalidRequest"),
            (Method::GET, "/data", "", true, "InvalidArgument"),
            (Method::HEAD, "/data/k", "", true, "InvalidArgument"),
            (Method::DELETE, "/data/k", "", true, "InvalidArgument"),
            (
                Method::POST,
                "/data/k",
                "uploadId=u",
                true,
                "InvalidArgument",
            ),
        ] {
            let found = code(&method, path, query, copies);
            assert_eq!(found.as_deref(), Some(expected), "{method} {path}?{query}");
        }
    }

    #[test]
    fn operations_fit() {
        for (method, path, query, copies) in [
            (Method::GET, "/", "", false),
            (Method::POST, "/data", "delete", false),
            (Method::POST, "/data", "", false),
            (Method::GET, "/data", "uploads", false),
            (Method::GET, "/data", "versions", false),
            (Method::PUT, "/data/k", "", true),
            (Method::PUT, "/data/k", "partNumber=1&uploadId=u", true),
            (Method::POST, "/data/k", "uploads", false),
            (Method::POST, "/data/k", "uploadId=u", false),
            (Method::DELETE, "/data/k", "uploadId=u", false),
            (Method::GET, "/data/k", "partNumber=1", false),
        ] {
            assert_eq!(
                code(&method, path, query, copies),
                None,
                "{method} {path}?{query}"
            );
        }
    }
}
