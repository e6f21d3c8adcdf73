//! Sealing and opening one part, per suite, backend and size: plaintext bytes a second.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sealgate_benches::part;
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{Backend, Suite};

const SIZES: [usize; 4] = [1 << 10, 64 << 10, 1 << 20, 16 << 20];

fn cases() -> impl Iterator<Item = (Suite, Backend, usize)> {
    Suite::ALL.into_iter().flat_map(|suite| {
        Backend::ALL
            .iter()
            .flat_map(move |backend| SIZES.map(|size| (suite, *backend, size)))
    })
}

/// As the gateway does: pieces of 64 KiB into a buffer that is used again, sealed bytes taken from its front.
fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for (suite, backend, size) in cases() {
        let (object, id) = part(suite, backend).unwrap();
        let plaintext = vec![5; size];
        let mut buffer = Vec::with_capacity(2 << 20);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(
            BenchmarkId::new(format!("{suite:?}/{backend:?}"), size),
            |bencher| {
                bencher.iter(|| {
                    let mut sealer = Sealer::new(&object, id).unwrap();
                    for piece in plaintext.chunks(64 << 10) {
                        sealer.push(piece, &mut buffer).unwrap();
                        let ready = buffer.len() - sealer.withheld();
                        if ready > 1 << 20 {
                            black_box(buffer.drain(..ready));
                        }
                    }
                    sealer.finish(&mut buffer).unwrap();
                    black_box(&buffer);
                    buffer.clear();
                });
            },
        );
    }
    group.finish();
}

/// Segment by segment, in place, in a buffer that is used again; the copy into it is that of a network read.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for (suite, backend, size) in cases() {
        let (object, id) = part(suite, backend).unwrap();
        let mut sealed = Vec::new();
        let mut sealer = Sealer::new(&object, id).unwrap();
        sealer.push(&vec![5; size], &mut sealed).unwrap();
        let part = sealer.finish(&mut sealed).unwrap();
        let record = CommitRecord::new(&object, vec![part.into()], None, None).unwrap();
        let mut segment = vec![0; 65_564];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(
            BenchmarkId::new(format!("{suite:?}/{backend:?}"), size),
            |bencher| {
                bencher.iter_batched(
                    || Opener::new(&object, record.layout().plan_all().unwrap()).unwrap(),
                    |mut opener| {
                        let mut rest = sealed.as_slice();
                        while let Some(length) = opener.next_length() {
                            let (next, behind) = rest.split_at(length);
                            let buffer = segment.get_mut(..length).unwrap();
                            buffer.copy_from_slice(next);
                            black_box(opener.open_segment(buffer).unwrap());
                            rest = behind;
                        }
                        opener.finish().unwrap();
                    },
                    BatchSize::SmallInput,
                );
            },
        );
    }
    group.finish();
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
