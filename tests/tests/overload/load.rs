//! One kind of load on a gateway, from its first to its last moment, and what is looked at meanwhile and afterwards.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    ops::AsyncFnOnce,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use sealgate_tests::{
    environment::number,
    process_resources::{Resources, run_delay},
    raw_http::RawAnswer,
};
use tokio::sync::{Notify, watch};

use crate::{
    judgement::{named, refusal},
    scene::Scene,
};

/// Round trips of the well-behaved client that have to end while the load lasts.
const TRIPS: usize = 2;

/// Within what time everything has to be as before, from the end of the load on, without the time in which the gateway would have run and the machine
/// did other things. It takes a fraction of a second, and the figure is printed: to see that thousands of connections have been closed, and to have one
/// object stored and read by a storage that was under the same load.
const RECOVERY: Duration = Duration::from_secs(3);

/// How often it is looked whether it is.
const POLL: Duration = Duration::from_millis(20);

/// Within what time a load has to show what it is meant to show, beside the time that it lasts.
const PATIENCE: Duration = Duration::from_mins(1);

/// Descriptors that an idle gateway may have more at one moment than at another: it asks its storage and its key services from time to time.
const SPARE: usize = 12;

/// Idle connections to the storage that a gateway keeps for what comes next.
const POOL: u64 = 128;

/// What a client of the crowd waits when it was refused, before it comes again: it is told a second.
pub(crate) const IMPATIENCE: Duration = Duration::from_millis(200);

/// How long each kind of load lasts at least, and whether that was asked for.
pub(crate) fn lasting() -> Result<(Duration, bool)> {
    let asked = number("OVERLOAD_SECONDS")?;
    Ok((
        asked.map_or(Duration::from_secs(2), Duration::from_secs),
        asked.is_some(),
    ))
}

/// What the clients of one load share.
#[derive(Debug)]
pub(crate) struct Load {
    tally: Mutex<BTreeMap<String, u64>>,
    pressing: Notify,
    over: watch::Sender<bool>,
}

impl Load {
    fn new() -> Self {
        Self {
            tally: Mutex::default(),
            pressing: Notify::new(),
            over: watch::Sender::new(false),
        }
    }

    /// Counts something that has happened.
    pub(crate) fn count(&self, what: &str) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally.entry(what.to_owned()).or_default() += 1;
    }

    /// Counts an answer, which has to be a good one or a clear refusal. Whether it was a refusal.
    pub(crate) fn answered(&self, answer: &RawAnswer) -> Result<bool> {
        self.count(&named(answer)?);
        Ok(answer.status >= 400 || refusal(answer).is_some())
    }

    /// How often something has happened.
    pub(crate) fn counted(&self, what: &str) -> u64 {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.get(what).copied().unwrap_or_default()
    }

    /// Says that the load is as heavy as it will be: from now on somebody else wants to be served.
    pub(crate) fn is_pressing(&self) {
        self.pressing.notify_one();
    }

    /// Until the load is to end.
    pub(crate) async fn over(&self) {
        // The sender lives as long as this.
        self.over.subscribe().wait_for(|over| *over).await.ok();
    }

    /// Whether it is to end.
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    fn shown(&self) -> String {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: Vec<_> = tally
            .iter()
            .map(|(what, count)| format!("{what}: {count}"))
            .collect();
        counts.join(", ")
    }
}

/// Puts a load on the gateway of a scene: `attack` says when it is pressing, goes on until it is over, and has then let go of everything. It goes on until
/// each of `wanted` was counted.
///
/// # Errors
/// If these were not, if the gateway takes more memory than it may, if the well-behaved client is not served, or if not everything is as before soon afterwards.
pub(crate) async fn press(
    scene: &Scene,
    kind: &str,
    wanted: &[&str],
    attack: impl AsyncFnOnce(&Arc<Load>) -> Result<()>,
) -> Result<()> {
    let process = scene.gateway.process.id();
    scene.round_trip().await.context("before the load")?;
    let before = Resources::of(process)?;
    let load = Arc::new(Load::new());
    let (least, _) = lasting()?;
    let aside = async {
        load.pressing.notified().await;
        let began = Instant::now();
        let mut trips = Vec::new();
        let mut missing = wanted.iter().find(|what| load.counted(what) == 0);
        while trips.len() < TRIPS || began.elapsed() < least || missing.is_some() {
            ensure!(
                began.elapsed() < least + PATIENCE,
                "what the load is to bring about did not happen: {missing:?}"
            );
            let trip = scene.round_trip().await;
            trips.push(trip.context("a client that does nothing wrong, beside the load")?);
            missing = wanted.iter().find(|what| load.counted(what) == 0);
        }
        load.over.send_replace(true);
        Ok(trips)
    };
    let started = Instant::now();
    let ((), trips) = tokio::try_join!(attack(&load), aside)
        .with_context(|| format!("{kind}; so far {}", load.shown()))?;
    let ended = Instant::now();
    let delayed_before = run_delay(process)?;
    let pooled = usize::try_from(POOL.min(scene.bounds.requests))?;
    let allowed = before.descriptors + pooled + SPARE;
    loop {
        let now = Resources::of(process)?;
        if now.descriptors <= allowed {
            scene.round_trip().await.context("after the load")?;
            break;
        }
        ensure!(
            ended.elapsed() < RECOVERY + run_delay(process)?.saturating_sub(delayed_before),
            "{kind}: {RECOVERY:?} after the load there are {} descriptors, not {} as before it",
            now.descriptors,
            before.descriptors
        );
        tokio::time::sleep(POLL).await;
    }
    let recovered = ended.elapsed();
    let delayed = run_delay(process)?.saturating_sub(delayed_before);
    ensure!(
        recovered < RECOVERY + delayed,
        "{kind}: as before only {recovered:?} after the load, of which others had the processors for {delayed:?}"
    );
    let peak = Resources::of(process)?.peak;
    let bound = scene.bounds.memory(scene.crowd.ca_file.is_some());
    let slowest = trips.iter().max().copied().unwrap_or_default();
    let mut text = String::new();
    writeln!(
        text,
        "overload | {kind} | {:.1?} | {} MiB before, peak {} of {} MiB | {} | {} round trips aside, the slowest {slowest:.1?} | as before after {recovered:.1?}, {delayed:.1?} of it delayed by others",
        ended - started,
        before.resident >> 10,
        peak >> 10,
        bound >> 10,
        load.shown(),
        trips.len()
    )?;
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes())?;
    ensure!(
        peak <= bound,
        "{kind}: {} MiB of memory, where {} MiB are the bound of these limits",
        peak >> 10,
        bound >> 10
    );
    Ok(())
}
