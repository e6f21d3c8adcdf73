//! Bodies on their way from one place of a storage to another: paced, counted, and cut into the parts of a multipart upload.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Mutex;

use super::Pace;
use crate::upstream::{AnswerBody, BodyFailure, RequestBody};

/// The answer to a read as the body of a write.
pub(super) fn relay(body: AnswerBody) -> RequestBody {
    let pieces = stream::try_unfold(body, |mut body| async move {
        let piece = body
            .next()
            .await
            .map_err(|error| BodyFailure::from(error.to_string()))?;
        Ok::<_, BodyFailure>(piece.map(|piece| (Frame::data(piece), body)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// The same body, each piece of it waited for until `pace` allows it.
pub(super) fn paced(body: RequestBody, pace: Arc<Pace>) -> RequestBody {
    let pieces = stream::try_unfold((body, pace), |(mut body, pace)| async move {
        let piece = next(&mut body).await?;
        if let Some(piece) = &piece {
            pace.bytes(piece.len()).await;
        }
        Ok::<_, BodyFailure>(piece.map(|piece| (Frame::data(piece), (body, pace))))
    });
    StreamBody::new(pieces).boxed_unsync()
}

async fn next(body: &mut RequestBody) -> Result<Option<Bytes>, BodyFailure> {
    loop {
        let Some(frame) = body.frame().await else {
            return Ok(None);
        };
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
}

/// A body of known length that is cut into consecutive bodies. Never more than one piece of it is in memory.
pub(super) struct Cutter(Arc<Mutex<Uncut>>);

struct Uncut {
    body: RequestBody,
    /// What was read and belongs to the next part.
    rest: Bytes,
}

impl Cutter {
    pub(super) fn new(body: RequestBody) -> Self {
        Self(Arc::new(Mutex::new(Uncut {
            body,
            rest: Bytes::new(),
        })))
    }

    /// The next `length` bytes. The body before must have been read to its end.
    pub(super) fn part(&self, length: u64) -> RequestBody {
        let state = (Arc::clone(&self.0), length);
        let pieces = stream::try_unfold(state, |(uncut, missing)| async move {
            if missing == 0 {
                return Ok(None);
            }
            let piece = uncut.lock().await.take(missing).await?;
            let missing = missing - piece.len() as u64;
            Ok::<_, BodyFailure>(Some((Frame::data(piece), (uncut, missing))))
        });
        StreamBody::new(pieces).boxed_unsync()
    }

    /// Reads to the end what should have ended: a sealed body is verified only when its end is asked for.
    pub(super) async fn finish(&self) -> Result<(), BodyFailure> {
        let mut uncut = self.0.lock().await;
        if !uncut.rest.is_empty() || next(&mut uncut.body).await?.is_some() {
            return Err("the body is longer than it was said to be".into());
        }
        Ok(())
    }
}

impl Uncut {
    /// At most `limit` bytes, and at least one.
    async fn take(&mut self, limit: u64) -> Result<Bytes, BodyFailure> {
        while self.rest.is_empty() {
            self.rest = next(&mut self.body)
                .await?
                .ok_or_else(|| BodyFailure::from("the body ended early"))?;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.rest.split_to(limit.min(self.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&'static [u8]]) -> RequestBody {
        let frames: Vec<Result<_, BodyFailure>> = pieces
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::from_static(piece))))
            .collect();
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test]
    async fn parts_are_cut_anywhere_and_lose_nothing() {
        let cutter = Cutter::new(body(&[b"abcde", b"", b"f", b"ghij"]));
        let mut parts = Vec::new();
        for length in [3, 4, 0, 3] {
            let part = cutter.part(length).collect().await.unwrap().to_bytes();
            parts.push(part);
        }
        assert_eq!(parts, ["abc", "defg", "", "hij"]);
        cutter.finish().await.unwrap();
    }

    #[tokio::test]
    async fn a_body_of_another_length_is_an_error() {
        let short = Cutter::new(body(&[b"ab"]));
        assert!(short.part(3).collect().await.is_err());
        let long = Cutter::new(body(&[b"abc"]));
        long.part(2).collect().await.unwrap();
        assert!(long.finish().await.is_err());
    }
}
