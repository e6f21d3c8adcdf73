//! A key service that counts, waits and fails on request, and a clock that is moved by hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::domain::Domain;
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::{
    EncryptionContext, KeyAvailability, KeyDescription, KeyService, RewrapSource, UnwrapPermit,
    check_wrap_is_for, failure_of, key_service_error,
};
use crate::keyring::registry::{MemoryRegistry, PutOutcome, RegistryStore};
use crate::keyring::{Clock, Keyring, KeyringLimits};
use crate::keys::{KeyReference, WorkingKey, WorkingKeyId};
use crate::random::{OsRandom, random_array};
use crate::wrap::{Provider, Wrap};

/// Keeps what it wrapped in a table, so that a wrap opens only with the very context it was made for.
#[derive(Debug)]
pub(super) struct FaultyService {
    reference: KeyReference,
    table: Mutex<HashMap<Vec<u8>, (EncryptionContext, WorkingKey)>>,
    fault: Mutex<Option<KeyServiceFailure>>,
    lies: Mutex<bool>,
    withdrawn: Mutex<Vec<Vec<u8>>>,
    pub(super) generates: AtomicU64,
    pub(super) unwraps: AtomicU64,
    /// Calls of unwrap wait here for a permit of the test's.
    gate: Semaphore,
}

impl FaultyService {
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            reference: KeyReference::of(Provider::Local, name).unwrap(),
            table: Mutex::default(),
            fault: Mutex::default(),
            lies: Mutex::default(),
            withdrawn: Mutex::default(),
            generates: AtomicU64::new(0),
            unwraps: AtomicU64::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        })
    }

    /// From now on every call fails like this, or works again.
    pub(super) fn fail(&self, fault: Option<KeyServiceFailure>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// From now on every unwrap gives a wrong key.
    pub(super) fn lie(&self) {
        *self.lies.lock().unwrap() = true;
    }

    /// From now on the service says of this wrap that its version of the key has been withdrawn.
    pub(super) fn withdraw(&self, wrap: &Wrap) {
        self.withdrawn.lock().unwrap().push(wrap.blob().to_vec());
    }

    /// From now on unwraps hang until [`open_gate`](Self::open_gate).
    pub(super) fn close_gate(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    pub(super) fn open_gate(&self) {
        self.gate.add_permits(1_000_000);
    }

    pub(super) fn unwraps(&self) -> u64 {
        self.unwraps.load(Ordering::SeqCst)
    }

    pub(super) fn generates(&self) -> u64 {
        self.generates.load(Ordering::SeqCst)
    }

    fn check_fault(&self) -> Result<()> {
        let fault = *self.fault.lock().unwrap();
        fault.map_or(Ok(()), |failure| {
            Err(key_service_error(failure, "a fault of the test's making"))
        })
    }

    fn store(&self, context: &EncryptionContext, key: &WorkingKey) -> Result<Wrap> {
        let blob: [u8; 24] = random_array(&mut OsRandom)?;
        self.table
            .lock()
            .unwrap()
            .insert(blob.to_vec(), (context.clone(), key.clone()));
        Wrap::new(Provider::Local, self.reference, blob.to_vec())
    }
}

#[async_trait]
impl KeyService for FaultyService {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.reference)
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        self.generates.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.check_fault()?;
        let key = WorkingKey::generate(&mut OsRandom)?;
        let wrap = self.store(context, &key)?;
        Ok((key, wrap))
    }

    async fn wrap(&self, context: &EncryptionContext, key: &WorkingKey) -> Result<Wrap> {
        self.check_fault()?;
        self.store(context, key)
    }

    async fn unwrap(
        &self,
        _permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        self.unwraps.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.check_fault()?;
        check_wrap_is_for(Provider::Local, self.reference, wrap)?;
        if *self.lies.lock().unwrap() {
            return Ok(WorkingKey::from_bytes([0xee; 32]));
        }
        if self
            .withdrawn
            .lock()
            .unwrap()
            .iter()
            .any(|blob| blob == wrap.blob())
        {
            return Err(key_service_error(
                KeyServiceFailure::WrapWithdrawn,
                "the wrap's version of the key may not decrypt any more",
            ));
        }
        let table = self.table.lock().unwrap();
        match table.get(wrap.blob()) {
            Some((made_for, key)) if made_for == context => Ok(key.clone()),
            _ => Err(key_service_error(
                KeyServiceFailure::Refused,
                "wrong context or unknown blob",
            )),
        }
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(key_service_error(
            KeyServiceFailure::Misconfigured,
            "the keyring does not rewrap",
        ))
    }

    async fn describe(&self) -> Result<KeyDescription> {
        Ok(KeyDescription {
            related_keys: Vec::new(),
            serial: None,
            deletion: None,
            key_name: "test".to_owned(),
            key_reference: self.reference,
            availability: KeyAvailability::Enabled,
        })
    }
}

/// A registry that can be told to fail.
#[derive(Debug, Default)]
pub(super) struct FaultyRegistry {
    pub(super) records: MemoryRegistry,
    down: Mutex<bool>,
}

impl FaultyRegistry {
    pub(super) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    fn check(&self) -> Result<()> {
        if *self.down.lock().unwrap() {
            return Err(key_service_error(
                KeyServiceFailure::Unavailable,
                "the registry is down",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl RegistryStore for FaultyRegistry {
    async fn put_if_absent(&self, id: WorkingKeyId, record: &[u8]) -> Result<PutOutcome> {
        self.check()?;
        self.records.put_if_absent(id, record).await
    }

    async fn get(&self, id: WorkingKeyId) -> Result<Option<Vec<u8>>> {
        self.check()?;
        self.records.get(id).await
    }

    async fn list(&self, after: Option<WorkingKeyId>, limit: usize) -> Result<Vec<WorkingKeyId>> {
        self.check()?;
        self.records.list(after, limit).await
    }
}

#[derive(Debug, Default)]
pub(super) struct ManualClock {
    now: Mutex<Duration>,
}

impl ManualClock {
    pub(super) fn advance(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn unix_milliseconds(&self) -> u64 {
        1_700_000_000_000
    }
}

/// Everything that a test holds on to.
pub(super) struct Bench {
    pub(super) services: Vec<Arc<FaultyService>>,
    pub(super) registry: Arc<FaultyRegistry>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) limits: KeyringLimits,
}

impl Bench {
    pub(super) fn new(services: usize) -> Self {
        Self {
            services: (0..services)
                .map(|index| FaultyService::new(&format!("service {index}")))
                .collect(),
            registry: Arc::default(),
            clock: Arc::default(),
            limits: KeyringLimits::default(),
        }
    }

    /// A process of its own over the same services, registry and clock.
    pub(super) fn keyring(&self) -> Keyring {
        let mut services = self.services.iter();
        let first = Arc::clone(services.next().unwrap());
        let builder = services.fold(Keyring::builder(first), |builder, service| {
            builder.key_service(Arc::clone(service) as _)
        });
        builder
            .registry(Arc::clone(&self.registry) as _)
            .limits(self.limits)
            .clock(Arc::clone(&self.clock) as _)
            .build()
            .unwrap()
    }
}

pub(super) fn domain() -> Domain {
    Domain::new("deployment/bucket").unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own policy and audit"
)]
pub(super) fn permit() -> UnwrapPermit {
    UnwrapPermit::issue("test")
}

pub(super) fn failure<T: std::fmt::Debug>(result: Result<T, Error>) -> KeyServiceFailure {
    failure_of(&result.unwrap_err()).unwrap()
}

/// Lets every task that can make progress do so.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
