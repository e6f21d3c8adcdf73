//! Why a request was not acknowledged.

use std::{fmt, time::Duration};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// What a client knows of a request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// The code of the error document, or what became of the connection.
    pub(crate) code: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(formatter, "{status} {}", self.code),
            None => formatter.write_str(&self.code),
        }
    }
}

impl Failure {
    /// Something else than an answer.
    pub(crate) fn named(code: &str) -> Self {
        Self {
            status: None,
            code: code.to_owned(),
        }
    }

    /// Whether it says that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }
}

impl<E: ProvideErrorMetadata> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let code = match &error {
            SdkError::ServiceError(context) => context.err().code().unwrap_or("no code"),
            SdkError::TimeoutError(_) => "timed out",
            SdkError::DispatchFailure(_) => "connection failed",
            SdkError::ResponseError(_) => "answer cut",
            _ => "not sent",
        };
        Self {
            status,
            code: code.to_owned(),
        }
    }
}

/// The outcome of a request that may take this long.
pub(crate) async fn answered<T, E: ProvideErrorMetadata>(
    limit: Duration,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, Box::pin(request)).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::named("timed out")),
    }
}
