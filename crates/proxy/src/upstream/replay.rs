//! Streamed bodies whose beginning can be sent again.
//!
//! The other side may close a pooled connection at the very moment when it is used, which shows only once a part of the body has been
//! written. Such a request never reached anybody, and our client should not hear of it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;

use super::{BodyFailure, RequestBody, limits::REPLAY_LIMIT};

/// A body that is handed out to one attempt after the other, for as long as everything that was taken from it is still kept.
pub(super) struct Replay {
    shared: Arc<Mutex<Shared>>,
    /// What the body has in all, in bytes.
    length: u64,
}

struct Shared {
    source: RequestBody,
    kept: Vec<Bytes>,
    kept_length: usize,
    taken: u64,
    /// Whether the beginning was given up, because it became too long.
    is_too_long: bool,
    /// Whether the source failed: it will do so again.
    has_failed: bool,
    /// The attempt whose turn it is. An earlier one may still be alive in a connection that has not noticed its own end.
    turn: u32,
}

impl Replay {
    /// Takes a body of `length` bytes.
    pub(super) fn new(source: RequestBody, length: u64) -> Self {
        let shared = Shared {
            source,
            kept: Vec::new(),
            kept_length: 0,
            taken: 0,
            is_too_long: false,
            has_failed: false,
            turn: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            length,
        }
    }

    /// The body from its beginning. What was handed out before ends with an error.
    pub(super) fn attempt(&self) -> RequestBody {
        let mut shared = lock(&self.shared);
        shared.turn += 1;
        Attempt {
            shared: Arc::clone(&self.shared),
            turn: shared.turn,
            position: 0,
        }
        .boxed_unsync()
    }

    /// Whether [`Self::attempt`] still gives the whole body.
    pub(super) fn is_possible(&self) -> bool {
        let shared = lock(&self.shared);
        !shared.is_too_long && !shared.has_failed
    }

    /// Whether some attempt has taken all of the body: only then can it have had an effect.
    pub(super) fn was_taken_whole(&self) -> bool {
        lock(&self.shared).taken >= self.length
    }
}

/// One attempt's view.
struct Attempt {
    shared: Arc<Mutex<Shared>>,
    turn: u32,
    /// How many of the kept pieces this attempt has sent.
    position: usize,
}

impl Body for Attempt {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let this = self.get_mut();
        let mut shared = lock(&this.shared);
        if this.turn != shared.turn {
            return Poll::Ready(Some(Err("another attempt has taken over".into())));
        }
        if let Some(piece) = shared.kept.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        let polled = Pin::new(&mut shared.source).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(piece) = frame.data_ref() {
                    shared.taken += piece.len() as u64;
                    shared.keep(piece);
                    this.position = shared.kept.len();
                }
            }
            Poll::Ready(Some(Err(_))) => shared.has_failed = true,
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        self.position >= shared.kept.len() && shared.source.is_end_stream()
    }
}

impl Shared {
    fn keep(&mut self, piece: &Bytes) {
        if self.is_too_long {
            return;
        }
        self.kept_length += piece.len();
        if self.kept_length > REPLAY_LIMIT {
            self.is_too_long = true;
            self.kept = Vec::new();
        } else {
            self.kept.push(piece.clone());
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // A panic of the source leaves nothing half done here that a later attempt could trip over.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    fn pieces(lengths: &'static [usize]) -> Replay {
        let frames = lengths
            .iter()
            .enumerate()
            .map(|(index, length)| (u8::try_from(index).unwrap(), *length))
            .map(|(byte, length)| Ok(Frame::data(Bytes::from(vec![byte; length]))));
        let length: usize = lengths.iter().sum();
        let source = StreamBody::new(stream::iter(frames));
        Replay::new(BodyExt::boxed_unsync(source), length as u64)
    }

    async fn next(body: &mut RequestBody) -> Option<Bytes> {
        let frame = body.frame().await?.unwrap();
        Some(frame.into_data().unwrap())
    }

    #[tokio::test]
    async fn a_second_attempt_begins_at_the_beginning_and_ends_the_first() {
        let replay = pieces(&[3, 4, 5]);
        let mut first = replay.attempt();
        assert_eq!(next(&mut first).await.unwrap(), [0; 3][..]);
        assert_eq!(next(&mut first).await.unwrap(), [1; 4][..]);
        assert!(replay.is_possible() && !replay.was_taken_whole());
        let second = replay.attempt();
        assert!(first.frame().await.unwrap().is_err());
        let whole = second.collect().await.unwrap().to_bytes();
        assert_eq!(whole, [&[0; 3][..], &[1; 4], &[2; 5]].concat());
        assert!(replay.was_taken_whole());
    }

    #[tokio::test]
    async fn a_beginning_that_is_too_long_is_given_up() {
        let replay = pieces(&[REPLAY_LIMIT, 1, 1]);
        let mut first = replay.attempt();
        next(&mut first).await.unwrap();
        assert!(replay.is_possible());
        next(&mut first).await.unwrap();
        assert!(!replay.is_possible());
        assert!(lock(&replay.shared).kept.is_empty(), "nothing is held");
        assert_eq!(next(&mut first).await.unwrap(), [2][..]);
        assert!(next(&mut first).await.is_none());
    }

    #[tokio::test]
    async fn a_source_that_failed_is_not_asked_again() {
        let frames = stream::iter([Err::<Frame<Bytes>, BodyFailure>("cut off".into())]);
        let source = BodyExt::boxed_unsync(StreamBody::new(frames));
        let replay = Replay::new(source, 1);
        assert!(replay.attempt().frame().await.unwrap().is_err());
        assert!(!replay.is_possible());
    }
}
