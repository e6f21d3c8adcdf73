//! Sealed content that was not kept, made anew for every download: so objects can be larger than the memory.
//!
//! Of what is uploaded below `regenerated/`, the headers and the end are kept. The end holds the commit record, which says of which parts the
//! object consists; with the gateway's key file the storage opens the header and seals zeros in their place. It costs the storage the cipher.

use std::{
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sealgate_envelope::{
    Domain, ObjectId, Place,
    commit::{CommitRecord, CommitSearch},
    header::{HEADER_METADATA_NAME, Header},
    key_service::{EncryptionContext, KeyService, UnwrapPermit, local::LocalKeyService},
    layout::{SEALED_SEGMENT_LENGTH, SEGMENT_OVERHEAD},
    object::ObjectSecrets,
    parts::PartLayout,
    segment::PartSealer,
};

use crate::objects::Object;

/// Keys that begin so have content that is made anew.
const REGENERATED: &str = "regenerated/";

/// How much of the end of each upload or part is kept: more than the commit region of 50 GiB, 1.3 MB.
pub(crate) const KEPT_END: usize = 2 << 20;

/// Whether only the end of this object is kept.
pub(crate) fn is_regenerated(key: &str) -> bool {
    key.starts_with(REGENERATED)
}

/// With what the gateway seals.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) key_file: PathBuf,
    /// The gateway's `deployment`.
    pub(crate) deployment: String,
}

impl Keys {
    /// Opens an object as the gateway would, but for its content.
    pub(crate) async fn open(
        &self,
        bucket: &str,
        key: &str,
        object: &Object,
    ) -> anyhow::Result<Arc<Regenerated>> {
        let domain = Domain::new(format!("{}/{bucket}", self.deployment))?;
        let header = object
            .headers
            .get(HEADER_METADATA_NAME)
            .context("the object has no header")?;
        let header = Header::from_text(header.to_str()?)?;
        let service = LocalKeyService::open(&self.key_file)?;
        let context = EncryptionContext::new(domain.clone(), header.working_key_id());
        let wrap = header.wraps().first().context("the header has no wrap")?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the storage of a measurement, with a key file made for it"
        )]
        let permit = UnwrapPermit::issue("measurement");
        let working_key = service.unwrap(&permit, &context, wrap).await?;
        let opened = header.open(&working_key, Place::new(&domain, key)?)?;
        let secrets = opened.secrets().clone();
        let length = object.content.length;
        let CommitSearch::Found(record) =
            CommitRecord::open_suffix(&secrets, &object.content.bytes, length)?
        else {
            bail!("the commit record is longer than what is kept of an upload's end")
        };
        let region = length.saturating_sub(record.layout().segments_length());
        let kept = object.content.bytes.len();
        let start = kept
            .checked_sub(usize::try_from(region)?)
            .context("the end of the object was not kept")?;
        Ok(Arc::new(Regenerated {
            parts: record.layout().parts().to_vec(),
            region: object.content.bytes.slice(start..),
            object_id: secrets.object_id(),
            secrets,
        }))
    }
}

/// What it takes to make an object's content.
pub(crate) struct Regenerated {
    secrets: ObjectSecrets,
    object_id: ObjectId,
    parts: Vec<PartLayout>,
    region: Bytes,
}

/// A range of such an object, made while it is read.
pub(crate) struct RegeneratedBody {
    object: Arc<Regenerated>,
    /// The part that is made, by its place; behind the last one comes the end that was kept.
    part: usize,
    sealer: Option<PartSealer>,
    /// How much of the part is sealed.
    sealed: u64,
    /// How many bytes are made before the range begins.
    skip: u64,
    left: u64,
}

impl RegeneratedBody {
    /// The bytes from `first` to `end`.
    pub(crate) fn new(object: Arc<Regenerated>, first: u64, end: u64) -> Self {
        let part = object
            .parts
            .iter()
            .take_while(|part| part.sealed().end <= first)
            .count();
        let begins = object.parts.get(part).map_or_else(
            || object.parts.last().map_or(0, |part| part.sealed().end),
            |part| part.sealed().start,
        );
        Self {
            object,
            part,
            sealer: None,
            sealed: 0,
            skip: first.saturating_sub(begins),
            left: end.saturating_sub(first),
        }
    }

    /// A segment, or what was kept of the end.
    fn next(&mut self) -> anyhow::Result<Bytes> {
        let Some(part) = self.object.parts.get(self.part) else {
            return Ok(self.object.region.clone());
        };
        let sealer = match &mut self.sealer {
            Some(sealer) => sealer,
            none => none.insert(PartSealer::new(&self.object.secrets, part.id())?),
        };
        let length = part.sealed().end - part.sealed().start;
        let left = usize::try_from(length - self.sealed)?.min(SEALED_SEGMENT_LENGTH);
        anyhow::ensure!(
            left > SEGMENT_OVERHEAD,
            "{:?} has an empty segment",
            self.object.object_id
        );
        let mut segment = vec![0; left];
        self.sealed += left as u64;
        let is_last = self.sealed == length;
        sealer.seal_segment(&mut segment, is_last)?;
        if is_last {
            (self.part, self.sealer, self.sealed) = (self.part + 1, None, 0);
        }
        Ok(segment.into())
    }
}

impl Body for RegeneratedBody {
    type Data = Bytes;
    type Error = anyhow::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<anyhow::Result<Frame<Bytes>>>> {
        while self.left > 0 {
            let mut piece = match self.next() {
                Ok(piece) => piece,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let skipped = piece
                .len()
                .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= skipped as u64;
            let _ = piece.split_to(skipped);
            piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= piece.len() as u64;
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
