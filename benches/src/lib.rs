//! What the benchmarks and the gate share: a sample object, and a sealed body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use sealgate::upstream::BodyFailure;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::{AttemptId, Backend, DataKey, ObjectId, Result, Suite};

/// The secrets of a multipart object, and the identifier of a part of it.
///
/// # Errors
/// None in practice: the part's number is allowed.
pub fn part(suite: Suite, backend: Backend) -> Result<(ObjectSecrets, PartId)> {
    let object = ObjectSecrets::new(
        DataKey::from_bytes([1; 32]),
        suite,
        ObjectId::from_bytes([2; 16]),
        Body::Multipart,
    );
    let id = PartId::multipart(1, AttemptId::from_bytes([3; 16]))?;
    Ok((object.with_backend(backend), id))
}

/// A body that is the same segment again and again.
#[derive(Debug)]
pub struct Segments {
    /// What it hands over at once.
    pub segment: Bytes,
    /// How many times it still does.
    pub left: usize,
}

impl HttpBody for Segments {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.segment.clone()))))
    }
}
