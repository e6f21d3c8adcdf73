//! How long the storage is waited for while it sends the body of an answer.

use std::time::Duration;

use http::Method;

use super::{
    UpstreamError,
    limits::{MAX_WORK, MIN_ANSWER_PROGRESS},
};
use crate::patience::{Patience, RunOut};

/// What is left of the patience with one answer.
#[derive(Debug)]
pub(super) struct Waiting {
    patience: Patience,
    /// Whether the body tells what became of the request. Storages begin such answers before they know it themselves, and send white space (AWS,
    /// of CompleteMultipartUpload and copies) or an element now and then (Ceph, of copies and of many deletions) while they are at work.
    tells_outcome: bool,
}

impl Waiting {
    /// For the answer to a request of this method.
    pub(super) fn for_answer_to(method: &Method, idle: Duration) -> Self {
        let patience = Patience::new(idle, MIN_ANSWER_PROGRESS);
        if *method == Method::GET || *method == Method::HEAD {
            return Self {
                patience,
                tells_outcome: false,
            };
        }
        Self {
            patience: patience.in_all(MAX_WORK),
            tells_outcome: true,
        }
    }

    /// What the storage sends next.
    pub(super) async fn wait<T>(
        &mut self,
        receiving: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        let received = self.patience.wait(receiving).await;
        received.map_err(|RunOut| {
            if self.patience.is_used_up() {
                UpstreamError::Unfinished(MAX_WORK)
            } else {
                UpstreamError::Stalled(self.patience.limit())
            }
        })
    }

    /// Counts what came.
    pub(super) fn count(&mut self, piece: &[u8]) {
        if self.tells_outcome && is_sign_of_work(piece) {
            self.patience.renew();
        } else {
            self.patience.count(piece.len());
        }
    }
}

/// White space, or what ends with a tag. A document that trickles is neither, most of the time.
fn is_sign_of_work(piece: &[u8]) -> bool {
    matches!(piece.trim_ascii_end().last(), None | Some(b'>'))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;
    use http_body_util::Either;
    use tokio::{
        sync::mpsc,
        time::{Instant, sleep},
    };

    use super::super::{Answer, DocumentMemory, LocalBody};
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);
    const PAUSE: Duration = Duration::from_secs(4);
    const LONG: usize = 16 << 20;

    /// The answer to a request, each piece of which comes after a pause.
    fn answer(method: &Method, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Answer {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for piece in pieces {
                sleep(PAUSE).await;
                if sender.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
        });
        let response = Response::new(Either::Right(LocalBody::Pieces(receiver)));
        let waiting = Waiting::for_answer_to(method, IDLE);
        Answer::new(response, waiting, DocumentMemory::new(1 << 30), None)
    }

    fn repeated(piece: &'static [u8], times: usize) -> impl Iterator<Item = Bytes> {
        std::iter::repeat_n(Bytes::from_static(piece), times)
    }

    /// How long it took to give an answer up.
    async fn given_up_after(answer: Answer) -> (Duration, UpstreamError) {
        let began = Instant::now();
        let error = answer.document(LONG).await.unwrap_err();
        (began.elapsed(), error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_that_comes_byte_by_byte_is_given_up_when_silence_would_be() {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            let dripping = answer(&method, repeated(b"x", 10_000));
            let (after, error) = given_up_after(dripping).await;
            assert!(
                matches!(error, UpstreamError::Stalled(IDLE)),
                "{method}: {error}"
            );
            assert!(after < IDLE + Duration::from_secs(1), "{method}: {after:?}");
            let text = error.to_string();
            assert!(
                text.contains("upstream") && text.contains("limits.idle_timeout"),
                "{text}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_slowly_and_fast_enough_is_read() {
        static PIECE: [u8; MIN_ANSWER_PROGRESS / 2] = [0; MIN_ANSWER_PROGRESS / 2];
        let slow = answer(&Method::GET, repeated(&PIECE, 100));
        let document = slow.document(LONG).await.unwrap();
        assert_eq!(document.len(), 100 * PIECE.len());
        // And what ends in time is short.
        let short = answer(&Method::GET, repeated(b"x", 2));
        assert_eq!(short.document(LONG).await.unwrap().as_ref(), b"xx");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_its_time_makes_no_storage_slow() {
        let (_, mut body) = answer(&Method::GET, repeated(b"x", 3)).into_parts();
        for _ in 0..3 {
            sleep(10 * IDLE).await;
            assert!(body.next().await.unwrap().is_some());
        }
        assert!(body.next().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_loses_nothing() {
        let (_, mut body) = answer(&Method::GET, repeated(b"x", 1)).into_parts();
        let early = tokio::time::timeout(PAUSE / 2, body.next()).await;
        assert!(early.is_err());
        assert_eq!(body.next().await.unwrap().unwrap(), "x");
    }

    #[tokio::test(start_paused = true)]
    async fn a_storage_that_says_that_it_is_at_work_is_waited_for() {
        for sign in [" ", "\n  ", "<Progress>1048576</Progress>\n"] {
            let pieces = repeated(b"<?xml version=\"1.0\"?>\n", 1)
                .chain(repeated(sign.as_bytes(), 100))
                .chain(repeated(b"<Result/>", 1));
            let document = answer(&Method::POST, pieces).document(LONG).await.unwrap();
            assert!(document.ends_with(b"<Result/>"), "{sign:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn and_not_for_ever() {
        let (after, error) = given_up_after(answer(&Method::PUT, repeated(b" ", 10_000))).await;
        assert!(
            matches!(error, UpstreamError::Unfinished(MAX_WORK)),
            "{error}"
        );
        assert!(after <= MAX_WORK + IDLE, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn white_space_in_the_place_of_content_is_no_work() {
        let (after, error) = given_up_after(answer(&Method::GET, repeated(b" ", 10_000))).await;
        assert!(matches!(error, UpstreamError::Stalled(IDLE)), "{error}");
        assert!(after < IDLE + Duration::from_secs(1), "{after:?}");
    }
}
