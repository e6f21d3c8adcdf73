//! Stored bytes in, plaintext out.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::StreamError;
use crate::error::Result;
use crate::object::ObjectSecrets;
use crate::opener::Opener;
use crate::parts::RangePlan;

/// A stream of the plaintext of a range, segment by segment, each authenticated before it is yielded.
///
/// It ends after the last byte of the range, without asking the source for more. If a segment does not open or the
/// source ends too early, it yields an error and then nothing more: only a stream that ends without an error is
/// complete.
#[derive(Debug)]
pub struct OpenStream<S> {
    source: S,
    /// None once the stream has ended or failed.
    opener: Option<Opener>,
    buffer: BytesMut,
}

impl<S> OpenStream<S> {
    /// Opens what `source` gives: exactly the stored bytes [`RangePlan::ciphertext`], from the first one on.
    ///
    /// # Errors
    /// As [`Opener::new`].
    pub fn new(object: &ObjectSecrets, plan: RangePlan, source: S) -> Result<Self> {
        Ok(Self {
            source,
            opener: Some(Opener::new(object, plan)?),
            buffer: BytesMut::new(),
        })
    }

    /// The plaintext of the first segment in the buffer, which has `length` bytes.
    fn open_next(&mut self, opener: &mut Opener, length: usize) -> Result<Bytes> {
        let mut segment = self.buffer.split_to(length);
        let released = opener.open_segment(&mut segment)?;
        Ok(segment.freeze().slice(released))
    }
}

impl<S, B, E> Stream for OpenStream<S>
where
    S: Stream<Item = Result<B, E>> + Unpin,
    B: AsRef<[u8]>,
{
    type Item = Result<Bytes, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            // Put back only where the stream goes on, so that any failure ends it.
            let Some(mut opener) = this.opener.take() else {
                return Poll::Ready(None);
            };
            let Some(length) = opener.next_length() else {
                return Poll::Ready(None);
            };
            if this.buffer.len() >= length {
                let plaintext = this.open_next(&mut opener, length)?;
                this.opener = Some(opener);
                return Poll::Ready(Some(Ok(plaintext)));
            }
            this.buffer
                .reserve(length.saturating_sub(this.buffer.len()));
            let Poll::Ready(next) = Pin::new(&mut this.source).poll_next(context) else {
                this.opener = Some(opener);
                return Poll::Pending;
            };
            match next {
                Some(Ok(ciphertext)) => {
                    this.buffer.extend_from_slice(ciphertext.as_ref());
                    this.opener = Some(opener);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(StreamError::Source(error)))),
                None => {
                    opener.finish()?;
                    return Poll::Ready(None);
                }
            }
        }
    }
}
