//! Bodies that pass no faster than the shares of their client allow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::Share;

/// Whose bytes a body's are: an address's, an identity's, both or nobody's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    shares: Vec<Arc<Share>>,
}

impl Pace {
    /// Of those that have a bound on bytes.
    pub(crate) fn new(shares: impl IntoIterator<Item = Arc<Share>>) -> Self {
        Self {
            shares: shares
                .into_iter()
                .filter(|share| share.has_pace())
                .collect(),
        }
    }

    /// Whether bodies pass as they come.
    pub(crate) fn is_free(&self) -> bool {
        self.shares.is_empty()
    }
}

/// A body with a pace.
pub(crate) struct Paced<B> {
    body: B,
    pace: Pace,
    /// A piece that waits, and how many shares have let it pass.
    held: Option<(Frame<Bytes>, usize)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B, pace: Pace) -> Self {
        Self {
            body,
            pace,
            held: None,
            sleep: None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(sleep) = &mut this.sleep {
                ready!(sleep.as_mut().poll(context));
                this.sleep = None;
            }
            let (frame, mut passed) = match this.held.take() {
                Some(held) => held,
                None => match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    Some(Ok(frame)) => (frame, 0),
                    other => return Poll::Ready(other),
                },
            };
            let length = frame.data_ref().map_or(0, Bytes::len);
            let mut wait = None;
            while let Some(share) = this.pace.shares.get(passed) {
                wait = share.wait_for_bytes(length);
                if wait.is_some() {
                    break;
                }
                passed += 1;
            }
            match wait {
                None => return Poll::Ready(Some(Ok(frame))),
                Some(wait) => {
                    this.held = Some((frame, passed));
                    this.sleep = Some(Box::pin(tokio::time::sleep(wait)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.held {
            None => self.body.size_hint(),
            Some((frame, _)) => {
                let held = frame.data_ref().map_or(0, Bytes::len) as u64;
                let inner = self.body.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(inner.lower() + held);
                if let Some(upper) = inner.upper() {
                    hint.set_upper(upper + held);
                }
                hint
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt as _, Full};

    use super::*;
    use crate::config::RatesConfig;

    #[tokio::test(start_paused = true)]
    async fn bytes_come_whole_and_not_faster_than_each_share_allows() {
        let share = |rate| {
            Arc::new(Share::new(RatesConfig {
                bytes_per_second: rate,
                ..RatesConfig::default()
            }))
        };
        let shares = [share(2 << 20), share(1 << 20)];
        let body = || Full::new(Bytes::from(vec![7; 1 << 20]));
        let pace = Pace::new(shares.clone());
        let first = Paced::new(body(), pace.clone()).collect().await.unwrap();
        assert_eq!(first.to_bytes().len(), 1 << 20);
        let mut second = Paced::new(body(), pace);
        let early = tokio::time::timeout(Duration::from_millis(1), second.frame()).await;
        assert!(early.is_err(), "a second's worth is gone");
        assert_eq!(second.size_hint().exact(), Some(1 << 20));
        assert!(!second.is_end_stream());
        assert!(Pace::new([Arc::new(Share::new(RatesConfig::default()))]).is_free());
    }
}
