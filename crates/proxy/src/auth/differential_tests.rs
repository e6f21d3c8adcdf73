//! Our verifier against AWS's own signer, and our signer against our verifier, on wild requests.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign as sign_with_aws,
};
use aws_sigv4::sign::v4;
use http::Request;
use http::request::Parts;
use proptest::prelude::*;

use super::*;

const HOST: &str = "bucket.s3.example:9000";

#[derive(Debug, Clone)]
struct Case {
    secret: String,
    path: String,
    query: Vec<(String, String)>,
    metadata: String,
    region: &'static str,
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Case {
    fn target(&self) -> String {
        let path: Vec<String> = self.path.split('/').map(encode).collect();
        let query: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let separator = if query.is_empty() { "" } else { "?" };
        format!(
            "http://{HOST}/{}{separator}{}",
            path.join("/"),
            query.join("&")
        )
    }

    fn request(&self) -> Request<()> {
        Request::builder()
            .method("PUT")
            .uri(self.target())
            .header("host", HOST)
            .header("content-type", "text/plain")
            .header("x-amz-meta-wild", self.metadata.as_str())
            .body(())
            .unwrap()
    }

    fn store(&self) -> CredentialStore {
        CredentialStore::new(vec![Credential {
            access_key_id: "AKIA/SLASH".to_owned(),
            secret: SecretAccessKey::new(self.secret.as_str()),
            identity: "wild".to_owned(),
        }])
        .unwrap()
    }

    /// Lets AWS's crate sign the request as its S3 client does.
    fn sign(&self, location: SignatureLocation) -> Parts {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.signature_location = location;
        if location == SignatureLocation::QueryParams {
            settings.expires_in = Some(Duration::from_mins(1));
        }
        let identity =
            Credentials::new("AKIA/SLASH", self.secret.as_str(), None, None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("s3")
            .time(now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let mut request = self.request();
        let target = self.target();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let signable = SignableRequest::new(
            "PUT",
            target.as_str(),
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::UnsignedPayload,
        )
        .unwrap();
        let (instructions, _) = sign_with_aws(signable, &parameters).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request.into_parts().0
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn cases() -> impl Strategy<Value = Case> {
    let name = "q[a-zA-Z0-9 +/=&?%;:.~_*'()éß日-]{0,12}";
    let value = "[a-zA-Z0-9 +/=&?%;:.~_*'()éß日-]{0,12}";
    (
        "[ -~]{1,100}",
        "[a-zA-Z0-9 +/=&?%;:.~_*'()éß日-]{0,40}",
        proptest::collection::vec((name, value), 0..6),
        "[!-~]([ -~]{0,30}[!-~])?",
        prop::sample::select(vec!["us-east-1", "auto", "eu-central-1"]),
    )
        .prop_map(|(secret, path, query, metadata, region)| Case {
            secret,
            path,
            query,
            metadata,
            region,
        })
}

fn verify(parts: &Parts, store: &CredentialStore) -> Result<Authenticated<Caller>, AuthError> {
    authenticate(parts, store, &AuthSettings::default(), now())
}

proptest! {
    #[test]
    fn what_aws_signs_verifies(case in cases()) {
        for location in [SignatureLocation::Headers, SignatureLocation::QueryParams] {
            let mut parts = case.sign(location);
            let store = case.store();
            let caller = verify(&parts, &store);
            prop_assert!(caller.is_ok(), "{:?} {:?}", caller, parts);
            prop_assert_eq!(caller.unwrap().presigned, location == SignatureLocation::QueryParams);
            // Again, with the remembered key.
            prop_assert!(verify(&parts, &store).is_ok());

            let other = Case { secret: format!("{}x", case.secret), ..case.clone() };
            prop_assert_eq!(verify(&parts, &other.store()).unwrap_err(), AuthError::SignatureDoesNotMatch);
            parts.headers.insert("x-amz-meta-wild", "tampered".parse().unwrap());
            prop_assert_eq!(verify(&parts, &store).unwrap_err(), AuthError::SignatureDoesNotMatch);
        }
    }

    #[test]
    fn what_we_sign_is_what_aws_signs(case in cases()) {
        let credentials = UpstreamCredentials {
            access_key_id: "AKIA/SLASH".to_owned(),
            secret: SecretAccessKey::new(case.secret.as_str()),
            session_token: None,
        };
        let mut parts = case.request().into_parts().0;
        sign(&mut parts, &credentials, case.region, "UNSIGNED-PAYLOAD", now()).unwrap();
        prop_assert!(verify(&parts, &case.store()).is_ok());
        let aws = case.sign(SignatureLocation::Headers);
        let signature = |parts: &Parts| {
            let text = parts.headers["authorization"].to_str().unwrap().to_owned();
            parse_authorization(&text).unwrap().signature.to_hex()
        };
        prop_assert_eq!(signature(&parts), signature(&aws));
    }
}
