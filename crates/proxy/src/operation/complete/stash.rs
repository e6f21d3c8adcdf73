//! The part that was held back, on its way from the state bucket to the end of the object. It is verified while it passes, so that an altered
//! stash makes Complete fail and not the reader.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sealgate_envelope::{commit::CommitRecord, opener::Opener, records::PartRecord};

use super::Exchange;
use crate::{
    error::S3Error,
    state::OpenUpload,
    upstream::{AnswerBody, BodyFailure, RequestBody},
};

/// Why a stash did not verify, if it did not.
#[derive(Clone, Default)]
pub(super) struct StashFailure(Arc<Mutex<Option<S3Error>>>);

impl StashFailure {
    /// Takes the failure out.
    pub(super) fn take(&self) -> Option<S3Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: S3Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

struct Passing {
    source: AnswerBody,
    /// Opens a copy of every segment; taken when the last one has passed.
    opener: Option<Opener>,
    buffer: BytesMut,
    region: Option<Bytes>,
}

/// The stashed segments, followed by the commit region, as a body of the returned length.
pub(super) async fn open(
    exchange: &Exchange,
    upload: &OpenUpload,
    part: &PartRecord,
    record: &CommitRecord,
    region: Vec<u8>,
) -> Result<(RequestBody, u64, StashFailure), S3Error> {
    let gateway = &exchange.gateway;
    let layout = record.layout();
    let held = layout
        .parts()
        .last()
        .ok_or_else(|| S3Error::internal("a commit record of no parts"))?;
    let expected = held.sealed().end - held.sealed().start;
    let (length, source) = gateway
        .state
        .get_stream(&gateway.uploads.stash_name(upload, part.id))
        .await?
        // Completed or aborted meanwhile, by another request: as if its record had been gone already.
        .ok_or_else(S3Error::no_such_upload)?;
    if length != expected {
        return Err(S3Error::stored_data(format!(
            "a stashed part has {length} bytes where its record promises {expected}"
        )));
    }
    let opener = Opener::new(&upload.secrets, layout.plan(held.plaintext())?)?;
    let passing = Passing {
        source,
        opener: Some(opener),
        buffer: BytesMut::new(),
        region: Some(Bytes::from(region)),
    };
    let total = expected
        + passing
            .region
            .as_ref()
            .map_or(0, |region| region.len() as u64);
    let failure = StashFailure::default();
    let reported = failure.clone();
    let pieces = stream::try_unfold((passing, reported), |(mut passing, reported)| async move {
        match passing.next().await {
            Ok(piece) => Ok(piece.map(|piece| (Frame::data(piece), (passing, reported)))),
            Err(error) => {
                reported.set(error);
                Err(BodyFailure::from("the stashed part could not be verified"))
            }
        }
    });
    Ok((StreamBody::new(pieces).boxed_unsync(), total, failure))
}

impl Passing {
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        let Some(opener) = &mut self.opener else {
            return Ok(self.region.take());
        };
        let Some(needed) = opener.next_length() else {
            if let Some(opener) = self.opener.take() {
                opener.finish()?;
            }
            return Ok(self.region.take());
        };
        while self.buffer.len() < needed {
            let piece = self.source.next().await?.ok_or_else(|| {
                S3Error::stored_data("a stashed part ends in the middle of a segment")
            })?;
            self.buffer.extend_from_slice(&piece);
        }
        let segment = self.buffer.split_to(needed).freeze();
        opener.open_segment(&mut segment.to_vec())?;
        Ok(Some(segment))
    }
}
