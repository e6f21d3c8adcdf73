//! A response that occupies its place among the concurrent requests until its body has been sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::{operation::ResponseBody, upstream::BodyFailure};

struct Guarded {
    body: ResponseBody,
    _place: Arc<OwnedSemaphorePermit>,
}

/// Ties a place to the life of a response's body.
pub(super) fn hold(
    response: Response<ResponseBody>,
    place: Arc<OwnedSemaphorePermit>,
) -> Response<ResponseBody> {
    response.map(|body| {
        Guarded {
            body,
            _place: place,
        }
        .boxed_unsync()
    })
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
