//! `Expect: 100-continue` towards the storage (RFC 9110, section 10.1.1): a streamed body is held back until the storage says that it is there.
//!
//! On a pooled connection that the other side is closing, nothing of the body is lost that way, and a storage that refuses a request by its
//! head alone gets no body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::{sync::watch, time::timeout};

use super::{BodyFailure, RequestBody, limits::CONTINUE_LIMIT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// The storage asks for the body.
    Granted,
    /// It has answered instead. The answer is still being read, over the connection that a failing body would end.
    Answered,
    /// Nobody needs the connection any more.
    Withdrawn,
}

/// Our side of a request that asks before it sends its body. When it is dropped, a body that nobody has asked for ends with an error, and with
/// it the connection.
#[derive(Debug)]
pub(super) struct Expectation(Arc<watch::Sender<State>>);

impl Expectation {
    /// Makes the request ask, and holds its body back.
    pub(super) fn attach(request: &mut Request<RequestBody>) -> Self {
        let state = Arc::new(watch::Sender::new(State::Waiting));
        request
            .headers_mut()
            .insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        let granting = Arc::clone(&state);
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                turn(&granting, State::Waiting, State::Granted);
            }
        });
        let permission = Box::pin(permission(state.subscribe()));
        let body = std::mem::replace(request.body_mut(), super::empty_body());
        *request.body_mut() = Held {
            body,
            permission: Some(permission),
        }
        .boxed_unsync();
        Self(state)
    }

    /// There is an answer. Without permission until now, the body is not sent any more.
    pub(super) fn answered(&self) {
        turn(&self.0, State::Waiting, State::Answered);
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        turn(&self.0, State::Waiting, State::Withdrawn);
        turn(&self.0, State::Answered, State::Withdrawn);
    }
}

fn turn(state: &watch::Sender<State>, from: State, to: State) {
    state.send_if_modified(|state| {
        let turns = *state == from;
        if turns {
            *state = to;
        }
        turns
    });
}

/// Whether the body may be sent, once that is clear. Storages that don't know the expectation say nothing, so silence is permission.
async fn permission(mut state: watch::Receiver<State>) -> bool {
    let decided = state.wait_for(|state| *state != State::Waiting);
    if timeout(CONTINUE_LIMIT, decided).await.is_err() {
        return true;
    }
    let settled = |state: &State| matches!(state, State::Granted | State::Withdrawn);
    state
        .wait_for(settled)
        .await
        .is_ok_and(|state| *state == State::Granted)
}

/// A body behind its permission.
struct Held {
    body: RequestBody,
    permission: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        if let Some(permission) = &mut self.permission {
            let granted = ready!(permission.as_mut().poll(context));
            self.permission = None;
            if !granted {
                return Poll::Ready(Some(
                    Err("the storage has answered without the body".into()),
                ));
            }
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::full_body;

    fn request() -> (Request<RequestBody>, Expectation) {
        let mut request = Request::new(full_body("body"));
        let expectation = Expectation::attach(&mut request);
        assert_eq!(request.headers()[header::EXPECT], "100-continue");
        (request, expectation)
    }

    async fn is_held(body: &mut RequestBody) -> bool {
        timeout(Duration::from_millis(50), body.frame())
            .await
            .is_err()
    }

    #[tokio::test]
    async fn a_body_waits_for_permission() {
        let (request, expectation) = request();
        let mut body = request.into_body();
        assert!(is_held(&mut body).await);
        turn(&expectation.0, State::Waiting, State::Granted);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "body");
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_ends_when_the_answer_was_read() {
        let (request, expectation) = request();
        let mut body = request.into_body();
        expectation.answered();
        assert!(is_held(&mut body).await);
        drop(expectation);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_permission() {
        let (request, _expectation) = request();
        assert_eq!(
            request.into_body().collect().await.unwrap().to_bytes(),
            "body"
        );
    }
}
