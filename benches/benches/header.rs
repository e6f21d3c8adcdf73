//! Parsing and opening a header: once for every read.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgate_benches::header;
use sealgate_envelope::Place;
use sealgate_envelope::header::Header;

fn benches_of_headers(criterion: &mut Criterion) {
    let (sealed, key, domain) = header().unwrap();
    let text = sealed.to_text();
    let mut damaged = text.clone();
    damaged.replace_range(..1, "T");
    let place = Place::new(&domain, "key").unwrap();
    let mut group = criterion.benchmark_group("header");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Header::from_text(black_box(&text)).unwrap());
    });
    group.bench_function("refuse", |bencher| {
        bencher.iter(|| Header::from_text(black_box(&damaged)).unwrap_err());
    });
    group.bench_function("open", |bencher| {
        bencher.iter(|| black_box(&sealed).open(&key, place).unwrap());
    });
    group.bench_function("seal", |bencher| bencher.iter(|| header().unwrap()));
    group.finish();
}

criterion_group!(benches, benches_of_headers);
criterion_main!(benches);
