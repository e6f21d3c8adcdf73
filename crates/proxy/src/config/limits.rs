//! `[limits]`: bounds on memory, concurrency and time.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use sealgate_envelope::keyring::SealingPolicy;

use super::rates::{self, AddressConfig, RatesConfig};
use super::table::Table;

/// Bounds that an operator may move. Those that no operator should move are constants beside the code that they bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// A PutObject of at most this many bytes is verified whole before anything is sent upstream.
    pub small_object: u64,
    /// Bytes that all small objects together may hold in memory; beyond it they are streamed like large ones.
    pub small_object_memory: u64,
    /// Bytes that XML documents of clients and of the storage may hold in memory, all together; beyond it requests are answered 503 SlowDown.
    pub document_memory: u64,
    /// Requests that are worked on at once; further ones are answered 503 SlowDown.
    pub concurrent_requests: usize,
    /// Requests of each kind without a signature in their head (forms, preflights, anonymous reading) that are worked on at once, beside the others;
    /// further ones are answered 503 SlowDown. Forms count until their policy is verified.
    pub unsigned_requests: usize,
    /// What each identity may have.
    pub per_identity: RatesConfig,
    /// What each address may have.
    pub per_address: AddressConfig,
    /// Client connections that are open at once; further ones wait to be accepted.
    pub connections: usize,
    /// What one address keeps of them while there is no room for another; all of them, or 0: no bound.
    pub connections_per_address: usize,
    /// How long a client may take to send a request's head, and how long a connection may lie idle between requests.
    pub header_timeout: Duration,
    /// How long a body may make no progress, in either direction.
    pub idle_timeout: Duration,
    /// How long a connection to the storage may take.
    pub upstream_connect_timeout: Duration,
    /// How long the storage may take to begin its answer, counted from the end of the request.
    pub upstream_response_timeout: Duration,
    /// How long a gateway that was asked to stop goes on taking requests, so that load balancers learn of it.
    pub drain_delay: Duration,
    /// How long running requests may go on after that.
    pub shutdown_grace: Duration,
    /// How long new objects are sealed under one working key.
    pub working_key_lifetime: Duration,
    /// How many key services must have wrapped a working key before it seals.
    pub required_wraps: usize,
    /// How old a working key for reading becomes before a key service is asked anew: what a revocation takes at most.
    pub working_key_cache_age: Duration,
    /// How long beyond that it serves while key services are down or throttle.
    pub outage_grace: Duration,
    /// How often key services are asked whether their keys can be used.
    pub key_service_probe_interval: Duration,
    /// How long a working key goes on sealing where a new one can't be made; at least `working_key_lifetime`.
    pub working_key_hard_limit: Duration,
}

/// How long new objects may be sealed under one working key.
pub(super) const WORKING_KEY_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);
/// The same while no new one can be made.
pub(super) const WORKING_KEY_HARD_LIMITS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24 * 30);

const DEFAULT_CONNECTIONS: usize = 1024;

/// How many addresses have to work together, by default, to take all connections.
const ADDRESS_SHARE: usize = 4;

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            small_object: 1024 * 1024,
            small_object_memory: 32 * 1024 * 1024,
            document_memory: 64 * 1024 * 1024,
            concurrent_requests: 256,
            unsigned_requests: 64,
            per_identity: RatesConfig::default(),
            per_address: AddressConfig::default(),
            connections: DEFAULT_CONNECTIONS,
            connections_per_address: DEFAULT_CONNECTIONS / ADDRESS_SHARE,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            upstream_connect_timeout: Duration::from_secs(5),
            upstream_response_timeout: Duration::from_mins(1),
            drain_delay: Duration::ZERO,
            shutdown_grace: Duration::from_secs(30),
            working_key_lifetime: Duration::from_hours(24),
            working_key_hard_limit: Duration::from_hours(72),
            required_wraps: 1,
            working_key_cache_age: Duration::from_hours(1),
            outage_grace: Duration::from_hours(4),
            key_service_probe_interval: Duration::from_mins(1),
        }
    }
}

impl LimitsConfig {
    /// What holds for the working keys of domains that say nothing of their own.
    pub(crate) fn sealing(&self) -> Arc<SealingPolicy> {
        Arc::new(SealingPolicy {
            key_services: None,
            required_wraps: self.required_wraps,
            soft_age: self.working_key_lifetime,
            hard_age: self.working_key_hard_limit,
        })
    }
}

