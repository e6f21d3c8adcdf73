//! Who reads which body, so that a replaced object stays readable for those who already read it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Bodies;
use crate::id::Id;
use crate::index::transaction::Obsolete;

/// The bodies that are being read.
#[derive(Debug)]
pub(crate) struct Leases {
    bodies: Arc<Bodies>,
    held: Mutex<HashMap<Id, Held>>,
}

#[derive(Debug, Default)]
struct Held {
    readers: usize,
    /// Files to remove when the last reader is done.
    obsolete: Vec<Id>,
}

/// The right to read a body until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    body: Id,
}

impl Leases {
    pub(crate) fn new(bodies: Arc<Bodies>) -> Arc<Self> {
        Arc::new(Self {
            bodies,
            held: Mutex::default(),
        })
    }

    /// Looks a body up and leases it in one step, so that no removal comes between.
    ///
    /// `look_up` must take its snapshot of the index itself: a removal that came first is then in it.
    pub(crate) fn lease<T, E>(
        self: &Arc<Self>,
        look_up: impl FnOnce() -> Result<(Option<Id>, T), E>,
    ) -> Result<(Option<Lease>, T), E> {
        let mut held = self.lock();
        let (body, found) = look_up()?;
        let lease = body.map(|body| {
            held.entry(body).or_default().readers += 1;
            Lease {
                leases: Arc::clone(self),
                body,
            }
        });
        Ok((lease, found))
    }

    /// Removes files that a durable change made obsolete, or leaves that to their last reader.
    pub(crate) fn discard(&self, obsolete: Vec<Obsolete>) {
        for Obsolete { body, files } in obsolete {
            {
                let mut held = self.lock();
                if let Some(held) = body.and_then(|body| held.get_mut(&body)) {
                    held.obsolete.extend(files);
                    continue;
                }
            }
            for file in files {
                self.bodies.remove(file);
            }
        }
    }

    /// The map is whole after a panic elsewhere: no code between its changes can panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, body: Id) -> Vec<Id> {
        let mut held = self.lock();
        let Some(entry) = held.get_mut(&body) else {
            return Vec::new();
        };
        entry.readers = entry.readers.saturating_sub(1);
        if entry.readers > 0 {
            return Vec::new();
        }
        held.remove(&body)
            .map(|entry| entry.obsolete)
            .unwrap_or_default()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let files = self.leases.release(self.body);
        if files.is_empty() {
            return;
        }
        let bodies = Arc::clone(&self.leases.bodies);
        let remove = move || files.into_iter().for_each(|file| bodies.remove(file));
        // Answers are dropped on async threads, and ten thousand parts take a while to remove.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(bodies: &Arc<Bodies>) -> Id {
        let id = Id::random();
        fs::write(bodies.path(id), b"x").unwrap();
        id
    }

    fn lease(leases: &Arc<Leases>, body: Id) -> Lease {
        leases
            .lease(|| Ok::<_, ()>((Some(body), ())))
            .unwrap()
            .0
            .unwrap()
    }

    #[test]
    fn files_stay_until_the_last_reader_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(directory.path()).unwrap());
        let leases = Leases::new(Arc::clone(&bodies));
        let (body, first) = (Id::random(), file(&bodies));
        let (one, two) = (lease(&leases, body), lease(&leases, body));
        leases.discard(vec![Obsolete {
            body: Some(body),
            files: vec![first],
        }]);
        drop(one);
        assert!(bodies.path(first).exists());
        drop(two);
        assert!(!bodies.path(first).exists());
    }

    #[test]
    fn files_that_nobody_reads_go_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(directory.path()).unwrap());
        let leases = Leases::new(Arc::clone(&bodies));
        let (read, other, part) = (file(&bodies), file(&bodies), file(&bodies));
        let kept = lease(&leases, Id::random());
        leases.discard(vec![
            Obsolete {
                body: Some(Id::random()),
                files: vec![other, Id::NONE],
            },
            Obsolete {
                body: None,
                files: vec![part],
            },
        ]);
        assert!(
            bodies.path(read).exists()
                && !bodies.path(other).exists()
                && !bodies.path(part).exists()
        );
        drop(kept);
    }
}
