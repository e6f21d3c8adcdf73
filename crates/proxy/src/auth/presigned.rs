//! Signature Version 4 in the query string: presigned URLs.

use std::time::Duration;

use super::authorization::signature_version_2;
use super::canonical::{ALGORITHM, decode};
use super::claim::{ClaimedCredential, SignedHeaders};
use super::error::AuthError;
use super::keys::Signature;
use super::limits::{MAX_PRESIGNED_LIFETIME, MAX_QUERY_LENGTH, MAX_QUERY_PARAMETERS};
use super::session::SecurityToken;
use super::timestamp::AmzDate;

/// The query parameters that carry authentication, and nothing else. None of them may reach the upstream.
const AUTHENTICATION_PARAMETERS: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// The authentication of a presigned URL, well-formed but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedQuery {
    /// Who claims to have signed.
    pub credential: ClaimedCredential<'static>,
    /// When.
    pub date: AmzDate,
    /// For how long: 1 second to 7 days.
    pub lifetime: Duration,
    /// What the signature covers besides method, path and query.
    pub signed_headers: SignedHeaders<'static>,
    /// `X-Amz-Content-Sha256`, which some SDKs put into the query.
    pub content_sha256: Option<String>,
    /// The token of the session that signed, where one did.
    pub security_token: Option<SecurityToken>,
    /// The signature as sent.
    pub signature: Signature,
}

/// Whether the query claims to be signed, in whatever version.
pub(super) fn is_presigned(query: &str) -> bool {
    parameters(query).any(|(name, _)| {
        [
            "X-Amz-Algorithm",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "AWSAccessKeyId",
        ]
        .iter()
        .any(|marker| decode(name).eq(marker.bytes()))
    })
}

/// Reads the `X-Amz-*` parameters of a presigned URL from its raw query. Other parameters do not matter here.
///
/// Never panics, whatever the text is.
///
/// # Errors
/// [`AuthError::AuthorizationQueryParametersError`] with the parameter at fault; [`AuthError::InvalidRequest`] for SigV2.
pub fn parse_presigned_query(query: &str) -> Result<PresignedQuery, AuthError> {
    check_size(query)?;
    let mut values: [Option<String>; AUTHENTICATION_PARAMETERS.len()] = Default::default();
    for (raw_name, raw_value) in parameters(query) {
        if decode(raw_name).eq("AWSAccessKeyId".bytes()) {
            return Err(signature_version_2());
        }
        let known = AUTHENTICATION_PARAMETERS.iter().zip(values.iter_mut());
        for (name, slot) in known.filter(|(name, _)| decode(raw_name).eq(name.bytes())) {
            let value = String::from_utf8(decode(raw_value).collect())
                .map_err(|_| AuthError::query_malformed(format!("{name} is not UTF-8.")))?;
            if slot.replace(value).is_some() {
                return Err(AuthError::query_malformed(format!("{name} occurs twice.")));
            }
        }
    }
    let [
        algorithm,
        content_sha256,
        credential,
        date,
        expires,
        security_token,
        signature,
        signed_headers,
    ] = values;
    let required = |value: Option<String>| {
        value.ok_or_else(|| {
            AuthError::query_malformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                 X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            )
        })
    };
    match required(algorithm)?.as_str() {
        ALGORITHM => {}
        "AWS4-ECDSA-P256-SHA256" => {
            return Err(AuthError::query_malformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
            ));
        }
        // AWS's own words, which name the algorithm that is refused above too.
        _ => {
            return Err(AuthError::query_malformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
            ));
        }
    }
    let credential = required(credential)?;
    let credential = ClaimedCredential::parse(&credential)
        .map_err(|fault| {
            AuthError::query_malformed(format!(
                "Error parsing the X-Amz-Credential parameter; {fault}"
            ))
        })?
        .into_owned();
    let date = AmzDate::parse(&required(date)?).ok_or_else(|| {
        AuthError::query_malformed(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        )
    })?;
    let lifetime = parse_lifetime(&required(expires)?)?;
    let signed_headers = SignedHeaders::parse(required(signed_headers)?.into())
        .map_err(AuthError::query_malformed)?;
    let signature =
        Signature::from_hex(&required(signature)?).ok_or(AuthError::SignatureDoesNotMatch)?;
    Ok(PresignedQuery {
        credential,
        date,
        lifetime,
        signed_headers,
        content_sha256,
        security_token: security_token.map(SecurityToken::new),
        signature,
    })
}

fn parse_lifetime(text: &str) -> Result<Duration, AuthError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthError::query_malformed(
            "X-Amz-Expires should be a number",
        ));
    }
    if digits != text {
        return Err(AuthError::query_malformed(
            "X-Amz-Expires must be non-negative",
        ));
    }
    // More digits than fit can only be too much.
    let lifetime = Duration::from_secs(text.parse().unwrap_or(u64::MAX));
    if lifetime > MAX_PRESIGNED_LIFETIME {
        return Err(AuthError::query_malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        ));
    }
    if lifetime.is_zero() {
        return Err(AuthError::query_malformed(
            "X-Amz-Expires must be at least 1 second",
        ));
    }
    Ok(lifetime)
}

/// Refuses queries that no S3 client sends, before anything is allocated for them.
pub(super) fn check_size(query: &str) -> Result<(), AuthError> {
    if query.len() > MAX_QUERY_LENGTH || query.split('&').count() > MAX_QUERY_PARAMETERS {
        return Err(AuthError::invalid_request(format!(
            "The query string is too long: at most {MAX_QUERY_LENGTH} bytes and {MAX_QUERY_PARAMETERS} parameters are accepted."
        )));
    }
    Ok(())
}

