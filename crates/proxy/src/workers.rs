//! Threads that serve connections, one for each processor, each with a runtime and with connections to the storage of its own.
//!
//! A request of S3 is a chain of tasks: the client's connection reads, the operation seals or opens, the storage's connection writes. Where all of
//! them live on one thread, each hands over to the next by a queue in memory. Where threads steal tasks from each other, it is a system call
//! that wakes the other thread, whose processor has none of the bytes in its caches: that was a tenth to a fifth of all CPU time.
//!
//! What is not about a client's connection, like probes and watches, stays on the runtime that started it.

use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// How many places there are to keep something for each thread: one for each worker, and the first for all other threads together.
pub(crate) fn places() -> usize {
    1 + processors()
}

/// The place of the thread that asks: 0 for all that are no workers, below [`places`].
pub(crate) fn place() -> usize {
    PLACE.get()
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The threads. Dropped, they end with whatever still runs on them.
pub(crate) struct Workers {
    threads: Vec<Worker>,
    /// Where the search for the next worker begins, so that equals take turns.
    turn: AtomicUsize,
    /// Whether it was said that one of them has ended.
    missed: AtomicBool,
}

struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Workers {
    /// Starts a thread for each processor that the process may use.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no means to wait for sockets.
    pub(crate) fn start() -> io::Result<Self> {
        let workers = (1..places()).map(Worker::start).collect::<Result<_, _>>()?;
        Ok(Self {
            threads: workers,
            turn: AtomicUsize::new(0),
            missed: AtomicBool::new(false),
        })
    }

    /// Gives a connection to the worker that has the fewest: where its tasks are to run, and what counts it until it is dropped. None where all
    /// have ended.
    pub(crate) fn take_on(&self) -> Option<(Handle, Share)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.threads.len();
        let chosen = (0..count)
            .filter_map(|step| self.threads.get(turn.wrapping_add(step) % count))
            .filter(|worker| self.is_there(worker))
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed))?;
        Some((chosen.runtime.clone(), Share::of(&chosen.connections)))
    }

    /// Whether a worker has not ended, which none does by itself: a task that panics ends alone. If one did, it would have no connections any more, and
    /// so be given all that come, only to drop them.
    fn is_there(&self, worker: &Worker) -> bool {
        let has_ended = worker.thread.is_finished();
        if has_ended && !self.missed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                thread = worker.thread.thread().name(),
                "a thread that serves connections has ended, which is a fault of sealgate; the others go on. Restart the gateway, and report what was logged before"
            );
        }
        !has_ended
    }
}

impl Worker {
    fn start(place: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(format!("worker-{place}"))
            .spawn(move || {
                PLACE.set(place);
                // A sender that is gone means the same as one that spoke.
                let _ = runtime.block_on(stopped);
                // Not to wait for what runs on threads of its own.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            connections: Arc::default(),
            stop,
            thread,
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        let told = self.threads.drain(..).map(|worker| {
            drop(worker.stop);
            worker.thread
        });
        for thread in told.collect::<Vec<_>>() {
            if thread.join().is_err() {
                tracing::error!("a thread that served connections has panicked");
            }
        }
    }
}

/// A connection in the count of its worker.
#[derive(Debug)]
pub(crate) struct Share(Arc<AtomicUsize>);

impl Share {
    fn of(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_whoever_has_the_fewest() {
        let workers = Workers::start().unwrap();
        let count = places() - 1;
        let shares: Vec<_> = (0..3 * count).filter_map(|_| workers.take_on()).collect();
        let counted = |workers: &Workers| -> Vec<_> {
            workers
                .threads
                .iter()
                .map(|worker| worker.connections.load(Ordering::Relaxed))
                .collect()
        };
        assert_eq!(counted(&workers), vec![3; count]);
        drop(shares);
        assert_eq!(counted(&workers), vec![0; count]);
    }

    #[test]
    fn a_worker_that_has_ended_is_given_nothing() {
        let mut workers = Workers::start().unwrap();
        let (stop, _) = oneshot::channel();
        drop(std::mem::replace(&mut workers.threads[0].stop, stop));
        while !workers.threads[0].thread.is_finished() {
            thread::yield_now();
        }
        let shares: Vec<_> = (0..10).filter_map(|_| workers.take_on()).collect();
        assert_eq!(
            workers.threads[0].connections.load(Ordering::Relaxed),
            0,
            "of {} connections",
            shares.len()
        );
    }

    #[test]
    fn every_worker_has_a_place_of_its_own_and_keeps_it_for_its_tasks() {
        let workers = Workers::start().unwrap();
        let mut seen = vec![place()];
        for worker in &workers.threads {
            let (tell, told) = std::sync::mpsc::channel();
            worker.runtime.spawn(async move {
                let nested = tokio::spawn(async { place() }).await.unwrap();
                tell.send((place(), nested)).unwrap();
            });
            let (own, nested) = told.recv().unwrap();
            assert_eq!(own, nested);
            seen.push(own);
        }
        assert_eq!(seen, (0..places()).collect::<Vec<_>>());
    }

    #[test]
    fn what_still_runs_ends_with_the_workers() {
        let workers = Workers::start().unwrap();
        let held = Arc::new(());
        let (runtime, share) = workers.take_on().unwrap();
        let holding = Arc::clone(&held);
        runtime.spawn(async move {
            let _held = (share, holding);
            std::future::pending::<()>().await;
        });
        drop(workers);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
