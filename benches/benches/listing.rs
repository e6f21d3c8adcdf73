//! A page of 1,000 keys as AWS and MinIO send it, rewritten as it arrives. Nothing here waits, so the time is that of one processor: at most 2 ms.
//! Signing, and moving the bytes to and from the sockets, are not in it.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops where something is wrong"
)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealgate::xml::listing::ListingRewriter;
use sealgate_envelope::layout::plaintext_length;

/// What a connection hands over at once.
const PIECE_LENGTH: usize = 16 * 1024;

fn page(keys: usize) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
         <Prefix></Prefix><KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>",
    );
    for index in 0..keys {
        write!(
            text,
            "<Contents><Key>photographs/2026/11/25/photograph-of-something-{index:06}.jpeg</Key>\
             <LastModified>2026-11-25T19:00:00.000Z</LastModified><ETag>&quot;{index:032x}&quot;</ETag>\
             <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{}</Size>\
             <Owner><ID>02d6176db174dc93cb1b899f7c6078f08654445fe8cf1b6ce98d8855f66bdbf4</ID><DisplayName>owner</DisplayName></Owner>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            314_715_264 + index
        )
        .unwrap();
    }
    text + "</ListBucketResult>"
}

fn rewrite(document: &str) -> usize {
    let mut rewriter = ListingRewriter::new(|sealed| plaintext_length(sealed).unwrap_or(sealed));
    let mut length = 0;
    for piece in document.as_bytes().chunks(PIECE_LENGTH) {
        rewriter.push(piece).unwrap();
        length += rewriter.take().len();
    }
    length + rewriter.finish().unwrap().len()
}

fn listings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("listing");
    let document = page(1_000);
    // Every size shrinks, and two elements of each object go.
    let (before, after) = (document.len(), rewrite(&document));
    assert!(after < before - 1_000 * "<ChecksumType></ChecksumType>".len());
    group.throughput(Throughput::Bytes(before as u64));
    group.bench_function("1,000 keys", |bencher| {
        bencher.iter(|| rewrite(black_box(&document)));
    });
    group.finish();
}

criterion_group!(benches, listings);
criterion_main!(benches);
