//! Trying again while a storage or key service is away.

use std::time::Duration;

use http::StatusCode;

use crate::error::S3Error;

/// Attempts at something that fails.
pub(super) const ATTEMPTS: u32 = 4;

/// Doubled with each attempt, the first included.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits behind this attempt, counted from 1, for the next one.
pub(super) async fn pause_after(attempt: u32) {
    tokio::time::sleep(PAUSE * (1 << attempt)).await;
}

/// Tries again while something is away.
///
/// # Errors
///
/// That of the last attempt, or the first one that says something else.
pub(crate) async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, S3Error>
where
    F: Future<Output = Result<T, S3Error>>,
{
    for number in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
                pause_after(number).await;
            }
            outcome => return outcome,
        }
    }
    attempt().await
}
