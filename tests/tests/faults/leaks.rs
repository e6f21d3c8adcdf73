//! Whether processes give back what they took.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sealgate_tests::process_resources::Resources;

/// How long an idle gateway may keep connections: somewhat longer than its pool does.
const IDLE: Duration = Duration::from_secs(40);

/// Connections and files that an idle gateway may have more at one moment than at another: it asks its storage and its key services from time
/// to time, and HAProxy asks it.
const SPARE: usize = 10;

/// Memory that an idle gateway may have more than before its first request, in KiB: what the allocator keeps, and caches.
const MEMORY: u64 = 160 << 10;

/// Waits until a process that nobody asks anything holds no more than it did before, and returns what it holds.
pub(crate) async fn given_back(process: u32, before: Resources) -> Result<Resources> {
    let deadline = Instant::now() + IDLE;
    loop {
        let now = Resources::of(process)?;
        let is_good = now.descriptors <= before.descriptors + SPARE;
        if is_good || Instant::now() > deadline {
            ensure!(
                is_good,
                "descriptors: {before:?} before, {now:?} {IDLE:?} after"
            );
            ensure!(
                now.resident <= before.resident + MEMORY,
                "memory: {before:?} before, {now:?} after"
            );
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
