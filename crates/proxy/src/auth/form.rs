//! The signature of a POST policy, which stands among the fields of a form (S3 API, "Authenticating Requests in Browser-Based Uploads Using
//! POST").

use std::time::SystemTime;

use http::request::Parts;

use super::authenticate::{AuthSettings, Authenticated, Caller};
use super::claim::ClaimedCredential;
use super::credentials::CredentialStore;
use super::error::AuthError;
use super::keys::{Service, Signature};
use super::limits::MAX_CLOCK_SKEW;
use super::payload::PayloadMode;
use super::session::SecurityToken;
use super::timestamp::AmzDate;
use super::{anonymous, authenticate};

/// What a form says of its signature; each of it is a field.
#[derive(Debug, Clone, Copy)]
pub struct PolicyClaim<'a> {
    /// The policy in base64, as it stands in the form: that text is signed.
    pub policy: &'a str,
    /// `x-amz-credential`.
    pub credential: &'a str,
    /// `x-amz-date`.
    pub date: &'a AmzDate,
    /// `x-amz-signature`.
    pub signature: &'a str,
    /// `x-amz-security-token`, where a session signed.
    pub token: Option<&'a str>,
}

/// The field that says who signed.
const CREDENTIAL: &str = "x-amz-credential";

/// Verifies who signed a form's policy. Whether the form keeps to the policy is for [`crate::form::Policy`] to say.
///
/// # Errors
/// The S3 error to answer with. An unknown access key costs as much as a wrong signature.
pub fn authenticate_form(
    claim: &PolicyClaim<'_>,
    parts: &Parts,
    credentials: &CredentialStore,
    settings: &AuthSettings,
    now: SystemTime,
) -> Result<Authenticated<Caller>, AuthError> {
    let bad_credential = |reason| AuthError::invalid_argument(CREDENTIAL, claim.credential, reason);
    let credential = ClaimedCredential::parse(claim.credential).map_err(bad_credential)?;
    let date = claim.date;
    let mismatch = || AuthError::PolicySignature {
        access_key_id: credential.access_key_id.to_string(),
        policy: claim.policy.to_owned(),
        signature: claim.signature.to_owned(),
    };
    let signature = Signature::from_hex(claim.signature).ok_or_else(mismatch)?;
    if credential.day != date.day() {
        return Err(bad_credential(
            "The day of x-amz-credential is not that of x-amz-date.".into(),
        ));
    }
    let skew = i64::try_from(MAX_CLOCK_SKEW.as_secs()).unwrap_or(i64::MAX);
    if date.unix_seconds() > authenticate::unix_seconds(now).saturating_add(skew) {
        return Err(AuthError::access_denied("Request is not valid yet."));
    }
    authenticate::check_region(&credential, settings)
        .map_err(|reason| bad_credential(reason.into()))?;
    let token = claim.token.map(SecurityToken::new);
    let holder = credentials.holder(
        &credential.access_key_id,
        token.as_ref(),
        authenticate::unix_seconds(now),
    )?;
    let key = holder.signing_key(Service::S3, &credential.day, &credential.region);
    let is_signed = key.sign(&[claim.policy.as_bytes()]) == signature;
    let signer = holder
        .signer()
        .ok_or_else(|| AuthError::InvalidAccessKeyId {
            access_key_id: credential.access_key_id.to_string(),
        })?;
    if !is_signed {
        return Err(mismatch());
    }
    holder.verified(Service::S3, &credential.day, &credential.region, &key)?;
    let host = anonymous(parts, settings)?.host.clone();
    Ok(Authenticated::new(Caller {
        is_anonymous: false,
        identity: signer.identity,
        access_key_id: signer.access_key_id,
        session: signer.session,
        region: credential.region.clone().into_owned(),
        host,
        presigned: false,
        payload: PayloadMode::Unsigned,
    }))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::super::{Credential, SecretAccessKey};
    use super::*;
    use crate::error::S3Error;

    /// S3 API, "Example: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)": the published policy and signature.
    const POLICY: &str = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
    const SIGNATURE: &str = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";

    fn date(text: &str) -> AmzDate {
        AmzDate::parse(text).unwrap()
    }

    fn published(date: &AmzDate) -> PolicyClaim<'_> {
        PolicyClaim {
            policy: POLICY,
            credential: "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
            date,
            signature: SIGNATURE,
            token: None,
        }
    }

    fn verify(claim: &PolicyClaim<'_>, secret: &str) -> Result<Authenticated<Caller>, AuthError> {
        let store = CredentialStore::new(vec![Credential {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: SecretAccessKey::new(secret),
            identity: "alice".to_owned(),
        }])
        .unwrap();
        let (parts, ()) = Request::builder()
            .header("host", "s3.example.org")
            .body(())
            .unwrap()
            .into_parts();
        // 2015-12-29T00:00:00Z, the date of the example.
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(403_152);
        authenticate_form(claim, &parts, &store, &AuthSettings::default(), now)
    }

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    #[test]
    fn rule_25_the_published_policy_verifies() {
        let caller = verify(&published(&date("20151229T000000Z")), SECRET).unwrap();
        assert_eq!(&*caller.identity, "alice");
        assert_eq!(caller.host, "s3.example.org");
        assert!(!caller.is_anonymous);
    }

    #[test]
    fn rule_25_the_clock_of_who_signed_may_be_fifteen_minutes_ahead() {
        assert!(verify(&published(&date("20151229T001500Z")), SECRET).is_ok());
    }

    #[test]
    fn rule_25_whatever_is_altered_is_refused() {
        let refused = |claim: PolicyClaim<'_>| verify(&claim, SECRET).unwrap_err();
        let (now, later) = (date("20151229T000000Z"), date("20151229T001501Z"));
        let one = published(&now);
        let altered = POLICY.replacen("eyAi", "eyai", 1);
        let other_day = "AKIAIOSFODNN7EXAMPLE/20151228/us-east-1/s3/aws4_request";
        let nobody = "AKIAOTHER/20151229/us-east-1/s3/aws4_request";
        for (claim, code) in [
            (
                PolicyClaim {
                    policy: &altered,
                    ..one
                },
                "SignatureDoesNotMatch",
            ),
            (
                PolicyClaim {
                    signature: "none",
                    ..one
                },
                "SignatureDoesNotMatch",
            ),
            (
                PolicyClaim {
                    credential: nobody,
                    ..one
                },
                "InvalidAccessKeyId",
            ),
            (
                PolicyClaim {
                    credential: other_day,
                    ..one
                },
                "InvalidArgument",
            ),
            (
                PolicyClaim {
                    credential: "none",
                    ..one
                },
                "InvalidArgument",
            ),
            (
                PolicyClaim {
                    date: &later,
                    ..one
                },
                "AccessDenied",
            ),
        ] {
            assert_eq!(S3Error::from(refused(claim)).code, code, "{claim:?}");
        }
        let error = S3Error::from(verify(&one, "another secret").unwrap_err());
        assert_eq!(error.code, "SignatureDoesNotMatch");
        let element = |name| {
            let found = error.elements.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        assert_eq!(element("AWSAccessKeyId"), "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(element("StringToSign"), POLICY);
        assert_eq!(element("SignatureProvided"), SIGNATURE);
        assert!(element("StringToSignBytes").starts_with("65 79 41 69 "));
    }
}
