//! Upper bounds for everything a client controls before it has proved who it is.

use std::time::Duration;

/// Bytes of an `Authorization` header. 128 signed headers with long names still fit.
pub const MAX_AUTHORIZATION_LENGTH: usize = 8 * 1024;

/// Bytes of a raw query string. A presigned URL with a session token stays below 4 KiB.
pub const MAX_QUERY_LENGTH: usize = 16 * 1024;

/// Parameters in one query string. S3's own operations use fewer than ten, presigning adds seven.
pub const MAX_QUERY_PARAMETERS: usize = 256;

/// Names in one `SignedHeaders` list. S3 limits all headers of a request to 8 KiB, so real lists are short.
pub const MAX_SIGNED_HEADERS: usize = 128;

/// Bytes of an access key id, the bound that IAM itself states.
pub const MAX_ACCESS_KEY_ID_LENGTH: usize = 128;

/// Bytes of a region name. The longest at AWS has 14.
pub const MAX_REGION_LENGTH: usize = 64;

/// Bytes of a `Host` header: a DNS name has at most 253, a port adds 6.
pub const MAX_HOST_LENGTH: usize = 300;

/// How far a request's date may be from our clock, in both directions, as S3 has it.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(15);

/// The longest life of a presigned URL: seven days, as S3 has it.
pub const MAX_PRESIGNED_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Signing keys that are remembered for one access key. A client uses one region, and presigned URLs reach back
/// seven days, so sixteen hold every key in normal use.
pub const MAX_CACHED_SIGNING_KEYS: usize = 16;
