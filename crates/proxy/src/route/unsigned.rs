//! Requests without a signature of their own: forms, preflights, and what nobody signed.

use http::{HeaderMap, Method};

use crate::auth;

/// A request that carries no signature in its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// A browser's upload form; its signature is among its fields.
    Form,
    /// A browser's question about another request; it never has a signature (Fetch standard, "CORS-preflight fetch").
    Preflight,
    /// Nobody's request.
    Anonymous,
}

/// Which kind of unsigned request this is; `None` where there is a signature, of whatever kind, to be verified.
pub fn unsigned(method: &Method, query: &str, headers: &HeaderMap) -> Option<Unsigned> {
    if *method == Method::OPTIONS {
        return Some(Unsigned::Preflight);
    }
    if auth::claims_identity(query, headers) {
        return None;
    }
    // S3 knows no other POST without a query.
    Some(if *method == Method::POST && query.is_empty() {
        Unsigned::Form
    } else {
        Unsigned::Anonymous
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn kind(
        method: &Method,
        query: &str,
        header: Option<(&'static str, &'static str)>,
    ) -> Option<Unsigned> {
        let headers = header
            .into_iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        unsigned(method, query, &headers)
    }

    #[test]
    fn only_what_claims_no_identity_is_unsigned() {
        let form = Some(("content-type", "multipart/form-data; boundary=x"));
        assert_eq!(kind(&Method::POST, "", form), Some(Unsigned::Form));
        assert_eq!(
            kind(&Method::POST, "delete", form),
            Some(Unsigned::Anonymous)
        );
        assert_eq!(kind(&Method::PUT, "", form), Some(Unsigned::Anonymous));
        assert_eq!(kind(&Method::GET, "", None), Some(Unsigned::Anonymous));
        assert_eq!(kind(&Method::OPTIONS, "", None), Some(Unsigned::Preflight));
        for query in [
            "X-Amz-Signature=x",
            "x=y&X-Amz-Algorithm=x",
            "AWSAccessKeyId=x",
        ] {
            assert_eq!(kind(&Method::GET, query, None), None, "{query}");
        }
        assert_eq!(
            kind(
                &Method::GET,
                "",
                Some(("authorization", "AWS4-HMAC-SHA256 x"))
            ),
            None
        );
    }
}
