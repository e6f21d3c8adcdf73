//! The arithmetic on lengths: 1,000 times for every page of a listing; and range plans of objects of many parts.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgate_benches::part;
use sealgate_envelope::commit::{CommitPart, CommitRecord};
use sealgate_envelope::layout::{MINIMUM_PART_LENGTH, plaintext_length, sealed_length};
use sealgate_envelope::object::PartId;
use sealgate_envelope::{AttemptId, Backend, Suite};

fn lengths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layout");
    group.bench_function("sealed_length", |bencher| {
        bencher.iter(|| sealed_length(black_box(314_572_800)));
    });
    group.bench_function("plaintext_length", |bencher| {
        bencher.iter(|| plaintext_length(black_box(314_715_264)));
    });
    group.bench_function("plaintext_length of a page", |bencher| {
        bencher.iter(|| {
            (314_715_264..314_716_264)
                .filter_map(|sealed| plaintext_length(black_box(sealed)))
                .count()
        });
    });
    group.finish();
}

fn many_parts(criterion: &mut Criterion) {
    let (object, _) = part(Suite::Aes256Gcm, Backend::default()).unwrap();
    let parts = (1..=10_000)
        .map(|number| CommitPart {
            id: PartId::multipart(number, AttemptId::from_bytes([1; 16])).unwrap(),
            plaintext_length: MINIMUM_PART_LENGTH + 1,
            checksum: None,
        })
        .collect();
    let record = CommitRecord::new(&object, parts, None, None).unwrap();
    let region = record.seal_region(&object).unwrap();
    let total = record.layout().sealed_length();
    let middle = record.plaintext_length() / 2;
    let mut group = criterion.benchmark_group("commit record of 10,000 parts");
    group.bench_function("open", |bencher| {
        bencher.iter(|| CommitRecord::open_suffix(&object, black_box(&region), total).unwrap());
    });
    group.bench_function("plan a range", |bencher| {
        bencher.iter(|| record.layout().plan(black_box(middle)..middle + 1).unwrap());
    });
    group.finish();
}

criterion_group!(benches, lengths, many_parts);
criterion_main!(benches);
