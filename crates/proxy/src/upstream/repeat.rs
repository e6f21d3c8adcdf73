//! What may be sent again when a connection breaks before there is an answer, and over which connection.

use bytes::Bytes;
use http::{HeaderMap, Method, header};

use super::{RequestBody, full_body, limits::REPLAY_LIMIT, replay::Replay};

/// Where a request's connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// One that may have been idle, and that the other side may be closing.
    Pooled,
    /// One that was opened for this request.
    Fresh,
}

/// A body as it goes over the wire.
pub(super) enum Framed {
    Bytes(Bytes),
    /// With its length, framing not counted.
    Stream(RequestBody, u64),
}

/// A body for one attempt after the other, and what may be repeated.
pub(super) enum Attempts {
    Bytes {
        bytes: Bytes,
        may_repeat: bool,
    },
    Stream {
        replay: Replay,
        length: u64,
        /// Even after all of the body was sent.
        may_repeat: bool,
        /// As long as a part of the body is missing.
        may_repeat_beginning: bool,
    },
}

impl Attempts {
    /// `ambiguity_is_handled`: the caller can tell its own work from that of others, so that even a conditional request may be repeated.
    pub(super) fn new(
        body: Framed,
        method: &Method,
        headers: &HeaderMap,
        ambiguity_is_handled: bool,
    ) -> Self {
        let may_repeat = ambiguity_is_handled || may_repeat(method, headers);
        match body {
            Framed::Bytes(bytes) => Self::Bytes { bytes, may_repeat },
            Framed::Stream(body, length) => Self::Stream {
                may_repeat,
                // Without all of its body a PUT has no effect, so that even a condition still means the same.
                may_repeat_beginning: may_repeat || *method == Method::PUT,
                length,
                replay: Replay::new(body, length),
            },
        }
    }

    /// What must not be repeated, not even once all of it was sent, must not meet a connection that is being closed.
    pub(super) fn first_connection(&self) -> Connection {
        let is_pooled = match self {
            Self::Bytes { may_repeat, .. } => *may_repeat,
            Self::Stream {
                length,
                may_repeat,
                may_repeat_beginning,
                ..
            } => *may_repeat || (*may_repeat_beginning && *length > REPLAY_LIMIT as u64),
        };
        if is_pooled {
            Connection::Pooled
        } else {
            Connection::Fresh
        }
    }

    /// Whether the body is streamed, so that what is lost of it may be lost for good.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    /// The whole body.
    pub(super) fn next(&self) -> RequestBody {
        match self {
            Self::Bytes { bytes, .. } => full_body(bytes.clone()),
            Self::Stream { replay, .. } => replay.attempt(),
        }
    }

    /// Whether [`Self::next`] is possible and allowed, now that the connection is broken.
    pub(super) fn may_be_sent_again(&self) -> bool {
        match self {
            Self::Bytes { may_repeat, .. } => *may_repeat,
            Self::Stream {
                replay,
                may_repeat,
                may_repeat_beginning,
                ..
            } => {
                let allowed = if replay.was_taken_whole() {
                    *may_repeat
                } else {
                    *may_repeat_beginning
                };
                allowed && replay.is_possible()
            }
        }
    }
}

/// Whether a request whose answer got lost may be sent again. A condition that the lost attempt has made false would turn its success into a
/// 412; a POST does something each time.
fn may_repeat(method: &Method, headers: &HeaderMap) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let conditional = [header::IF_MATCH, header::IF_NONE_MATCH]
        .iter()
        .any(|name| headers.contains_key(name));
    reads || (matches!(*method, Method::PUT | Method::DELETE) && !conditional)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_14_only_requests_without_a_memory_are_repeated() {
        let plain = HeaderMap::new();
        let conditional: HeaderMap = [(header::IF_NONE_MATCH, http::HeaderValue::from_static("*"))]
            .into_iter()
            .collect();
        assert!(may_repeat(&Method::GET, &conditional));
        assert!(may_repeat(&Method::PUT, &plain));
        assert!(!may_repeat(&Method::PUT, &conditional));
        assert!(!may_repeat(&Method::POST, &plain));
    }

    #[test]
    fn what_must_not_be_repeated_gets_a_connection_of_its_own() {
        let conditional: HeaderMap = [(header::IF_NONE_MATCH, http::HeaderValue::from_static("*"))]
            .into_iter()
            .collect();
        let plain = HeaderMap::new();
        let bytes = || Framed::Bytes(Bytes::new());
        let stream = |length| Framed::Stream(full_body(""), length);
        let limit = REPLAY_LIMIT as u64;
        for (body, method, headers, connection) in [
            (bytes(), Method::PUT, &plain, Connection::Pooled),
            (bytes(), Method::POST, &plain, Connection::Fresh),
            (bytes(), Method::DELETE, &conditional, Connection::Fresh),
            (stream(1), Method::PUT, &plain, Connection::Pooled),
            (stream(limit), Method::PUT, &conditional, Connection::Fresh),
            (
                stream(limit + 1),
                Method::PUT,
                &conditional,
                Connection::Pooled,
            ),
            (stream(limit + 1), Method::POST, &plain, Connection::Fresh),
        ] {
            let attempts = Attempts::new(body, &method, headers, false);
            assert_eq!(attempts.first_connection(), connection, "{method}");
        }
    }
}
