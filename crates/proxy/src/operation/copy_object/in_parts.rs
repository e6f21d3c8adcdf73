//! Copying more than a storage copies in one request: a multipart upload of ranges of the sealed object, each copied by the storage itself. No
//! byte passes the gateway, and what comes out is the same sealed object.

use std::{ops::Range, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, Method, header};
use sealgate_envelope::layout::MAXIMUM_PARTS;
use tokio::runtime::Handle;

use super::super::{Exchange, append_query, headers, multipart, named, put_object};
use crate::{
    error::S3Error,
    upstream::{Answer, MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml::{
        requests::{CompleteMultipartUpload, CompletedPart},
        upstream_answers::{Copied, Outcome, parse_completed, parse_copied, parse_initiated},
    },
};

/// A part, where the storage copies as much in one request and the object is not too long for it. It bounds how long one request takes.
const PREFERRED_PART_LENGTH: u64 = 1 << 30;

/// Parts that the storage copies at the same time.
const CONCURRENT_PARTS: usize = 4;

/// A copy in preparation.
pub(super) struct CopyInParts<'a> {
    pub(super) exchange: &'a Exchange,
    /// Its placement, the tags included that it takes along.
    pub(super) placement: HeaderMap,
    /// The header of the object to be.
    pub(super) header: &'a sealgate_envelope::header::Header,
    /// The value of `x-amz-copy-source`, pinned to a version where there are any.
    pub(super) source: &'a str,
    /// The source's tag at the storage, which pins it.
    pub(super) entity_tag: &'a str,
    /// Length of the sealed source.
    pub(super) sealed_length: u64,
    /// The most that the storage copies in one request.
    pub(super) largest_copy: u64,
}

/// The upload of a copy, which is aborted when the copy fails, and also when nobody waits for it any more.
struct OpenCopy<'a> {
    exchange: &'a Exchange,
    upload_id: &'a str,
    has_ended: bool,
}

impl OpenCopy<'_> {
    fn completed(mut self) {
        self.has_ended = true;
    }

    async fn abort(mut self) {
        self.aborting().await;
        self.has_ended = true;
    }

    /// The work of it, which needs nothing of this any more.
    fn aborting(&self) -> impl Future<Output = ()> + Send + use<> {
        let request = multipart::abort_request(self.exchange, self.upload_id);
        let gateway = Arc::clone(&self.exchange.gateway);
        let request_id = self.exchange.request_id.clone();
        async move {
            if let Err(error) = gateway.upstream.call(request).await {
                tracing::warn!(request_id, %error, "the storage's upload of a copy that failed could not be aborted; its rules for incomplete uploads will");
            }
        }
    }
}

impl Drop for OpenCopy<'_> {
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current()
            && !self.has_ended
        {
            runtime.spawn(self.aborting());
        }
    }
}

