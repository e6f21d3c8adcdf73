//! The framing and the checksum that go to the storage with a sealed body.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use sealgate::body::Algorithm;
use sealgate::upstream::{BodyFailure, TrailerBody};

use crate::Case;

const SEGMENT: usize = 64 << 10;
const SEGMENTS: usize = 16;

/// The same segment again and again.
struct Segments {
    segment: Bytes,
    left: usize,
}

impl Body for Segments {
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

/// CRC64NVME over 1 MiB.
pub(crate) fn trailer() -> Case {
    let segment = Bytes::from(vec![7; SEGMENT]);
    Box::new(move || {
        let inner = Segments {
            segment: segment.clone(),
            left: SEGMENTS,
        };
        let length = SEGMENTS * SEGMENT;
        let mut body = TrailerBody::new(inner.boxed_unsync(), length as u64, Algorithm::Crc64Nvme);
        let mut context = Context::from_waker(Waker::noop());
        let mut framed = 0;
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
            framed += frame
                .map_err(|error| anyhow::anyhow!(error))?
                .into_data()
                .map_or(0, |data| data.len());
        }
        anyhow::ensure!(framed > length, "{framed} bytes");
        Ok(())
    })
}
