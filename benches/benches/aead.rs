//! What the format adds to the cipher: sealing and opening segments of 64 KiB, against the AEAD alone, in place, per suite and backend.
//!
//! `alone` is the backend's own function with a nonce that is counted and the same associated data. `segment` is what a part of an object
//! takes: lengths, a random nonce, and the order of segments. `sealer` and `opener` are what the gateway uses; the sealer copies once. A
//! segment can be opened only once, so all openings begin with a copy of it.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::hint::black_box;

use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::ChaCha20Poly1305;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use sealgate_benches::part;
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::layout::{SEALED_SEGMENT_LENGTH, SEGMENT_LENGTH};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::segment::PartSealer;
use sealgate_envelope::suite::{NONCE_LENGTH, TAG_LENGTH};
use sealgate_envelope::{Backend, Suite};

const KEY: [u8; 32] = [1; 32];

/// Segments of a part: enough that what a part costs as a whole does not show.
const SEGMENTS: usize = 64;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// A segment in its buffer: nonce, content, tag.
fn segment() -> Vec<u8> {
    vec![5; SEALED_SEGMENT_LENGTH]
}

fn nonce(index: u64) -> [u8; NONCE_LENGTH] {
    let mut nonce = [0; NONCE_LENGTH];
    nonce
        .first_chunk_mut()
        .unwrap()
        .clone_from(&index.to_be_bytes());
    nonce
}

fn associated_data(index: u64) -> [u8; 9] {
    let mut data = [0; 9];
    data.first_chunk_mut()
        .unwrap()
        .clone_from(&index.to_be_bytes());
    data
}

/// Runs `each` for every segment of a part.
fn alone(group: &mut Group<'_>, name: &str, mut each: impl FnMut(u64)) {
    group.bench_function(BenchmarkId::new("alone", name), |bencher| {
        bencher.iter(|| (0..SEGMENTS as u64).for_each(&mut each));
    });
}

fn aws_lc(suite: Suite) -> LessSafeKey {
    let algorithm = match suite {
        Suite::Aes256Gcm => &AES_256_GCM,
        _ => &CHACHA20_POLY1305,
    };
    LessSafeKey::new(UnboundKey::new(algorithm, &KEY).unwrap())
}

fn seal_alone_aws_lc(group: &mut Group<'_>, name: &str, suite: Suite) {
    let (key, mut buffer) = (aws_lc(suite), segment());
    alone(group, name, |index| {
        let (content, room) = content_and_tag(&mut buffer);
        let nonce = Nonce::assume_unique_for_key(nonce(index));
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(associated_data(index)), content)
            .unwrap();
        room.copy_from_slice(tag.as_ref());
    });
}

fn seal_alone_rust_crypto(group: &mut Group<'_>, name: &str, key: &impl AeadInOut) {
    let mut buffer = segment();
    alone(group, name, |index| {
        let (content, room) = content_and_tag(&mut buffer);
        let nonce = nonce(index);
        let nonce = nonce.as_slice().try_into().unwrap();
        let tag = key
            .encrypt_inout_detached(nonce, &associated_data(index), content.into())
            .unwrap();
        room.copy_from_slice(&tag);
    });
}

fn content_and_tag(segment: &mut [u8]) -> (&mut [u8], &mut [u8; TAG_LENGTH]) {
    segment
        .get_mut(NONCE_LENGTH..)
        .unwrap()
        .split_last_chunk_mut()
        .unwrap()
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal 64 KiB");
    group.throughput(Throughput::Bytes((SEGMENTS * SEGMENT_LENGTH) as u64));
    for suite in Suite::ALL {
        for backend in Backend::ALL {
            let name = format!("{suite:?}/{backend:?}");
            match (backend, suite) {
                (Backend::AwsLc, _) => seal_alone_aws_lc(&mut group, &name, suite),
                (Backend::RustCrypto, Suite::Aes256Gcm) => {
                    seal_alone_rust_crypto(&mut group, &name, &Aes256Gcm::new(&KEY.into()));
                }
                (Backend::RustCrypto, _) => {
                    seal_alone_rust_crypto(&mut group, &name, &ChaCha20Poly1305::new(&KEY.into()));
                }
            }
            let (object, id) = part(suite, *backend).unwrap();
            let mut buffer = segment();
            group.bench_function(BenchmarkId::new("segment", &name), |bencher| {
                bencher.iter(|| {
                    let mut part = PartSealer::new(&object, id).unwrap();
                    for index in 1..=SEGMENTS {
                        part.seal_segment(&mut buffer, index == SEGMENTS).unwrap();
                    }
                    black_box(part.finish().unwrap());
                });
            });
            let content = vec![5; SEGMENT_LENGTH];
            let mut buffer = Vec::with_capacity(2 * SEALED_SEGMENT_LENGTH);
            group.bench_function(BenchmarkId::new("sealer", &name), |bencher| {
                bencher.iter(|| {
                    let mut sealer = Sealer::new(&object, id).unwrap();
                    for _ in 0..SEGMENTS {
                        sealer.push(&content, &mut buffer).unwrap();
                        // What was sealed has left; what is withheld is sealed where it lies.
                        if buffer.len() > SEALED_SEGMENT_LENGTH {
                            buffer.copy_within(SEALED_SEGMENT_LENGTH.., 0);
                            buffer.truncate(buffer.len() - SEALED_SEGMENT_LENGTH);
                        }
                    }
                    black_box(sealer.finish(&mut buffer).unwrap());
                    buffer.clear();
                });
            });
        }
    }
    group.finish();
}

