//! Bounds of the listener that no operator should move, each with its reason.

use std::time::Duration;

/// The longest request head over HTTP/1.1, in bytes. AWS allows 8 KB of headers beside a key of 1,024 bytes that may be percent-encoded
/// threefold; presigned queries with session tokens come to some 4 KB more.
pub const HEAD_LIMIT: usize = 32 * 1024;

/// What hyper may hold of a connection in each direction, in bytes: what one read takes of a body, and what is gathered of an answer before it is
/// written. Fewer and larger system calls cost less, and this much for each of many connections is little memory. It is more than any head, so
/// heads are measured in one place, the gate.
pub const BUFFER_LIMIT: usize = 128 * 1024;

/// The most header fields over HTTP/1.1. Clients of S3 send about 20, and user metadata of 2 KB can't have many more.
pub const HEADER_COUNT_LIMIT: usize = 200;

/// The most bytes of header fields over HTTP/2, uncompressed, with 32 for each field (RFC 9113 section 6.5.2): as much as over HTTP/1.1, where that counts
/// for nothing. A field of one byte takes a hundred in memory and one on the wire, so it is those 32 that bound what a head holds.
pub const HEADER_LIST_LIMIT: u32 = 39 * 1024;

/// Requests at once on one HTTP/2 connection. Memory is bounded by requests, so a connection must not multiply them.
pub const STREAMS_LIMIT: u32 = 64;

/// Bytes that one HTTP/2 stream may send ahead of us, in bytes. It bounds what a stalled operation holds.
pub const STREAM_WINDOW: u32 = 512 * 1024;

/// The same for all streams of a connection together.
pub const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// The largest HTTP/2 frame that a client may send: a larger one means fewer system calls and more memory held.
pub const FRAME_LIMIT: u32 = 64 * 1024;

/// What a stream may have waiting to be sent over HTTP/2, in bytes; as much as a connection may over HTTP/1.1.
pub const SEND_BUFFER_LIMIT: usize = BUFFER_LIMIT;

/// What of an answer goes to a stream of HTTP/2 at once, in bytes: so little that 64 slow streams together get each of theirs through within
/// `limits.idle_timeout` over any line worth having, and so much that few pieces make a segment.
pub const PIECE_LIMIT: usize = 32 * 1024;

/// What one request takes of what its connection may do before others have their turn: tokio gives a task 128 steps (`tokio::task::coop`), of which each read and
/// each write takes one. So a request goes through in one turn, and the next one, if it is there already, waits for another.
pub const TURN_OF_A_REQUEST: u32 = 100;

/// How long an idle HTTP/2 connection has to say goodbye when its place is needed: a client across the world answers within it.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// How long it has where the client has just asked for something.
pub const FAREWELL_OF_REQUESTS: Duration = Duration::from_secs(30);

/// How often an idle HTTP/2 connection is asked for a sign of life, and how long the answer may take.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long a client may take for the TLS handshake, and a load balancer for its PROXY protocol header.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest PROXY protocol header, in bytes. Addresses take 16 to 52; certificates' names and ids of virtual networks may follow, and the
/// specification asks for no more than 536 to be accepted.
pub const PROXY_HEADER_LIMIT: usize = 4 * 1024;

/// How many proxies a request may have passed: elements of `Forwarded` or `X-Forwarded-For` that are looked at.
pub const HOP_LIMIT: usize = 32;

/// How long accepting pauses after the system refused a new connection, most often for lack of file descriptors:
/// trying again at once would burn a processor without freeing any.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a connection may wait for a request, or for the rest of its head, before others that come may have its place: longer than a client
/// across the world takes for a TLS handshake and a head.
pub const UNDISTURBED: Duration = Duration::from_secs(2);

/// Connections that have to end at once when there is no room for another: so many that looking for them costs little, and so few that
/// most of those who may come back are left alone.
pub const LEAVING_AT_ONCE: usize = 32;

/// How often those who have waited for long enough are looked for, while there is no room.
pub const ROOM_PAUSE: Duration = Duration::from_millis(100);

/// How often it is said that there is none.
pub const WARNING_PAUSE: Duration = Duration::from_mins(1);

/// Connections that wait in the system's queue until they are accepted.
pub const BACKLOG: u32 = 1024;

/// What a client may still send, unread, after it was answered, in bytes: enough for the parts that SDKs send, so that a refusal
/// reaches them; whoever sends more sees a reset connection.
pub const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// How long that may take.
pub const LINGER_TIME: Duration = Duration::from_secs(10);

/// How long it may pause before the client is taken to be done.
pub const LINGER_QUIET: Duration = Duration::from_secs(1);
