//! Plaintext in, stored bytes out.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::StreamError;
use crate::commit::CommitRecord;
use crate::error::Result;
use crate::object::{ObjectSecrets, PartId};
use crate::sealer::Sealer;

/// A stream of the stored bytes of one part, or of a whole object that is one part.
///
/// It yields runs of whole segments. The last segment, and the commit region, come only after the source has ended; if
/// the source fails, they never come, and what was yielded never opens.
#[derive(Debug)]
pub struct SealStream<S> {
    source: S,
    object: ObjectSecrets,
    /// None once the stream has ended or failed.
    sealer: Option<Sealer>,
    buffer: BytesMut,
    whole: bool,
}

impl<S> SealStream<S> {
    /// Seals the whole body of an object that is one part: segments and commit region. The source must give exactly
    /// the bytes that the header promised.
    ///
    /// # Errors
    /// [`Error::Misuse`](crate::Error::Misuse) for the secrets of a multipart object.
    pub fn object(object: &ObjectSecrets, source: S) -> Result<Self> {
        Self::new(object, PartId::single(object.object_id()), source, true)
    }

    /// Seals one part of a multipart object: segments only.
    ///
    /// # Errors
    /// [`Error::Misuse`](crate::Error::Misuse) for the secrets of an object that is one part.
    pub fn part(object: &ObjectSecrets, id: PartId, source: S) -> Result<Self> {
        Self::new(object, id, source, false)
    }

    fn new(object: &ObjectSecrets, id: PartId, source: S, whole: bool) -> Result<Self> {
        Ok(Self {
            source,
            object: object.clone(),
            sealer: Some(Sealer::new(object, id)?),
            buffer: BytesMut::new(),
            whole,
        })
    }

    fn finish(&mut self, sealer: Sealer) -> Result<Bytes> {
        sealer.finish(&mut self.buffer)?;
        if self.whole {
            let region = CommitRecord::single(&self.object, None)?.seal_region(&self.object)?;
            self.buffer.extend_from_slice(&region);
        }
        Ok(self.buffer.split().freeze())
    }
}

impl<S, B, E> Stream for SealStream<S>
where
    S: Stream<Item = Result<B, E>> + Unpin,
    B: AsRef<[u8]>,
{
    type Item = Result<Bytes, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(mut sealer) = this.sealer.take() else {
                return Poll::Ready(None);
            };
            let Poll::Ready(next) = Pin::new(&mut this.source).poll_next(context) else {
                this.sealer = Some(sealer);
                return Poll::Pending;
            };
            match next {
                Some(Ok(plaintext)) => {
                    sealer.push(plaintext.as_ref(), &mut this.buffer)?;
                    let ready = this.buffer.len().saturating_sub(sealer.withheld());
                    this.sealer = Some(sealer);
                    if ready > 0 {
                        return Poll::Ready(Some(Ok(this.buffer.split_to(ready).freeze())));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(StreamError::Source(error)))),
                None => {
                    let last = this.finish(sealer)?;
                    return Poll::Ready((!last.is_empty()).then_some(Ok(last)));
                }
            }
        }
    }
}
