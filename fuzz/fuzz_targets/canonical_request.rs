//! What AWS's own signer signs, in the headers or as a presigned URL, our verifier accepts; with one byte of method, path, query, a signed
//! header or the authorization changed it does not, unless the request means the same.
#![no_main]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use sealgate::auth::limits::{MAX_QUERY_LENGTH, MAX_QUERY_PARAMETERS};
use sealgate::auth::{
    AuthError, AuthSettings, Authenticated, Caller, Credential, CredentialStore, PayloadMode,
    SecretAccessKey, authenticate,
};

const HOST: &str = "bucket.s3.example:9000";
const REGION: &str = "us-east-1";
const ACCESS_KEY: &str = "AKIA/SLASH";
const SECRET: &str = "a secret of fuzzing only";

/// Headers that a client of S3 signs if it sends them.
const HEADERS: [&str; 8] = [
    "cache-control",
    "content-md5",
    "content-type",
    "range",
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-meta-a",
    "x-amz-meta-b",
];

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// The request of a text: method and target in its first line, a header in each that follows. None where it is no request, or none that
/// AWS's signer would sign for S3.
fn request(text: &str) -> Option<Request<()>> {
    let mut lines = text.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let uri: Uri = format!("http://{HOST}{target}").parse().ok()?;
    let query = uri.query().unwrap_or_default();
    let is_ours = target.starts_with('/')
        && !target.contains('#')
        // Beside what signing adds.
        && query.len() < MAX_QUERY_LENGTH / 2
        && query.split('&').count() < MAX_QUERY_PARAMETERS / 2;
    // AWS's signer reads a query as text, and would sign replacement characters in the place of other bytes.
    let is_signable = parameters(query).iter().all(|(name, value)| {
        let name = str::from_utf8(name).map(str::to_ascii_lowercase);
        str::from_utf8(value).is_ok()
            && name.is_ok_and(|name| !name.starts_with("x-amz-") && name != "awsaccesskeyid")
    });
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).ok()?)
        .uri(uri)
        .header("host", HOST);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        // Blanks around a value end with the parser of HTTP.
        let value = value.trim_matches([' ', '\t']);
        request = request.header(HEADERS.into_iter().find(|known| *known == name)?, value);
    }
    let request = request.body(()).ok()?;
    let is_text = |value: &HeaderValue| value.to_str().is_ok();
    (is_ours && is_signable && request.headers().values().all(is_text)).then_some(request)
}

/// What a client says of the body. A presigned URL says nothing.
fn body(payload: u8, presigned: bool) -> SignableBody<'static> {
    match payload % 4 {
        1 if !presigned => SignableBody::Bytes(b"body"),
        2 if !presigned => SignableBody::StreamingUnsignedPayloadTrailer,
        3 if !presigned => SignableBody::StreamingSignedPayloadTrailer,
        _ => SignableBody::UnsignedPayload,
    }
}

/// Whether the body is taken for what the client says.
fn is_taken_for(payload: &PayloadMode, said: &SignableBody<'_>) -> bool {
    match payload {
        PayloadMode::SignedSha256(_) => matches!(said, SignableBody::Bytes(_)),
        PayloadMode::Unsigned => matches!(said, SignableBody::UnsignedPayload),
        PayloadMode::StreamingSigned { trailer, .. } => {
            *trailer && matches!(said, SignableBody::StreamingSignedPayloadTrailer)
        }
        PayloadMode::StreamingUnsignedTrailer => {
            matches!(said, SignableBody::StreamingUnsignedPayloadTrailer)
        }
    }
}

/// The head of the request as AWS's client for S3 signs and sends it.
fn signed(mut request: Request<()>, presigned: bool, body: SignableBody<'_>) -> Parts {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    if presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_mins(1));
    }
    let identity = Credentials::new(ACCESS_KEY, SECRET, None, None, "fuzzing").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("s3")
        .time(now())
        .settings(settings)
        .build()
        .expect("all parameters")
        .into();
    let unsigned = request.clone();
    let headers = unsigned.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let signable = SignableRequest::new(
        unsigned.method().as_str(),
        unsigned.uri().to_string(),
        headers,
        body,
    );
    let output = sign(signable.expect("a request"), &parameters).expect("a signature");
    let (instructions, _) = output.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    let mut parts = request.into_parts().0;
    parts.uri = target(&parts).parse().expect("the target of a request");
    parts
}

