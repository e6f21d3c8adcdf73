//! The framing and the checksum that go to the storage with a sealed body.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use sealgate::body::Algorithm;
use sealgate::upstream::TrailerBody;
use sealgate_benches::Segments;

use crate::Case;

const SEGMENT: usize = 64 << 10;
const SEGMENTS: usize = 16;

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