fn open_alone_aws_lc(group: &mut Group<'_>, name: &str, suite: Suite) {
    let (key, mut sealed, mut buffer) = (aws_lc(suite), segment(), segment());
    let (content, room) = content_and_tag(&mut sealed);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce(0)),
            Aad::from(associated_data(0)),
            content,
        )
        .unwrap();
    room.copy_from_slice(tag.as_ref());
    alone(group, name, |_| {
        buffer.copy_from_slice(&sealed);
        let nonce = Nonce::assume_unique_for_key(nonce(0));
        let body = buffer.get_mut(NONCE_LENGTH..).unwrap();
        black_box(
            key.open_in_place(nonce, Aad::from(associated_data(0)), body)
                .unwrap(),
        );
    });
}

fn open_alone_rust_crypto(group: &mut Group<'_>, name: &str, key: &impl AeadInOut) {
    let (mut sealed, mut buffer) = (segment(), segment());
    let nonce = nonce(0);
    let nonce = nonce.as_slice().try_into().unwrap();
    let (content, room) = content_and_tag(&mut sealed);
    let tag = key
        .encrypt_inout_detached(nonce, &associated_data(0), content.into())
        .unwrap();
    room.copy_from_slice(&tag);
    alone(group, name, |_| {
        buffer.copy_from_slice(&sealed);
        let (content, tag) = content_and_tag(&mut buffer);
        let tag = tag.as_slice().try_into().unwrap();
        key.decrypt_inout_detached(nonce, &associated_data(0), content.into(), tag)
            .unwrap();
    });
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open 64 KiB");
    group.throughput(Throughput::Bytes((SEGMENTS * SEGMENT_LENGTH) as u64));
    for suite in Suite::ALL {
        for backend in Backend::ALL {
            let name = format!("{suite:?}/{backend:?}");
            match (backend, suite) {
                (Backend::AwsLc, _) => open_alone_aws_lc(&mut group, &name, suite),
                (Backend::RustCrypto, Suite::Aes256Gcm) => {
                    open_alone_rust_crypto(&mut group, &name, &Aes256Gcm::new(&KEY.into()));
                }
                (Backend::RustCrypto, _) => {
                    open_alone_rust_crypto(&mut group, &name, &ChaCha20Poly1305::new(&KEY.into()));
                }
            }
            let (object, id) = part(suite, *backend).unwrap();
            let mut sealer = Sealer::new(&object, id).unwrap();
            let (content, mut sealed) = (vec![5; SEGMENT_LENGTH], Vec::new());
            for _ in 0..SEGMENTS {
                sealer.push(&content, &mut sealed).unwrap();
            }
            let part = sealer.finish(&mut sealed).unwrap();
            let record = CommitRecord::new(&object, vec![part.into()], None, None).unwrap();
            let mut buffer = segment();
            group.bench_function(BenchmarkId::new("opener", &name), |bencher| {
                bencher.iter_batched(
                    || Opener::new(&object, record.layout().plan_all().unwrap()).unwrap(),
                    |mut opener| {
                        for segment in sealed.chunks(SEALED_SEGMENT_LENGTH) {
                            buffer.copy_from_slice(segment);
                            black_box(opener.open_segment(&mut buffer).unwrap());
                        }
                        opener.finish().unwrap();
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
