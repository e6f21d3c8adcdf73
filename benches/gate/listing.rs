//! A page of 1,000 keys, rewritten as it arrives.

use std::fmt::Write as _;
use std::hint::black_box;

use sealgate::xml::listing::ListingRewriter;
use sealgate_envelope::layout::plaintext_length;

use crate::Case;

/// What a connection hands over at once.
const PIECE: usize = 16 << 10;

/// A page as AWS and MinIO send it.
fn page() -> anyhow::Result<String> {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
         <Prefix></Prefix><KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>",
    );
    for index in 0..1_000 {
        write!(
            text,
            "<Contents><Key>photographs/2026/11/25/photograph-of-something-{index:06}.jpeg</Key>\
             <LastModified>2026-11-25T19:00:00.000Z</LastModified><ETag>&quot;{index:032x}&quot;</ETag>\
             <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            314_715_264 + index
        )?;
    }
    Ok(text + "</ListBucketResult>")
}

/// Rewrites the page, piece by piece.
pub(crate) fn rewrite() -> anyhow::Result<Case> {
    let document = page()?;
    Ok(Box::new(move || {
        let mut rewriter =
            ListingRewriter::new(|sealed| plaintext_length(sealed).unwrap_or(sealed));
        let mut length = 0;
        for piece in document.as_bytes().chunks(PIECE) {
            rewriter.push(piece)?;
            length += rewriter.take().len();
        }
        length += rewriter.finish()?.len();
        anyhow::ensure!(
            black_box(length) < document.len(),
            "nothing was taken out of the page"
        );
        Ok(())
    }))
}
