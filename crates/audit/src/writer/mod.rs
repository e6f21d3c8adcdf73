//! The writer of a log: many callers, one thread, one sync for all that wait.
//!
//! ```text
//! record ─┐                        ┌─ append ─ sync ─┬─ every caller of the batch goes on
//! record ─┼─ queue (bounded) ─ thread ─┤                 └─ a checkpoint, when one is due
//! submit ─┘                        └─ after a failure: refuse, cut to what is durable, try again
//! ```
//!
//! What is synced is the journal, in which the lines are once more; their segment is when a checkpoint is due.
//!
//! A failed write or sync fails everything of its batch. Pages that a sync could not write may be gone though a read still shows them, so
//! nothing is read back: the files are cut to the length that earlier syncs made durable, what the journal alone held is written again from
//! memory, and the log goes on from there.

mod bell;
mod core;
mod disk;
mod journal;
mod progress;
mod queue;
mod recovery;
#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, watch};

pub use self::disk::{Disk, FileSystem, Output};
pub(crate) use self::journal::following;
pub use self::recovery::{OpenError, inspect};
pub(crate) use self::recovery::{first_line, recover};
use self::{
    core::{Core, Settings},
    progress::{Followed, Progress},
    queue::{Job, Queue},
};
use crate::{
    directory::Directory,
    event::{Event, Kind},
    key::SigningKey,
    limits::MAX_EVENTS,
    line::Prepared,
    object_name::ObjectNames,
};

/// Jobs that may wait before what nobody waits for is lost.
const MAX_SUBMITTED: usize = 65_536;

/// How long after a failure the files are tried again.
const REOPEN_AFTER: Duration = Duration::from_secs(2);

/// How a log is kept.
#[derive(Debug)]
pub struct LogOptions {
    /// Where its files are.
    pub directory: Directory,
    /// Its key; the name of the key is the name of the log.
    pub key: SigningKey,
    /// What becomes of the names of objects.
    pub names: ObjectNames,
    /// Bytes after which another file is begun.
    pub segment_size: u64,
    /// How old the oldest line gets that no checkpoint covers.
    pub checkpoint_interval: Duration,
    /// Events that may wait to be recorded.
    pub queue: usize,
    /// How long a caller waits for a record to be durable.
    pub patience: Duration,
    /// Name and version of what writes.
    pub software: String,
}

