//! The hook that every request passes before its operation runs.

use std::future::Future;
use std::pin::Pin;

use uuid::Uuid;

use crate::error::KmsError;
use crate::operation::Operation;

/// What a hook sees of a request: it is authenticated and allowed, and nothing of it has been done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The id that the client gets in `x-amzn-RequestId`.
    pub request_id: Uuid,
    /// The name of the principal.
    pub principal: String,
    /// What it asks for.
    pub operation: Operation,
    /// Every name of the keys that it is about: as the request has it, and the id, ARN and aliases of what that names. The
    /// key of a ciphertext counts too.
    pub keys: Vec<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The operation runs.
    Proceed,
    /// The client gets this error and the operation does not run.
    Fail(KmsError),
}

/// What a hook answers with, possibly after a while.
pub type HookFuture<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Decides about each request, after authentication and before the operation. It may wait: the request waits with it,
/// and others do not.
pub trait RequestHook: Send + Sync + 'static {
    /// Decides about one request. The future is dropped only when the server stops.
    fn before_operation<'a>(&'a self, request: &'a RequestInfo) -> HookFuture<'a>;
}
