//! How long and how much the gateway waits for and takes from its upstream.

use std::time::Duration;

/// The longest XML document taken from the upstream: a listing of 1,000 keys of 1,024 bytes, each escaped to six times its length, and its
/// other elements, with room to spare.
pub const MAX_DOCUMENT_LENGTH: usize = 16 << 20;

/// The longest error document read from the upstream before it is cut.
pub(super) const MAX_ERROR_LENGTH: usize = 64 << 10;

/// Bytes of an answer's body that the storage has to send within `limits.idle_timeout` of waiting for it, again and again, unless it ends before: what
/// clients have to send of theirs.
pub(super) const MIN_ANSWER_PROGRESS: usize = 64 << 10;

/// How long a storage may be at work on one request, with signs of it, after it has begun its answer. Clients that wait for a copy or a completion decide
/// for themselves how long they do.
pub(super) const MAX_WORK: Duration = Duration::from_hours(1);

/// What hyper may hold of a connection to the upstream in each direction, in bytes: what one read takes of an object, or what is gathered of an
/// upload before it is written. Less costs more system calls, and more costs memory and leaves the processor's caches.
pub(super) const BUFFER_LIMIT: usize = 128 << 10;

/// Idle connections kept for each upstream host, by all threads together: each keeps its share.
pub(super) const MAX_IDLE_CONNECTIONS: usize = 128;

/// The least that is the share of one thread.
pub(super) const LEAST_IDLE_CONNECTIONS: usize = 8;

/// Below the idle time-outs of AWS (about 20 s) and MinIO (30 s), so that a pooled connection is seldom one that the other side has closed.
pub(super) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Attempts at a request that can be sent again, when the connection breaks before an answer.
pub(super) const ATTEMPTS: u32 = 3;

/// How much of a streamed body is kept so that it can be sent again, in bytes: what the system takes before it learns that a pooled
/// connection is dead. Longer beginnings are let go, so a body that is well under way costs nothing.
pub(super) const REPLAY_LIMIT: usize = 256 << 10;

/// How long a streamed body waits for `100 Continue`, before it is sent to a storage that may not know the expectation: longer than it takes
/// to learn that a pooled connection is dead, and what AWS's SDKs wait.
pub(super) const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// Credentials are renewed this long before they expire.
pub(super) const CREDENTIAL_MARGIN: Duration = Duration::from_mins(5);

/// Time-outs towards the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first attempt to connect to an open connection, TLS included.
    pub connect: Duration,
    /// From the last byte of the request to the head of the answer.
    pub answer: Duration,
    /// For some progress of a body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(1),
            idle: Duration::from_mins(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::limits::tests::operators_read;

    #[test]
    fn operators_read_how_much_has_to_come() {
        operators_read(&format!(
            "| a storage's trickling answer | {} KiB, or its end, within",
            MIN_ANSWER_PROGRESS >> 10
        ));
    }
}