/// A raw query without its authentication parameters, everything else byte for byte as it was.
///
/// Names are compared decoded and without regard to case, so that no spelling of `X-Amz-Signature` gets through.
pub fn strip_auth_query(raw: &str) -> String {
    let mut kept = String::with_capacity(raw.len());
    for part in raw.split('&') {
        let name = part.split_once('=').map_or(part, |(name, _)| name);
        if part.is_empty() || is_authentication(name) {
            continue;
        }
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(part);
    }
    kept
}

fn is_authentication(raw_name: &str) -> bool {
    AUTHENTICATION_PARAMETERS.iter().any(|parameter| {
        decode(raw_name)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(parameter.bytes().map(|byte| byte.to_ascii_lowercase()))
    })
}

/// The raw name and value of each parameter.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &str = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

    fn query(expires: &str) -> String {
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
        )
    }

    #[test]
    fn reads_the_published_example() {
        let parsed = parse_presigned_query(&query("86400")).unwrap();
        assert_eq!(parsed.credential.access_key_id, "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(parsed.date.as_str(), "20130524T000000Z");
        assert_eq!(parsed.lifetime, Duration::from_hours(24));
        assert_eq!(parsed.signed_headers.as_str(), "host");
        assert_eq!(parsed.signature.to_hex(), SIGNATURE);
        assert_eq!(parsed.security_token, None);
    }

    #[test]
    fn rule_04_lifetimes_are_one_second_to_seven_days() {
        for good in ["1", "604800", "000001"] {
            assert!(parse_presigned_query(&query(good)).is_ok(), "{good}");
        }
        for bad in [
            "0",
            "604801",
            "-1",
            "",
            "1.5",
            "%2B1",
            "99999999999999999999999",
        ] {
            assert!(
                matches!(
                    parse_presigned_query(&query(bad)),
                    Err(AuthError::AuthorizationQueryParametersError { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn every_parameter_is_required_and_single() {
        let good = query("60");
        for part in good.split('&') {
            let without = good.replacen(part, "x=1", 1);
            assert!(
                matches!(
                    parse_presigned_query(&without),
                    Err(AuthError::AuthorizationQueryParametersError { .. })
                ),
                "{without}"
            );
            let twice = format!("{good}&{part}");
            let error = parse_presigned_query(&twice).unwrap_err();
            assert!(error.to_string().contains("twice"), "{error}");
        }
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        assert_eq!(
            parse_presigned_query("AWSAccessKeyId=AKIA&Expires=1&Signature=x"),
            Err(signature_version_2())
        );
        let asymmetric = query("60").replace("HMAC-SHA256", "ECDSA-P256-SHA256");
        assert!(matches!(
            parse_presigned_query(&asymmetric),
            Err(AuthError::AuthorizationQueryParametersError { reason }) if reason.ends_with("only supports \"AWS4-HMAC-SHA256\"")
        ));
        let unknown = query("60").replace("AWS4-HMAC-SHA256", "NONE");
        assert!(parse_presigned_query(&unknown).is_err());
    }

    #[test]
    fn a_token_of_some_kilobytes_fits() {
        let token = "t".repeat(3 * 1024);
        let parsed =
            parse_presigned_query(&format!("{}&X-Amz-Security-Token={token}", query("60")));
        assert_eq!(parsed.unwrap().security_token.unwrap().as_str(), token);
    }

    #[test]
    fn sizes_are_bounded() {
        let long = format!("{}&a={}", query("60"), "b".repeat(MAX_QUERY_LENGTH));
        assert!(matches!(
            parse_presigned_query(&long),
            Err(AuthError::InvalidRequest { .. })
        ));
        let start = format!("{}&a=", query("60"));
        let longest = format!("{start}{}", "b".repeat(MAX_QUERY_LENGTH - start.len()));
        assert!(parse_presigned_query(&longest).is_ok());
        let most = format!("{}{}", query("60"), "&a".repeat(MAX_QUERY_PARAMETERS - 6));
        assert!(parse_presigned_query(&most).is_ok());
        let many = format!("{}{}", query("60"), "&a".repeat(MAX_QUERY_PARAMETERS - 5));
        assert!(matches!(
            parse_presigned_query(&many),
            Err(AuthError::InvalidRequest { .. })
        ));
    }

    #[test]
    fn rule_04_stripping_leaves_the_rest_as_it_was() {
        let raw = format!(
            "versionId=a%2Fb&{}&x-id=PutObject&x-amz-checksum-crc32=AAAAAA%3D%3D&flag&e=",
            query("60")
        );
        assert_eq!(
            strip_auth_query(&raw),
            "versionId=a%2Fb&x-id=PutObject&x-amz-checksum-crc32=AAAAAA%3D%3D&flag&e="
        );
        assert_eq!(
            strip_auth_query("x-amz-%73ignature=1&X-AMZ-Security-Token=2&X-Amz-Content-Sha256=3"),
            ""
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)|=|&|%[0-9a-f]{0,2}|.){0,60}") {
            let _ = parse_presigned_query(&text);
            let stripped = strip_auth_query(&text);
            prop_assert!(!is_presigned(&stripped) || stripped.contains("AWSAccessKeyId"));
        }
    }
}