impl CopyInParts<'_> {
    /// Copies, and returns what the storage says of the new object, and the answer's headers for our client with the version's id.
    ///
    /// Cancel safety: where the future is dropped, no object appears, or the whole one, and the upload is aborted.
    ///
    /// # Errors
    ///
    /// Those of the storage. No object appears then, and the upload is aborted.
    pub(super) async fn send(self) -> Result<(Copied, HeaderMap, Option<String>), S3Error> {
        let upload_id = self.begin().await?;
        let open = OpenCopy {
            exchange: self.exchange,
            upload_id: &upload_id,
            has_ended: false,
        };
        let mut query = String::new();
        append_query(&mut query, "uploadId", &upload_id);
        let outcome = async {
            let parts = self.copy_parts(&query).await?;
            self.complete(&query, &parts).await
        }
        .await;
        match outcome {
            Ok(_) => open.completed(),
            Err(_) => open.abort().await,
        }
        outcome
    }

    async fn begin(&self) -> Result<String, S3Error> {
        let request = UpstreamRequest::new(Method::POST, self.exchange.target())
            .query("uploads=")
            .headers(self.placement.clone());
        let answer = self
            .call(put_object::with_header(request, self.header)?)
            .await?;
        Ok(parse_initiated(
            &answer.document(MAX_DOCUMENT_LENGTH).await?,
        )?)
    }

    async fn copy_parts(&self, upload: &str) -> Result<Vec<CompletedPart>, S3Error> {
        stream::iter((1_u16..).zip(ranges(self.sealed_length, self.largest_copy)))
            .map(|(number, range)| self.copy_part(upload, number, range))
            .buffered(CONCURRENT_PARTS)
            .try_collect()
            .await
    }

    async fn copy_part(
        &self,
        upload: &str,
        number: u16,
        range: Range<u64>,
    ) -> Result<CompletedPart, S3Error> {
        let mut request_headers = headers::common(&self.exchange.headers);
        for (name, value) in [
            ("x-amz-copy-source", self.source.to_owned()),
            (
                "x-amz-copy-source-range",
                format!("bytes={}-{}", range.start, range.end.saturating_sub(1)),
            ),
            ("x-amz-copy-source-if-match", self.entity_tag.to_owned()),
        ] {
            headers::insert_text(&mut request_headers, named(name), &value);
        }
        let request = UpstreamRequest::new(Method::PUT, self.exchange.target())
            .query(format!("partNumber={number}&{upload}"))
            .headers(request_headers);
        let answer = self.call(request).await.map_err(multipart::copy_failure)?;
        match parse_copied(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
            Outcome::Done(copied) => Ok(CompletedPart {
                number,
                entity_tag: copied.entity_tag,
                checksums: Vec::new(),
            }),
            Outcome::Failed(error) => Err(S3Error::within_success(error.code, error.message)),
        }
    }

    async fn complete(
        &self,
        upload: &str,
        parts: &[CompletedPart],
    ) -> Result<(Copied, HeaderMap, Option<String>), S3Error> {
        let mut request_headers = headers::common(&self.exchange.headers);
        headers::conditions(&self.exchange.headers, &mut request_headers)?;
        let request = UpstreamRequest::new(Method::POST, self.exchange.target())
            .query(upload)
            .headers(request_headers)
            .bytes(CompleteMultipartUpload::to_document(parts).into_bytes());
        let answer = self.call(request).await?;
        let mut answer_headers = headers::answer(answer.headers());
        answer_headers.remove(header::ETAG);
        let version_id = answer.text(named("x-amz-version-id")).map(str::to_owned);
        match parse_completed(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
            Outcome::Failed(error) => Err(S3Error::within_success(error.code, error.message)),
            Outcome::Done(entity_tag) => {
                let copied = Copied {
                    entity_tag,
                    last_modified: None,
                };
                Ok((copied, answer_headers, version_id))
            }
        }
    }

    async fn call(&self, request: UpstreamRequest) -> Result<Answer, S3Error> {
        self.exchange.gateway.upstream.call(request).await
    }
}

/// The ranges of an object that become its parts: of one length but for the last, at most 10,000.
fn ranges(sealed_length: u64, largest_copy: u64) -> impl Iterator<Item = Range<u64>> {
    let part = PREFERRED_PART_LENGTH
        .min(largest_copy)
        .max(sealed_length.div_ceil(u64::from(MAXIMUM_PARTS)))
        .max(1);
    (0..sealed_length.div_ceil(part))
        .map(move |index| index * part..((index + 1) * part).min(sealed_length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least and the most that S3 takes as a part.
    const MINIMUM: u64 = 5 << 20;
    const MAXIMUM: u64 = 5 << 30;

    proptest! {
        #[test]
        fn ranges_are_legal_parts_and_the_whole_object(
            sealed_length in prop_oneof![1_u64..50 << 30, 1_u64..=(48 << 40)],
            largest in MINIMUM..=MAXIMUM,
        ) {
            let found: Vec<_> = ranges(sealed_length, largest).collect();
            prop_assert!(found.len() <= 10_000);
            prop_assert_eq!(found[0].start, 0);
            prop_assert_eq!(found.last().unwrap().end, sealed_length);
            for pair in found.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
                prop_assert!((MINIMUM..=MAXIMUM).contains(&(pair[0].end - pair[0].start)));
            }
            let last = found.last().unwrap();
            prop_assert!(last.start < last.end && last.end - last.start <= MAXIMUM);
        }
    }
}
