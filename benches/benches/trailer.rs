//! The checksum and the framing that go with a sealed body to the storage, per 64 MiB of ciphertext.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body::Body;
use sealgate::body::Algorithm;
use sealgate::upstream::{TrailerBody, full_body};

const LENGTH: usize = 64 << 20;

fn trailers(criterion: &mut Criterion) {
    let content = Bytes::from(vec![7; LENGTH]);
    let mut group = criterion.benchmark_group("trailer");
    group.throughput(Throughput::Bytes(LENGTH as u64));
    for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32c] {
        group.bench_function(algorithm.name(), |bencher| {
            bencher.iter(|| {
                let inner = full_body(content.clone());
                let mut body = TrailerBody::new(inner, LENGTH as u64, algorithm);
                let mut context = Context::from_waker(Waker::noop());
                let mut framed = 0;
                while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
                    framed += frame.unwrap().into_data().unwrap().len();
                }
                framed
            });
        });
    }
    group.finish();
}

criterion_group!(benches, trailers);
criterion_main!(benches);
