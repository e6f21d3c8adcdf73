//! What all clients share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use sealgate_tests::endpoint::Endpoint;
use tokio::sync::Semaphore;

use crate::{content::Source, timeline::Timeline};

/// The bucket of everything.
pub(crate) const BUCKET: &str = "faults";

/// Objects beyond this length move one at a time: the machine that runs tests is small.
pub(crate) const LARGE: usize = 16 << 20;

/// The smallest part that is not the last one of its upload.
pub(crate) const PART: usize = 5 << 20;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct World {
    /// Where they find the gateways.
    pub(crate) endpoint: Endpoint,
    /// What they write.
    pub(crate) source: Source,
    /// What has happened.
    pub(crate) timeline: Timeline,
    /// Whether they are to stop.
    pub(crate) stop: AtomicBool,
    /// The longest object.
    pub(crate) longest: usize,
    /// Who moves a large one.
    pub(crate) large: Arc<Semaphore>,
}

/// How long a request about so many bytes may take. It is short, so that clients give up while a fault lasts, and come back.
pub(crate) fn limit(length: usize) -> Duration {
    Duration::from_secs(12 + length as u64 / (2 << 20))
}
