//! How many requests are worked on at once, by what is known of who makes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::LimitsConfig, error::S3Error, route::Unsigned};

/// A place, held by whatever belongs to the request.
pub(crate) type Place = Arc<Occupied>;

/// What a request takes from others while it lasts.
#[derive(Debug)]
pub(crate) struct Occupied {
    _place: OwnedSemaphorePermit,
    /// Of the requests at once that its address may have, and its identity.
    shares: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Occupied {
    /// Also holds a part of somebody's share, until the request is over.
    pub(super) fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        self.shares().extend(permit);
    }

    /// Takes over what another place holds beside itself.
    pub(super) fn inherit(&self, other: &Self) {
        let held = std::mem::take(&mut *other.shares());
        self.shares().extend(held);
    }

    fn shares(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signed requests, and each kind of those that nobody has signed, or not yet, have places of their own: whoever has no key keeps out nobody who has
/// one, and forms whose fields do not come keep out no preflight.
#[derive(Debug)]
pub(super) struct Places {
    signed: Arc<Semaphore>,
    forms: Arc<Semaphore>,
    preflights: Arc<Semaphore>,
    anonymous: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        let of_nobody = || Arc::new(Semaphore::new(limits.unsigned_requests));
        Self {
            signed: Arc::new(Semaphore::new(limits.concurrent_requests)),
            forms: of_nobody(),
            preflights: of_nobody(),
            anonymous: of_nobody(),
        }
    }

    /// A place among the requests that somebody has signed.
    ///
    /// # Errors
    /// 503 SlowDown where all are taken.
    pub(super) fn signed(&self) -> Result<Place, S3Error> {
        take(
            &self.signed,
            "the bound on concurrent requests, limits.concurrent_requests, is reached",
        )
    }

    /// A place for a request that nobody has signed, or not yet.
    ///
    /// # Errors
    /// 503 SlowDown where all of its kind are taken.
    pub(super) fn unsigned(&self, kind: Unsigned) -> Result<Place, S3Error> {
        let places = match kind {
            Unsigned::Form => &self.forms,
            Unsigned::Preflight => &self.preflights,
            Unsigned::Anonymous => &self.anonymous,
        };
        take(
            places,
            "the bound on requests of one kind without a signature, limits.unsigned_requests, is reached",
        )
    }
}

fn take(places: &Arc<Semaphore>, bound: &'static str) -> Result<Place, S3Error> {
    let place = Arc::clone(places).try_acquire_owned();
    Ok(Arc::new(Occupied {
        _place: place.map_err(|_| S3Error::slow_down(bound))?,
        shares: Mutex::default(),
    }))
}
