//! The `Authorization` header of Signature Version 4.

use super::canonical::ALGORITHM;
use super::claim::{ClaimedCredential, SignedHeaders};
use super::error::AuthError;
use super::keys::{Service, Signature};
use super::limits::MAX_AUTHORIZATION_LENGTH;

/// Credential, SignedHeaders and Signature.
const COMPONENTS: usize = 3;

/// The parts of an `Authorization` header, well-formed but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// Who claims to have signed.
    pub credential: ClaimedCredential<'a>,
    /// What the signature covers.
    pub signed_headers: SignedHeaders<'a>,
    /// The signature as sent.
    pub signature: Signature,
}

/// Reads an `Authorization` header:
/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, the parts in any order, blanks optional.
///
/// Never panics, whatever the text is.
///
/// # Errors
/// [`AuthError::AuthorizationHeaderMalformed`] with the part at fault; [`AuthError::NotImplemented`] for SigV4A;
/// [`AuthError::InvalidRequest`] for SigV2; [`AuthError::InvalidArgument`] for any other scheme.
pub fn parse_authorization(header: &str) -> Result<Authorization<'_>, AuthError> {
    parse_authorization_for(Service::S3, header)
}

/// As [`parse_authorization`], for a service.
pub(super) fn parse_authorization_for(
    service: Service,
    header: &str,
) -> Result<Authorization<'_>, AuthError> {
    if header.len() > MAX_AUTHORIZATION_LENGTH {
        return Err(AuthError::header_malformed(format!(
            "it is longer than {MAX_AUTHORIZATION_LENGTH} bytes."
        )));
    }
    let (scheme, fields) = header.split_once(' ').ok_or_else(|| {
        AuthError::invalid_argument(
            "Authorization",
            header,
            "Authorization header is invalid -- one and only one ' ' (space) required.",
        )
    })?;
    match scheme {
        ALGORITHM => {}
        "AWS" => return Err(signature_version_2()),
        "AWS4-ECDSA-P256-SHA256" => return Err(signature_version_4a()),
        _ => {
            return Err(AuthError::invalid_argument(
                "Authorization",
                scheme,
                "Unsupported Authorization Type",
            ));
        }
    }
    if fields.split(',').count() != COMPONENTS {
        return Err(AuthError::header_malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
        ));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',') {
        let field = field.trim();
        let (name, value) = field.split_once('=').ok_or_else(|| {
            AuthError::header_malformed(format!(
                "the authorization component \"{field}\" is malformed."
            ))
        })?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            // Of three components one is missing then, and is named below.
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(AuthError::header_malformed(format!("{name} occurs twice.")));
        }
    }
    let required = |part: Option<_>, name: &'static str| {
        part.ok_or_else(|| AuthError::header_malformed(format!("missing {name}.")))
    };
    let credential = ClaimedCredential::parse_for(service, required(credential, "Credential")?);
    let signed_headers = SignedHeaders::parse(required(signed_headers, "SignedHeaders")?.into());
    let signature = required(signature, "Signature")?;
    Ok(Authorization {
        credential: credential.map_err(AuthError::header_malformed)?,
        signed_headers: signed_headers.map_err(AuthError::header_malformed)?,
        signature: Signature::from_hex(signature).ok_or(AuthError::SignatureDoesNotMatch)?,
    })
}

/// The refusal of Signature Version 2, wherever it occurs.
pub(super) fn signature_version_2() -> AuthError {
    AuthError::invalid_request(
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
    )
}

/// The refusal of Signature Version 4A, wherever it occurs.
pub(super) fn signature_version_4a() -> AuthError {
    AuthError::NotImplemented {
        reason: "Signature Version 4A (AWS4-ECDSA-P256-SHA256) is not supported. Please use AWS4-HMAC-SHA256.".into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::limits::MAX_SIGNED_HEADERS;
    use super::*;

    const SIGNATURE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

    #[test]
    fn blanks_and_order_do_not_matter() {
        for text in [
            format!(
                "AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders=host;range,Signature={SIGNATURE}"
            ),
            format!(
                "AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host;range, Signature={SIGNATURE}"
            ),
            format!(
                "AWS4-HMAC-SHA256  Signature={SIGNATURE},  Credential={CREDENTIAL} ,SignedHeaders=host;range"
            ),
        ] {
            let parsed = parse_authorization(&text).unwrap();
            assert_eq!(parsed.credential.access_key_id, "AKIAIOSFODNN7EXAMPLE");
            assert_eq!(parsed.signed_headers.as_str(), "host;range");
            assert_eq!(parsed.signature.to_hex(), SIGNATURE);
        }
    }

    #[test]
    fn as_many_headers_as_may_be_signed_fit() {
        let names: Vec<_> = (1..MAX_SIGNED_HEADERS)
            .map(|number| format!("x-amz-meta-{number:0>32}"))
            .collect();
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders=host;{},Signature={SIGNATURE}",
            names.join(";")
        );
        assert!(parse_authorization(&text).is_ok());
    }

    #[test]
    fn each_fault_has_its_error() {
        let malformed = |text: &str, fault: &str| match parse_authorization(text) {
            Err(AuthError::AuthorizationHeaderMalformed { reason, .. }) => {
                assert!(reason.contains(fault), "{text}: {reason}");
            }
            other => panic!("{text}: {other:?}"),
        };
        malformed(
            "AWS4-HMAC-SHA256 Credential=1,Signature=2",
            "three components",
        );
        malformed(
            "AWS4-HMAC-SHA256 Credential,a=1,b=2",
            "\"Credential\" is malformed",
        );
        malformed("AWS4-HMAC-SHA256 Signature=1,Signature=2,a=3", "twice");
        malformed(
            "AWS4-HMAC-SHA256 Signature=1,SignedHeaders=host,Other=1",
            "missing Credential",
        );
        malformed(
            &format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL},Signature=1,Other=1"),
            "missing SignedHeaders",
        );
        malformed(
            &format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders=host,Other=1"),
            "missing Signature",
        );
        assert!(matches!(
            parse_authorization("AWS4-HMAC-SHA256"),
            Err(AuthError::InvalidArgument { .. })
        ));
        malformed(&"A".repeat(MAX_AUTHORIZATION_LENGTH + 1), "longer");
        let start = format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders=host,");
        let end = format!("Signature={SIGNATURE}");
        let blanks = " ".repeat(MAX_AUTHORIZATION_LENGTH - start.len() - end.len());
        assert!(parse_authorization(&[start, blanks, end].concat()).is_ok());
        let text =
            format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders=host,Signature=00");
        assert_eq!(
            parse_authorization(&text),
            Err(AuthError::SignatureDoesNotMatch)
        );
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        assert_eq!(
            parse_authorization("AWS AKIA:c2ln"),
            Err(signature_version_2())
        );
        assert_eq!(
            parse_authorization("AWS4-ECDSA-P256-SHA256 Credential=x"),
            Err(signature_version_4a())
        );
        assert!(matches!(
            parse_authorization("Bearer token"),
            Err(AuthError::InvalidArgument { .. })
        ));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(AWS4-HMAC-SHA256 )?(Credential=|SignedHeaders=|Signature=|,|/|;|.){0,40}") {
            let _ = parse_authorization(&text);
        }
    }
}