/// Reads `[limits]`.
pub(super) fn read(mut table: Table<'_>) -> Option<LimitsConfig> {
    const MEBIBYTE: u64 = 1024 * 1024;
    let default = LimitsConfig::default();
    let short = Duration::from_millis(100)..=Duration::from_mins(15);
    let small_object = table.size("small_object", default.small_object, 0..=16 * MEBIBYTE);
    let small_object_memory = table.size(
        "small_object_memory",
        default.small_object_memory,
        0..=64 * 1024 * MEBIBYTE,
    );
    // One document of the greatest length always has to fit.
    let document_memory = table.size(
        "document_memory",
        default.document_memory,
        17 * MEBIBYTE..=64 * 1024 * MEBIBYTE,
    );
    let concurrent_requests = table.count(
        "concurrent_requests",
        default.concurrent_requests,
        1..=65_536,
    );
    let unsigned_requests = table.count("unsigned_requests", default.unsigned_requests, 1..=65_536);
    let per_identity = match table.take("per_identity") {
        Some(value) => value.table().and_then(rates::read_identity),
        None => Some(default.per_identity),
    };
    let per_address = match table.take("per_address") {
        Some(value) => value.table().and_then(rates::read_address),
        None => Some(default.per_address),
    };
    let connections = table.count("connections", default.connections, 1..=65_536);
    let share = connections.unwrap_or(default.connections) / ADDRESS_SHARE;
    let connections_per_address = table.count("connections_per_address", share.max(1), 0..=65_536);
    let header_timeout = table.duration("header_timeout", default.header_timeout, short.clone());
    let idle_timeout = table.duration("idle_timeout", default.idle_timeout, short.clone());
    let upstream_connect_timeout = table.duration(
        "upstream_connect_timeout",
        default.upstream_connect_timeout,
        short.clone(),
    );
    let upstream_response_timeout = table.duration(
        "upstream_response_timeout",
        default.upstream_response_timeout,
        short,
    );
    let drain_delay = table.duration(
        "drain_delay",
        default.drain_delay,
        Duration::ZERO..=Duration::from_mins(10),
    );
    let shutdown_grace = table.duration(
        "shutdown_grace",
        default.shutdown_grace,
        Duration::ZERO..=Duration::from_hours(1),
    );
    let working_key_lifetime = table.duration(
        "working_key_lifetime",
        default.working_key_lifetime,
        WORKING_KEY_LIFETIMES,
    );
    let working_key_hard_limit = table.duration(
        "working_key_hard_limit",
        default.working_key_hard_limit,
        WORKING_KEY_HARD_LIMITS,
    );
    let required_wraps = table.count("required_wraps", default.required_wraps, 1..=16);
    let working_key_cache_age = table.duration(
        "working_key_cache_age",
        default.working_key_cache_age,
        Duration::from_secs(1)..=Duration::from_hours(24),
    );
    let outage_grace = table.duration(
        "outage_grace",
        default.outage_grace,
        Duration::ZERO..=Duration::from_hours(24 * 30),
    );
    let key_service_probe_interval = table.duration(
        "key_service_probe_interval",
        default.key_service_probe_interval,
        Duration::from_secs(1)..=Duration::from_hours(24),
    );
    if let (Some(one), Some(all)) = (small_object, small_object_memory)
        && all < one
    {
        table.problem::<()>(
            "small_object_memory does not hold one small object",
            "make it at least as large as small_object",
        );
    }
    if let (Some(soft), Some(hard)) = (working_key_lifetime, working_key_hard_limit)
        && hard < soft
    {
        table.problem::<()>(
            "working_key_hard_limit is shorter than working_key_lifetime",
            "make it at least as long as working_key_lifetime",
        );
    }
    table.finish();
    Some(LimitsConfig {
        small_object: small_object?,
        small_object_memory: small_object_memory?,
        document_memory: document_memory?,
        concurrent_requests: concurrent_requests?,
        unsigned_requests: unsigned_requests?,
        per_identity: per_identity?,
        per_address: per_address?,
        connections: connections?,
        connections_per_address: connections_per_address?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        upstream_connect_timeout: upstream_connect_timeout?,
        upstream_response_timeout: upstream_response_timeout?,
        drain_delay: drain_delay?,
        shutdown_grace: shutdown_grace?,
        working_key_lifetime: working_key_lifetime?,
        working_key_hard_limit: working_key_hard_limit?,
        required_wraps: required_wraps?,
        working_key_cache_age: working_key_cache_age?,
        outage_grace: outage_grace?,
        key_service_probe_interval: key_service_probe_interval?,
    })
}