impl LogOptions {
    /// The defaults beside directory and key.
    pub fn new(directory: Directory, key: SigningKey) -> Self {
        Self {
            directory,
            key,
            names: ObjectNames::Plain,
            segment_size: 64 << 20,
            checkpoint_interval: Duration::from_secs(1),
            queue: 8_192,
            patience: Duration::from_secs(10),
            software: concat!("sealgate-audit ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why an event is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The disk refuses.
    #[error("the audit log can't be written: {0}")]
    Disk(String),
    /// The disk takes too long.
    #[error("the audit log takes too long to write")]
    Slow,
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// More events at once than may be.
    #[error("more than {MAX_EVENTS} events at once")]
    Many,
    /// The event can't be written down.
    #[error("an event can't be written down")]
    Form,
}

/// How long a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Lines that are durable.
    pub size: u64,
    /// Lines that a checkpoint covers.
    pub signed: u64,
    /// Bytes of the lines that this process wrote.
    pub written: u64,
}

struct Shared {
    queue: Queue,
    places: Arc<Semaphore>,
    names: ObjectNames,
    patience: Duration,
    queue_length: usize,
    /// Events that were not recorded, and not yet told of.
    lost: AtomicU64,
    /// Events that were not recorded since the start.
    lost_ever: AtomicU64,
    failure: Mutex<Option<String>>,
    progress: Progress,
    position: watch::Sender<Position>,
}

/// A log that is open for writing. Dropping it closes it.
pub struct Log {
    shared: Arc<Shared>,
    thread: Mutex<Option<Thread>>,
}

/// The thread that writes.
struct Thread {
    handle: JoinHandle<()>,
    /// Says by its end that the thread is about to end.
    ends: mpsc::Receiver<()>,
    /// It was waited for in vain.
    is_left: bool,
}

impl Thread {
    /// Waits for its end as long as the disk gets something done. Once it was waited for in vain, it is only looked at.
    fn has_ended(&mut self, shared: &Shared) -> bool {
        let from = Instant::now();
        loop {
            // Between two batches nothing is asked of the disk.
            let since = shared.progress.since();
            let since = since.map_or_else(Instant::now, |since| since.max(from));
            let left = shared.patience.saturating_sub(since.elapsed());
            let left = if self.is_left { Duration::ZERO } else { left };
            // Nothing is ever sent.
            if self.ends.recv_timeout(left) != Err(mpsc::RecvTimeoutError::Timeout) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens a log, or begins it, and starts its thread.
    ///
    /// # Errors
    /// [`OpenError`]; where lines that were signed are missing or altered, nothing is written.
    pub fn open(options: LogOptions) -> Result<Self, OpenError> {
        Self::open_on(options, Box::new(FileSystem))
    }

    /// As [`Self::open`], on another disk than the file system.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(options: LogOptions, disk: Box<dyn Disk>) -> Result<Self, OpenError> {
        let directory = options.directory.clone();
        let failed = |cause| OpenError::Io {
            path: directory.root().to_owned(),
            cause,
        };
        directory.create().map_err(failed)?;
        let lock = lock(&directory)?;
        let progress = Progress::default();
        let core = Core::open(
            Settings {
                directory: options.directory,
                key: options.key,
                segment_size: options.segment_size,
                checkpoint_interval: options.checkpoint_interval,
                software: options.software,
            },
            Box::new(Followed::new(disk, progress.clone())),
        )?;
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            places: Arc::new(Semaphore::new(options.queue.max(MAX_EVENTS))),
            names: options.names,
            patience: options.patience,
            queue_length: options.queue.max(MAX_EVENTS),
            lost: AtomicU64::new(0),
            lost_ever: AtomicU64::new(0),
            failure: Mutex::new(None),
            progress,
            position: watch::Sender::new(core.position()),
        });
        let (end, ends) = mpsc::channel();
        let handle = thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    Writer { core, shared }.run();
                    drop(lock);
                    drop(end);
                }
            })
            .map_err(|cause| OpenError::Io {
                path: directory.root().to_owned(),
                cause,
            })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(Thread {
                handle,
                ends,
                is_left: false,
            })),
        })
    }

    /// Records events, one after the other, and returns their sequences once they are durable.
    ///
    /// Cancel safety: when the future is dropped, the events may be recorded all the same.
    ///
    /// # Errors
    /// [`RecordError`]; then nothing that depends on the record may be done. [`RecordError::Slow`] may be recorded all the same.
    pub async fn record(&self, events: Vec<Event>) -> Result<Range<u64>, RecordError> {
        self.begin(events).await?.durable().await
    }

    /// Hands over events that are to be recorded one after the other, and returns as soon as they are in the queue: the caller goes on with what
    /// does not depend on them meanwhile.
    ///
    /// # Errors
    /// As [`Self::record`], where nothing is handed over.
    pub async fn begin(&self, events: Vec<Event>) -> Result<Pending, RecordError> {
        let count = u32::try_from(events.len()).map_err(|_| RecordError::Many)?;
        if events.len() > MAX_EVENTS {
            return Err(RecordError::Many);
        }
        if let Some(failure) = self.failure() {
            return Err(RecordError::Disk(failure));
        }
        let events = self.prepare(events)?;
        let until = tokio::time::Instant::now() + self.shared.patience;
        let places = Arc::clone(&self.shared.places).acquire_many_owned(count);
        let places = tokio::time::timeout_at(until, places)
            .await
            .map_err(|_| RecordError::Slow)?
            .map_err(|_| RecordError::Closed)?;
        let count = u64::from(count);
        let (answer, answered) = bell::pair(count);
        self.shared.queue.push(Job {
            events,
            count,
            answer: Some(answer),
            _places: Some(places),
        })?;
        Ok(Pending {
            answered,
            until,
            count,
            shared: Arc::clone(&self.shared),
        })
    }

    /// A request has begun that will want to record something; it has ended when what is returned is dropped.
    pub fn run(&self) -> Running {
        self.shared.queue.enter();
        Running {
            shared: Arc::clone(&self.shared),
            since: Instant::now(),
        }
    }

    /// Hands over an event without waiting for it; what can't be recorded is counted as lost, and the log says so later. Callers bound how
    /// many there are: one for each request that runs.
    pub fn submit(&self, event: Event) {
        if self.shared.queue.length() >= MAX_SUBMITTED {
            self.lose(1);
            return;
        }
        let job = self.prepare(vec![event]).map(|events| Job {
            events,
            count: 1,
            answer: None,
            _places: None,
        });
        if job.and_then(|job| self.shared.queue.push(job)).is_err() {
            self.lose(1);
        }
    }

    /// Counts events that were not recorded; the log says how many, once it can.
    pub fn lose(&self, count: u64) {
        self.shared.lose(count);
    }

    /// Events that were not recorded since the log was opened.
    pub fn lost(&self) -> u64 {
        self.shared.lost_ever.load(Ordering::Relaxed)
    }

    /// Why nothing can be recorded at the moment: the disk refuses, or does not answer for longer than callers wait.
    pub fn failure(&self) -> Option<String> {
        let failure = lock_of(&self.shared.failure).clone();
        failure.or_else(|| {
            let writing = self.shared.progress.since()?.elapsed();
            (writing > self.shared.patience)
                .then(|| format!("the disk has not answered for {} s", writing.as_secs()))
        })
    }

    /// How long the log is.
    pub fn position(&self) -> Position {
        *self.shared.position.borrow()
    }

    /// Tells when a checkpoint is signed.
    pub fn positions(&self) -> watch::Receiver<Position> {
        self.shared.position.subscribe()
    }

    /// Events that wait to be recorded, of those that callers wait for.
    pub fn waiting(&self) -> usize {
        self.shared.queue_length - self.shared.places.available_permits()
    }

    /// The hash that records have instead of a name, where names are hashed.
    pub fn names(&self) -> &ObjectNames {
        &self.shared.names
    }

    /// Records everything that waits, signs a last checkpoint, and ends. Blocks until the disk has it, but not where the disk gets nothing done for
    /// as long as callers wait for a record: one that does not answer must not keep a process from ending. Tells whether the log has ended; where it
    /// has not, its thread is left alone, goes on if the disk does, and is only looked at when this is called again.
    pub fn close(&self) -> bool {
        self.shared.queue.close();
        let mut held = lock_of(&self.thread);
        let Some(thread) = held.as_mut() else {
            return true;
        };
        if !thread.has_ended(&self.shared) {
            if !std::mem::replace(&mut thread.is_left, true) {
                tracing::error!(
                    "the disk does not answer, so the audit log was not closed in order; what it did not take is not recorded"
                );
            }
            return false;
        }
        if let Some(thread) = held.take() {
            // A panic was reported by the thread itself.
            let _ = thread.handle.join();
        }
        true
    }

    fn prepare(&self, events: Vec<Event>) -> Result<Vec<Prepared>, RecordError> {
        let prepare = |mut event: Event| {
            self.shared.names.apply(&mut event);
            Prepared::new(event).map_err(|_| RecordError::Form)
        };
        events.into_iter().map(prepare).collect()
    }
}

