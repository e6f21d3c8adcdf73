//! The checksum and the framing that go with a sealed body to the storage, per 64 MiB of ciphertext: its CPU, since nothing here waits.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body::Body;
use http_body_util::BodyExt;
use sealgate::body::Algorithm;
use sealgate::upstream::TrailerBody;
use sealgate_benches::Segments;

const LENGTH: usize = 64 << 20;

/// A sealed segment: what a body hands over at once, and what is still in the cache from sealing.
const PIECE_LENGTH: usize = 64 * 1024;

fn framed_length(algorithm: Algorithm, segment: &Bytes) -> usize {
    let segment = segment.clone();
    let inner = Segments {
        segment,
        left: LENGTH / PIECE_LENGTH,
    };
    let mut body = TrailerBody::new(inner.boxed_unsync(), LENGTH as u64, algorithm);
    let mut context = Context::from_waker(Waker::noop());
    let mut framed = 0;
    while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
        framed += frame.unwrap().into_data().unwrap().len();
    }
    framed
}

fn trailers(criterion: &mut Criterion) {
    let segment = Bytes::from(vec![7; PIECE_LENGTH]);
    let mut group = criterion.benchmark_group("trailer");
    group.throughput(Throughput::Bytes(LENGTH as u64));
    for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32c] {
        assert!(framed_length(algorithm, &segment) > LENGTH);
        group.bench_function(algorithm.name(), |bencher| {
            bencher.iter(|| framed_length(algorithm, &segment));
        });
    }
    group.finish();
}

criterion_group!(benches, trailers);
criterion_main!(benches);
