//! Bodies that end where the grant ends by which they are sent or taken.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::Granted;
use crate::{body::ClientBody, operation::ResponseBody, upstream::BodyFailure};

/// A body whose next piece is passed on only while the grant counts.
struct Watched<B> {
    body: B,
    grant: Granted,
}

/// An answer that is cut off when its grant is revoked or ends.
pub(crate) fn watched_answer(
    answer: Response<ResponseBody>,
    grant: Granted,
) -> Response<ResponseBody> {
    answer.map(|body| Watched { body, grant }.boxed_unsync())
}

/// The body of a request that fails when its grant is revoked or ends, so that nothing is stored.
pub(crate) fn watched_upload(body: ClientBody, grant: Granted) -> ClientBody {
    Watched { body, grant }.boxed()
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes, Error = BodyFailure> + Unpin,
{
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // Also at its end: what was held back until now is not stored.
        if let Poll::Ready(Some(Ok(_)) | None) = &polled
            && let Err(error) = self.grant.still_counts()
        {
            tracing::info!(grant = self.grant.id(), %error, "a body was cut off, because its grant does not count any more");
            return Poll::Ready(Some(Err(error.into())));
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