/// Events that wait to be durable. Dropping it takes none of them back; those that fail without anybody having been told are counted as lost.
#[must_use = "nothing that depends on the events may be done before they are durable"]
pub struct Pending {
    answered: bell::Answered,
    until: tokio::time::Instant,
    count: u64,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // What fails later, the thread counts.
        if let Some(Err(_)) = self.answered.give_up() {
            self.shared.lose(self.count);
        }
    }
}

impl Pending {
    /// Returns the sequences of the events once they are durable, which it tells once.
    ///
    /// Cancel safety: when the future is dropped, another call goes on waiting. While there is one that was woken, it has to be polled: others of
    /// its thread wait for that.
    ///
    /// # Errors
    /// As [`Log::record`]; its patience counts from when the events were handed over.
    pub async fn durable(&mut self) -> Result<Range<u64>, RecordError> {
        tokio::time::timeout_at(self.until, self.answered.wait())
            .await
            .map_err(|_| RecordError::Slow)?
    }
}

/// A request that runs. While there are others than those whose records wait, and there were several the last time, a sync waits a moment for
/// them.
pub struct Running {
    shared: Arc<Shared>,
    since: Instant,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.queue.leave(self.since.elapsed());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Whoever follows the log is woken for what is signed: nothing else is sent, and lines come thousands of times a second.
    fn tell(&self, position: Position) {
        self.position.send_if_modified(|known| {
            let is_signed = known.signed != position.signed;
            *known = position;
            is_signed
        });
    }

    fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.lost_ever.fetch_add(count, Ordering::Relaxed);
    }
}

fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is never half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sure that nobody else writes the files.
pub(crate) fn lock(directory: &Directory) -> Result<File, OpenError> {
    let path = directory.lock();
    let failed = |cause| OpenError::Io {
        path: path.clone(),
        cause,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(directory.root().to_owned())),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

struct Writer {
    core: Core,
    shared: Arc<Shared>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            let what = "what writes it has ended by a fault; start the process again";
            *lock_of(&self.shared.failure) = Some(what.to_owned());
        }
        self.shared.queue.end();
    }
}

impl Writer {
    fn run(mut self) {
        let mut failed_at: Option<Instant> = None;
        loop {
            let wake = failed_at.map_or(self.core.due(), |at| Some(at + REOPEN_AFTER));
            let (jobs, is_closed) = self.shared.queue.take(wake);
            self.shared.progress.begin();
            if let Some(at) = failed_at
                && (at.elapsed() >= REOPEN_AFTER || is_closed)
            {
                failed_at = self.reopen();
            }
            if failed_at.is_none() {
                failed_at = self.commit(jobs, is_closed);
            } else {
                self.refuse(jobs);
            }
            self.shared.progress.end();
            self.shared.tell(self.core.position());
            if is_closed {
                break;
            }
        }
    }

    /// Returns when it failed, if it did.
    fn commit(&mut self, jobs: Vec<Job>, is_closed: bool) -> Option<Instant> {
        let mut events = Vec::new();
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let event = Event {
                lost: Some(lost),
                ..Event::new(Kind::Lost)
            };
            events.extend(Prepared::new(event));
        }
        let mut jobs = jobs;
        let before = events.len() as u64;
        for job in &mut jobs {
            events.append(&mut job.events);
        }
        if !events.is_empty() {
            match self.core.commit(&events) {
                Ok(first) => {
                    let mut next = first + before;
                    let answers = jobs.into_iter().filter_map(|job| {
                        let recorded = next..next + job.count;
                        next = recorded.end;
                        Some((job.answer?, Ok(recorded)))
                    });
                    bell::answer(answers);
                }
                Err(error) => {
                    self.shared.lost.fetch_add(lost, Ordering::Relaxed);
                    let failed = self.fail(&error);
                    self.refuse(jobs);
                    return Some(failed);
                }
            }
        }
        let is_due = self.core.due().is_some_and(|due| due <= Instant::now());
        let signed = match (is_closed, is_due) {
            (true, _) => self.core.close(),
            (false, true) => self.core.sign(),
            (false, false) => Ok(()),
        };
        signed.err().map(|error| self.fail(&error))
    }

    fn reopen(&mut self) -> Option<Instant> {
        let reason = lock_of(&self.shared.failure).clone().unwrap_or_default();
        match self.core.reopen(&reason) {
            Ok(()) => {
                *lock_of(&self.shared.failure) = None;
                tracing::warn!("the audit log is written again");
                None
            }
            Err(error) => Some(self.fail(&error)),
        }
    }

    fn fail(&self, error: &io::Error) -> Instant {
        tracing::error!(%error, "the audit log can't be written; nothing that was not durable counts");
        *lock_of(&self.shared.failure) = Some(error.to_string());
        Instant::now()
    }

    fn refuse(&self, jobs: Vec<Job>) {
        let failure = lock_of(&self.shared.failure).clone().unwrap_or_default();
        // Where nobody learns of it, the log says that there was something.
        let mut unheard = 0;
        let answers = jobs.into_iter().filter_map(|job| {
            if job.answer.is_none() {
                unheard += job.count;
            }
            Some((job.answer?, Err(RecordError::Disk(failure.clone()))))
        });
        let given_up = bell::answer(answers);
        self.shared.lose(unheard + given_up);
    }
}
