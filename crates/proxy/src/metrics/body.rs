//! Bodies that count their bytes while they pass.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Response, header};
use http_body::{Body, Frame, SizeHint};
use prometheus::IntCounter;

use super::requests::Running;

/// The body of a request.
pub(crate) struct Counted<B> {
    body: B,
    bytes: IntCounter,
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, bytes: IntCounter) -> Self {
        Self { body, bytes }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes.inc_by(data.remaining() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, with which the measuring of its request ends.
pub struct Measured<B> {
    body: B,
    running: Running,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
    is_over: bool,
}

impl<B: Body> Measured<B> {
    /// The same answer, measured.
    pub(crate) fn answer(response: Response<B>, running: Running) -> Response<Self> {
        let length = response.headers().get(header::CONTENT_LENGTH);
        let left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        response.map(|body| Self {
            is_over: left == Some(0) || body.is_end_stream(),
            body,
            running,
            left,
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Measured<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.is_over = true,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len();
                    self.running.sent(length);
                    self.left = self.left.map(|left| left.saturating_sub(length as u64));
                }
                // Whoever knows that nothing follows does not ask.
                self.is_over = self.left == Some(0) || self.body.is_end_stream();
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Measured<B> {
    fn drop(&mut self) {
        if !self.is_over {
            self.running.interrupted();
        }
    }
}
