//! The body of an answer, counted until its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Trail;
use crate::{operation::ResponseBody, upstream::BodyFailure};

/// Tells its trail what was handed over; the trail ends with it.
pub(super) struct Followed {
    body: ResponseBody,
    trail: Arc<Trail>,
    /// The length that the answer declares.
    length: Option<u64>,
    bytes: u64,
    has_ended: bool,
}

impl Followed {
    pub(super) fn new(body: ResponseBody, trail: Arc<Trail>, length: Option<u64>) -> Self {
        Self {
            body,
            trail,
            length,
            bytes: 0,
            has_ended: false,
        }
    }
}

impl Body for Followed {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(None) => self.has_ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // A server that knows the length does not ask again behind the last byte.
        let is_all = self.length == Some(self.bytes);
        let is_complete = self.has_ended || is_all || self.body.is_end_stream();
        self.trail.sent(self.bytes, is_complete);
    }
}
