//! The streams of an HTTP/2 connection, each with a task of its own, and their answers on the way to the client.
//!
//! Over HTTP/1.1 a client that takes nothing stops its connection, which is given up (`stall.rs`). Over HTTP/2 it withholds the window of a stream,
//! and its connection looks alive. Two things follow:
//!
//! - What is handed over to hyper is out of sight: it waits in memory for the window, while the answer's place among the requests is free
//!   again. So answers are handed over in pieces, and the last byte alone, which hyper takes only when the window has let everything before it through.
//! - A piece that waits for longer than `limits.idle_timeout` ends its stream, by ending its task.
//!
//! A client may also send heads faster than they are looked at: each is small on the wire, and up to a hundred times as large in memory. So each is looked at
//! before the next one is read, and only what then waits for something gets a task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use hyper::rt::Executor;
use tokio::time::Instant;

use super::limits::PIECE_LIMIT;
use super::room::{Activity, Untaken};

tokio::task_local! {
    /// Of the stream whose task runs.
    static DELIVERY: Arc<Delivery>;
}

/// How far an answer has come: an odd number of steps while a piece waits for the client.
#[derive(Debug, Default)]
pub(super) struct Delivery(AtomicU64);

impl Delivery {
    /// That of the stream that asks; none over HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        DELIVERY.try_with(Arc::clone).ok()
    }

    /// A piece was handed over, or (`false`) the next one is asked for. Only the stream's own task steps.
    fn step(&self, is_handed_over: bool) {
        let steps = self.0.load(Ordering::Relaxed);
        if (steps % 2 == 1) != is_handed_over {
            self.0.store(steps.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Which piece waits for the client, if any does.
    fn waiting(&self) -> Option<u64> {
        let steps = self.0.load(Ordering::Relaxed);
        (steps % 2 == 1).then_some(steps)
    }
}

/// Runs the tasks of a connection's streams, and ends those whose clients take nothing for too long.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    limit: Duration,
    activity: Activity,
}

impl StreamExecutor {
    pub(super) fn new(limit: Duration, activity: Activity) -> Self {
        Self { limit, activity }
    }

    /// Until a stream's task is done, or its client has taken nothing for too long.
    async fn run<F: Future>(self, stream: F, delivery: Arc<Delivery>) {
        tokio::pin!(stream);
        let deadline = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(deadline);
        let mut waiting: Option<(u64, Untaken)> = None;
        poll_fn(|context| {
            if stream.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let Some(piece) = delivery.waiting() else {
                waiting = None;
                return Poll::Pending;
            };
            if waiting.as_ref().is_none_or(|(known, _)| *known != piece) {
                // The one before was taken.
                waiting = None;
                waiting = Some((piece, self.activity.wait_for_client()));
                deadline.as_mut().reset(Instant::now() + self.limit);
            }
            ready!(deadline.as_mut().poll(context));
            tracing::debug!(
                "a stream is reset: its client took nothing of the answer for too long"
            );
            if let Some((_, untaken)) = waiting.take() {
                untaken.give_up();
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        let delivery = Arc::<Delivery>::default();
        let run = self.clone().run(stream, Arc::clone(&delivery));
        let mut running = Box::pin(DELIVERY.scope(delivery, run));
        // A task is polled once whatever happens, so nothing is lost by nobody being woken here. Unconstrained, because a connection that has had its turn
        // would otherwise leave all that it has read to tasks.
        let mut context = Context::from_waker(Waker::noop());
        let first = tokio::task::unconstrained(running.as_mut());
        if std::pin::pin!(first).poll(&mut context).is_pending() {
            tokio::spawn(running);
        }
    }
}

/// An answer's body; over HTTP/2 in pieces, the last byte of what may be the end by itself.
pub(super) struct Delivered<B> {
    body: B,
    delivery: Option<Arc<Delivery>>,
    /// What was not handed over yet of the frame that came last.
    rest: Bytes,
}

impl<B> Delivered<B> {
    pub(super) fn new(body: B, delivery: Option<Arc<Delivery>>) -> Self {
        Self {
            body,
            delivery,
            rest: Bytes::new(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Delivered<B> {
    /// The next piece of the rest, which is not empty.
    fn piece(&mut self) -> Bytes {
        let is_certain_to_go_on = self.body.size_hint().lower() > 0;
        let length = match self.rest.len() {
            length if length > PIECE_LIMIT => PIECE_LIMIT,
            length if length > 1 && !is_certain_to_go_on => length - 1,
            length => length,
        };
        self.rest.split_to(length)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Delivered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(delivery) = &this.delivery else {
            return Pin::new(&mut this.body).poll_frame(context);
        };
        delivery.step(false);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        delivery.step(true);
        Poll::Ready(Some(Ok(Frame::data(this.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let hint = self.body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;
    use crate::listener::room::Room;

    async fn lengths<B: Body<Data = Bytes> + Unpin>(body: B, delivery: bool) -> Vec<usize>
    where
        B::Error: std::fmt::Debug,
    {
        let delivery = delivery.then(Arc::<Delivery>::default);
        let mut body = Delivered::new(body, delivery);
        let mut lengths = Vec::new();
        while let Some(frame) = body.frame().await {
            lengths.push(frame.unwrap().into_data().unwrap().len());
        }
        lengths
    }

    #[tokio::test]
    async fn a_stream_that_waits_for_nothing_is_done_at_once_and_any_other_in_its_time() {
        let room = Room::new(1, 0);
        let seat = room.seat(None).await.unwrap();
        let executor = StreamExecutor::new(Duration::from_secs(1), seat.activity());
        let (at_once, mut is_done) = tokio::sync::oneshot::channel();
        executor.execute(async { at_once.send(()).unwrap() });
        assert!(is_done.try_recv().is_ok());
        let (start, started) = tokio::sync::oneshot::channel();
        let (later, is_done) = tokio::sync::oneshot::channel();
        executor.execute(async {
            started.await.unwrap();
            later.send(Delivery::current().is_some()).unwrap();
        });
        start.send(()).unwrap();
        assert!(is_done.await.unwrap());
    }

    fn frames(length: usize) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let frame = move |_| Ok(Frame::data(Bytes::from(vec![0; length])));
        StreamBody::new(futures_util::stream::iter((0..2).map(frame)))
    }

    #[tokio::test]
    async fn the_last_byte_goes_alone_and_pieces_are_bounded() {
        let whole = |length| Full::new(Bytes::from(vec![0; length]));
        assert_eq!(lengths(whole(100), true).await, [99, 1]);
        assert_eq!(lengths(whole(1), true).await, [1]);
        assert_eq!(
            lengths(whole(2 * PIECE_LIMIT), true).await,
            [PIECE_LIMIT, PIECE_LIMIT - 1, 1]
        );
        // Each of these might be the last one.
        assert_eq!(lengths(frames(10), true).await, [9, 1, 9, 1]);
    }

    #[tokio::test]
    async fn over_http_1_frames_stay_as_they_are() {
        let long = Full::new(Bytes::from(vec![0; 2 * PIECE_LIMIT]));
        assert_eq!(lengths(long, false).await, [2 * PIECE_LIMIT]);
    }
}
