//! Refusals by their S3 code. A storage may send any code, so only those of a list are told apart.

use std::collections::HashMap;
use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// What the gateway itself says, and what storages often say.
const CODES: [&str; 46] = [
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "BadDigest",
    "BucketAlreadyExists",
    "BucketAlreadyOwnedByYou",
    "BucketNotEmpty",
    "ConditionalRequestConflict",
    "EntityTooLarge",
    "EntityTooSmall",
    "IncompleteBody",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidChunkSizeError",
    "InvalidDigest",
    "InvalidObjectState",
    "InvalidPart",
    "InvalidPartOrder",
    "InvalidRange",
    "InvalidRequest",
    "InvalidToken",
    "InvalidURI",
    "KeyTooLongError",
    "MalformedTrailerError",
    "MalformedXML",
    "MetadataTooLarge",
    "MethodNotAllowed",
    "MissingContentLength",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotImplemented",
    "NotModified",
    "OperationAborted",
    "PreconditionFailed",
    "RequestHeaderSectionTooLarge",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "UpstreamError",
    "XAmzContentSHA256Mismatch",
];

/// Any code that is not listed.
const OTHER: &str = "Other";

/// Counts refusals.
pub(super) struct Refusals {
    all: IntCounterVec,
    listed: HashMap<&'static str, OnceLock<IntCounter>>,
    other: OnceLock<IntCounter>,
}

impl Refusals {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            all: IntCounterVec::new(
                Opts::new(
                    "sealgate_refusals_total",
                    "Requests that were answered with an error, by its S3 code.",
                ),
                &["code"],
            )?,
            listed: CODES
                .into_iter()
                .map(|code| (code, OnceLock::new()))
                .collect(),
            other: OnceLock::new(),
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.all.clone()))
    }

    pub(super) fn count(&self, code: &str) {
        let (name, counter) = match self.listed.get_key_value(code) {
            Some((name, counter)) => (*name, counter),
            None => (OTHER, &self.other),
        };
        counter
            .get_or_init(|| self.all.with_label_values(&[name]))
            .inc();
    }
}
