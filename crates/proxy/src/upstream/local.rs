//! A storage inside of this process, for commands that read what was copied from one and have no server to ask.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame};
use tokio::sync::mpsc;

use super::Target;

/// Answers requests as a storage does.
#[async_trait]
pub trait LocalStorage: fmt::Debug + Send + Sync + 'static {
    /// The answer, errors of the storage included.
    async fn answer(&self, request: LocalRequest) -> Response<LocalBody>;
}

/// A request without a body: nothing is ever written.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// The method.
    pub method: Method,
    /// What it is about.
    pub target: Target,
    /// The raw query, percent-encoded, without `?`.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
}

/// The body of an answer.
#[derive(Debug)]
pub enum LocalBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Pieces that somebody reads from a file meanwhile.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body for LocalBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Pieces(pieces) => pieces.poll_recv(context),
        };
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
