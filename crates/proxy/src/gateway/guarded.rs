//! A response that occupies its place among the concurrent requests until its body has been sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use super::places::Place;
use crate::{
    operation::ResponseBody,
    throttle::{Pace, Paced},
    upstream::BodyFailure,
};
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

struct Guarded {
    body: ResponseBody,
    _place: Place,
}

/// Ties a place to the life of a response's body, which is sent no faster than `pace` allows.
pub(super) fn hold(
    response: Response<ResponseBody>,
    place: Place,
    pace: Pace,
) -> Response<ResponseBody> {
    response.map(|body| {
        let body = Guarded {
            body,
            _place: place,
        };
        if pace.is_free() {
            body.boxed_unsync()
        } else {
            Paced::new(body, pace).boxed_unsync()
        }
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