/// What the first line of a request names.
fn target(parts: &Parts) -> String {
    let target = parts.uri.path_and_query();
    target.map_or("/", PathAndQuery::as_str).to_owned()
}

/// One byte of the request changed: of the method, the target, a header that the signature covers, or the authorization. None where the
/// outcome is no request.
fn changed(parts: &Parts, part: u8, place: u16, change: u8) -> Option<Parts> {
    let mut parts = parts.clone();
    let altered = |text: &[u8]| {
        let mut bytes = text.to_vec();
        let place = usize::from(place) % bytes.len().max(1);
        *bytes.get_mut(place)? ^= change;
        Some(bytes)
    };
    match part {
        0 => parts.method = Method::from_bytes(&altered(parts.method.as_str().as_bytes())?).ok()?,
        1 => {
            let target = altered(target(&parts).as_bytes())?;
            // The first line of a request has no fragment, and begins with a slash.
            let is_target = target.starts_with(b"/") && !target.contains(&b'#');
            parts.uri = Uri::try_from(is_target.then_some(target)?).ok()?;
        }
        _ => {
            let count = parts.headers.len();
            let mut headers = parts.headers.iter_mut();
            let (_, value) = headers.nth(usize::from(part - 2) % count)?;
            *value = HeaderValue::from_bytes(&altered(value.as_bytes())?).ok()?;
        }
    }
    Some(parts)
}

/// The bytes of each parameter, but the signature.
fn parameters(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            let escape = tail
                .get(..2)
                .filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
            let byte =
                escape.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
            bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
            rest = if byte.is_some() { &tail[2..] } else { tail };
        }
        bytes
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    let mut parameters: Vec<_> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    parameters.sort();
    parameters
}

/// What a request means for its signature, read in another way than the verifier does: two that mean the same may both be accepted.
#[derive(PartialEq)]
struct Meaning {
    method: Method,
    path: String,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    headers: Vec<(HeaderName, String)>,
}

impl Meaning {
    fn of(parts: &Parts) -> Self {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let words = text
                .trim_matches([' ', '\t'])
                .split(' ')
                .filter(|word| !word.is_empty());
            let words: Vec<_> = words.collect();
            let text = if name == "authorization" {
                authorization(&text)
            } else {
                words.join(" ")
            };
            (name.clone(), text)
        };
        let mut parameters = parameters(parts.uri.query().unwrap_or_default());
        for (name, value) in &mut parameters {
            if name == b"X-Amz-Signature" {
                value.make_ascii_lowercase();
            }
        }
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            parameters,
            headers: parts.headers.iter().map(header).collect(),
        }
    }
}

/// An `Authorization` header without what does not matter in it: blanks, and the letter case of the signature's digits.
fn authorization(text: &str) -> String {
    let text: String = text.split_ascii_whitespace().collect();
    match text.split_once("Signature=") {
        Some((rest, signature)) => format!("{rest}Signature={}", signature.to_ascii_lowercase()),
        None => text,
    }
}

fn verify(parts: &Parts) -> Result<Authenticated<Caller>, AuthError> {
    let store = CredentialStore::new(vec![Credential {
        access_key_id: ACCESS_KEY.to_owned(),
        secret: SecretAccessKey::new(SECRET),
        identity: "fuzzing".to_owned(),
    }]);
    let store = store.expect("one credential");
    authenticate(parts, &store, &AuthSettings::default(), now())
}

fuzz_target!(|input: (bool, u8, u8, u16, u8, &str)| {
    let (presigned, payload, part, place, change, text) = input;
    let Some(request) = request(text) else {
        return;
    };
    let said = body(payload, presigned);
    let parts = signed(request, presigned, said.clone());
    let caller = verify(&parts).unwrap_or_else(|error| panic!("{error:?} {parts:?}"));
    assert_eq!(caller.presigned, presigned);
    assert!(is_taken_for(&caller.payload, &said));
    assert_eq!(&*caller.identity, "fuzzing");
    assert_eq!(
        (caller.host.as_str(), caller.region.as_str()),
        (HOST, REGION)
    );

    let Some(changed) = changed(&parts, part, place, change) else {
        return;
    };
    if Meaning::of(&changed) != Meaning::of(&parts) {
        assert!(verify(&changed).is_err(), "{changed:?}");
    }
});
