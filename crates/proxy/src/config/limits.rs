//! `[limits]`: bounds on memory, concurrency and time.

use std::time::Duration;

/// Bounds that an operator may move. Those that no operator should move are constants beside the code that they bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// A PutObject of at most this many bytes is verified whole before anything is sent upstream.
    pub small_object: u64,
    /// Bytes that all small objects together may hold in memory; beyond it they are streamed like large ones.
    pub small_object_memory: u64,
    /// Requests that are worked on at once; further ones are answered 503 SlowDown.
    pub concurrent_requests: usize,
    /// Client connections that are open at once; further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a body may make no progress, in either direction.
    pub idle_timeout: Duration,
    /// How long a connection to the storage may take.
    pub upstream_connect_timeout: Duration,
    /// How long the storage may take to begin its answer, counted from the end of the request.
    pub upstream_response_timeout: Duration,
    /// Idle connections to the storage that are kept for reuse.
    pub upstream_idle_connections: usize,
    /// How long running requests may go on after a stop was asked for.
    pub shutdown_grace: Duration,
    /// How long new objects are sealed under one working key.
    pub working_key_lifetime: Duration,
    /// How long a working key goes on sealing where a new one can't be made; at least `working_key_lifetime`.
    pub working_key_hard_limit: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            small_object: 1024 * 1024,
            small_object_memory: 32 * 1024 * 1024,
            concurrent_requests: 256,
            connections: 1024,
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_mins(1),
            upstream_connect_timeout: Duration::from_secs(5),
            upstream_response_timeout: Duration::from_mins(1),
            upstream_idle_connections: 64,
            shutdown_grace: Duration::from_secs(30),
            working_key_lifetime: Duration::from_hours(24),
            working_key_hard_limit: Duration::from_hours(72),
        }
    }
}
