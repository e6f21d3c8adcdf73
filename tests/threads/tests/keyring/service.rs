//! A key service that tells the order of everything, and lets others go on in the middle of each call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use sealgate_envelope::key_service::{
    EncryptionContext, KeyAvailability, KeyDescription, KeyService, RewrapSource, UnwrapPermit,
};
use sealgate_envelope::keyring::{Clock, Keyring, KeyringLimits, SealingKey};
use sealgate_envelope::{
    Domain, Error, KeyReference, KeyServiceFailure, OsRandom, Provider, Random as _, Result,
    WorkingKey, WorkingKeyId, Wrap,
};

/// What is locked here is never held while others go on, so these locks need not be shuttle's.
#[derive(Debug)]
pub(crate) struct Service {
    reference: KeyReference,
    table: Mutex<HashMap<Vec<u8>, WorkingKey>>,
    order: AtomicU64,
    /// When the making of each key began.
    generates: Mutex<HashMap<WorkingKeyId, u64>>,
    /// When each unwrap began.
    unwraps: Mutex<Vec<u64>>,
    is_down: Mutex<bool>,
    /// Unwraps that run, and the most that ran at once.
    running: Mutex<(usize, usize)>,
}

impl Service {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            reference: KeyReference::of(Provider::Local, "of the test").unwrap(),
            table: Mutex::default(),
            order: AtomicU64::new(0),
            generates: Mutex::default(),
            unwraps: Mutex::default(),
            is_down: Mutex::default(),
            running: Mutex::default(),
        })
    }

    /// A moment in the order of everything.
    pub(crate) fn now(&self) -> u64 {
        self.order.fetch_add(1, SeqCst)
    }

    /// From now on every call fails, or works again.
    pub(crate) fn set_down(&self, is_down: bool) {
        *self.is_down.lock().unwrap() = is_down;
    }

    /// When the making of a key began.
    pub(crate) fn made_at(&self, id: WorkingKeyId) -> u64 {
        self.generates.lock().unwrap()[&id]
    }

    pub(crate) fn keys_made(&self) -> usize {
        self.generates.lock().unwrap().len()
    }

    pub(crate) fn unwraps(&self) -> MutexGuard<'_, Vec<u64>> {
        self.unwraps.lock().unwrap()
    }

    pub(crate) fn most_unwraps_at_once(&self) -> usize {
        self.running.lock().unwrap().1
    }

    /// A process of its own that knows no key.
    pub(crate) fn keyring(self: &Arc<Self>, limits: KeyringLimits, clock: &Arc<Time>) -> Keyring {
        Keyring::builder(Arc::clone(self) as _)
            .limits(limits)
            .clock(Arc::clone(clock) as _)
            .build()
            .unwrap()
    }

    fn check(&self) -> Result<()> {
        if *self.is_down.lock().unwrap() {
            return Err(Error::key_service(KeyServiceFailure::Unavailable, "down"));
        }
        Ok(())
    }

    fn keep(&self, key: &WorkingKey) -> Result<Wrap> {
        let mut blob = vec![0; 24];
        OsRandom.fill(&mut blob)?;
        self.table.lock().unwrap().insert(blob.clone(), key.clone());
        Wrap::new(Provider::Local, self.reference, blob)
    }
}

#[async_trait]
impl KeyService for Service {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.reference)
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        let began = self.now();
        self.generates
            .lock()
            .unwrap()
            .insert(context.working_key_id(), began);
        tokio::task::yield_now().await;
        self.check()?;
        let key = WorkingKey::generate(&mut OsRandom)?;
        let wrap = self.keep(&key)?;
        Ok((key, wrap))
    }

    async fn wrap(&self, _: &EncryptionContext, key: &WorkingKey) -> Result<Wrap> {
        self.keep(key)
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        let began = self.now();
        self.unwraps().push(began);
        {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        tokio::task::yield_now().await;
        self.running.lock().unwrap().0 -= 1;
        self.check()?;
        Ok(self.table.lock().unwrap()[wrap.blob()].clone())
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(Error::misuse("keyrings rewrap nothing"))
    }

    async fn describe(&self) -> Result<KeyDescription> {
        Err(Error::misuse(format!(
            "keyrings ask for no description, such as {:?}",
            KeyAvailability::Enabled
        )))
    }
}

/// A clock that is moved by hand.
#[derive(Debug, Default)]
pub(crate) struct Time(Mutex<Duration>);

impl Time {
    pub(crate) fn pass(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Time {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn unix_milliseconds(&self) -> u64 {
        1_700_000_000_000
    }
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

/// Opens what a key sealed.
pub(crate) async fn open(keyring: &Keyring, sealed: &SealingKey) -> Result<Arc<WorkingKey>> {
    let permit = UnwrapPermit::issue("of the test");
    keyring
        .opening_key(&permit, sealed.id(), sealed.inline_wraps(), sealed.domain())
        .await
}
