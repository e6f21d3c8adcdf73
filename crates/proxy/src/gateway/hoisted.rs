//! Headers that presigning moved into the query: several SDKs move every `x-amz-` header there, and S3 takes them as if they had been headers
//! (SigV4, "Authenticating Requests: Using Query Parameters"). They are put back before anything looks at the headers, so that a presigned
//! request for a lock, a tag or a copy is never taken for one without.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{error::S3Error, query_string::QueryString};

/// What describes a body and its checksum: without effect in the query, as S3 has it ("Using presigned URLs"). SDKs presign before they have the
/// body, and put the checksum of an empty one there.
const OF_THE_BODY: [&str; 5] = [
    "x-amz-checksum-",
    "x-amz-decoded-content-length",
    "x-amz-sdk-",
    "x-amz-te",
    "x-amz-trailer",
];

/// Puts the `x-amz-` parameters of a presigned query among the headers. The authentication parameters have been stripped from it before; the
/// signature covers the rest.
///
/// # Errors
///
/// `InvalidArgument` for a parameter that cannot be a header, or whose header says something else.
pub(super) fn restore(query: &QueryString, headers: &mut HeaderMap) -> Result<(), S3Error> {
    for parameter in query.parameters() {
        let name = parameter.name.to_ascii_lowercase();
        let of_the_body = OF_THE_BODY.iter().any(|prefix| name.starts_with(prefix));
        if of_the_body || !name.starts_with("x-amz-") {
            continue;
        }
        let refuse = |why: &str| {
            S3Error::invalid_argument(format!("The query parameter {:?} {why}.", parameter.name))
        };
        let value = parameter.value.as_deref().unwrap_or_default();
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        let (name, value) = header.ok_or_else(|| refuse("cannot be a header"))?;
        let known: Vec<&HeaderValue> = headers.get_all(&name).iter().collect();
        match known.as_slice() {
            [] => {
                headers.insert(name, value);
            }
            [known] if **known == value => {}
            _ => return Err(refuse("contradicts the header of its name")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(query: &str, header: Option<&'static str>) -> Result<HeaderMap, S3Error> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert("x-amz-acl", HeaderValue::from_static(value));
        }
        restore(&QueryString::parse(Some(query)).unwrap(), &mut headers)?;
        Ok(headers)
    }

    #[test]
    fn what_presigning_moved_is_a_header_again() {
        let headers = restored(
            "X-Amz-Object-Lock-Mode=COMPLIANCE&x-amz-copy-source=%2Fb%2Fk&partNumber=1&x-amz-checksum-crc32=AAAAAA==&x-amz-sdk-checksum-algorithm=CRC32",
            None,
        )
        .unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-amz-object-lock-mode"], "COMPLIANCE");
        assert_eq!(headers["x-amz-copy-source"], "/b/k");
    }

    #[test]
    fn contradictions_and_what_is_no_header_are_refused() {
        assert_eq!(
            restored("x-amz-acl=private", Some("private"))
                .unwrap()
                .len(),
            1
        );
        assert!(restored("x-amz-acl=private", Some("public-read")).is_err());
        assert!(restored("x-amz-acl=private&X-Amz-Acl=public-read", None).is_err());
        assert!(restored("x-amz-meta-a=b%0Ac", None).is_err());
        assert!(restored("x-amz-%20=b", None).is_err());
    }
}
