//! Working keys wrapped by an AES key in a PKCS#11 token: a hardware security module, or a program that acts as one.
//!
//! The key never leaves the token. A working key is made by the token's generator and wrapped with `CKM_AES_GCM`, with the
//! encryption context as additional data. Source: PKCS#11 3.1; FORMAT.md section 2, provider 3.
//!
//! The module is a shared library of the token's vendor that runs inside this process: it sees what the process sees. It
//! blocks, so each call has a thread of the runtime's pool, and a call that never returns keeps its thread and its session.

mod classification;
mod configuration;
mod token;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use self::configuration::{Pkcs11Configuration, Pkcs11Limits};

use self::classification::may_be_the_ciphertext;
use self::token::{Fault, Token};
use super::{
    DeletionManner, EncryptionContext, KeyAvailability, KeyDeletion, KeyDescription, KeyService,
    RewrapSource, UnwrapPermit, check_wrap_is_for, key_service_error, unix_milliseconds,
};
use crate::error::{Error, KeyServiceFailure, Result};
use crate::keys::{KEY_LENGTH, KeyReference, WorkingKey};
use crate::random::{OsRandom, random_array};
use crate::suite::{NONCE_LENGTH, TAG_LENGTH};
use crate::wrap::{Provider, Wrap};

/// The first byte of a blob.
const BLOB_VERSION: u8 = 1;
/// The tag's length as the mechanism counts it: 8 times [`TAG_LENGTH`].
const TAG_BITS: std::ffi::c_ulong = 128;
/// Bytes of an AES-256 key.
const AES_256_LENGTH: std::ffi::c_ulong = 32;
/// Version, nonce, ciphertext and tag.
const BLOB_LENGTH: usize = 1 + NONCE_LENGTH + KEY_LENGTH + TAG_LENGTH;

/// An AES-256 key in a token.
pub struct Pkcs11Token {
    inner: Arc<Inner>,
}

struct Inner {
    configuration: Pkcs11Configuration,
    key_name: String,
    key_reference: KeyReference,
    token: Token,
    sessions: Arc<Semaphore>,
}

impl Pkcs11Token {
    /// Prepares the use of a token. Nothing is loaded yet, so this succeeds while the token is away.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] for labels and limits that cannot be.
    pub fn new(configuration: Pkcs11Configuration) -> Result<Self> {
        configuration.check()?;
        let key_name = configuration.key_name();
        Ok(Self {
            inner: Arc::new(Inner {
                key_reference: KeyReference::of(Provider::Pkcs11, &key_name)?,
                key_name,
                token: Token::new(),
                sessions: Arc::new(Semaphore::new(configuration.limits.sessions)),
                configuration,
            }),
        })
    }

    /// Does `work` with the key on a thread of its own.
    async fn with_key<T: Send + 'static>(
        &self,
        work: impl Fn(&Inner, &Session, ObjectHandle) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        self.in_time(move |inner| {
            inner.token.with_session(&inner.configuration, |session| {
                let key = inner.find_key(session)?;
                work(inner, session, key)
            })
        })
        .await
    }

    async fn in_time<T: Send + 'static>(
        &self,
        work: impl Fn(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        let call = async move {
            let permit = Arc::clone(&inner.sessions)
                .acquire_owned()
                .await
                .map_err(|_| Error::machine("the sessions of a PKCS#11 token are closed"))?;
            tokio::task::spawn_blocking(move || {
                // With the thread, not with whoever waits for it: a token that hangs must not collect threads.
                let _permit = permit;
                work(&inner)
            })
            .await
            .map_err(|error| Error::machine(format!("a PKCS#11 module panicked: {error}")))?
        };
        let limit = self.inner.configuration.limits.operation_timeout;
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            Err(self
                .inner
                .fault(KeyServiceFailure::Unavailable, "no answer in time"))
        })
    }
}

impl Inner {
    fn fault(&self, class: KeyServiceFailure, cause: &str) -> Error {
        key_service_error(class, &format!("{}: {cause}", self.key_name))
    }

    /// The one key with our label. Searched each time: a handle may outlive its key, and working keys are rare.
    fn find_key(&self, session: &Session) -> Result<ObjectHandle, Fault> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(self.configuration.key.as_bytes().to_vec()),
        ];
        match session.find_objects(&template)?.as_slice() {
            [key] => {
                self.check_kind(session, *key)?;
                Ok(*key)
            }
            [] => Err(self
                .fault(
                    KeyServiceFailure::NotFound,
                    "the token has no secret key of this label; make one, AES with 32 bytes, not extractable",
                )
                .into()),
            _ => Err(self
                .fault(
                    KeyServiceFailure::Misconfigured,
                    "the token has several keys of this label; give the others another",
                )
                .into()),
        }
    }

    /// Another kind of key would fail later, with a worse message, or wrap under less than 256 bits.
    fn check_kind(&self, session: &Session, key: ObjectHandle) -> Result<(), Fault> {
        let asked = [AttributeType::KeyType, AttributeType::ValueLen];
        for attribute in session.get_attributes(key, &asked)? {
            let suits = match attribute {
                Attribute::KeyType(kind) => kind == KeyType::AES,
                Attribute::ValueLen(length) => *length == AES_256_LENGTH,
                _ => true,
            };
            if !suits {
                let cause = "not an AES key of 256 bits";
                return Err(self.fault(KeyServiceFailure::Misconfigured, cause).into());
            }
        }
        Ok(())
    }

    fn seal(
        &self,
        session: &Session,
        key: ObjectHandle,
        associated_data: &[u8],
        working_key: &[u8],
    ) -> Result<Wrap, Fault> {
        let mut nonce: [u8; NONCE_LENGTH] = random_array(&mut OsRandom)?;
        let parameters = gcm(&mut nonce, associated_data)?;
        let sealed = session.encrypt(&Mechanism::AesGcm(parameters), key, working_key)?;
        // Read after the call: some modules insist on making the nonce, and write it where ours was.
        let blob = [&[BLOB_VERSION][..], &nonce, &sealed].concat();
        if blob.len() != BLOB_LENGTH {
            let cause = "CKM_AES_GCM did not add a tag of 16 bytes";
            return Err(self.fault(KeyServiceFailure::Malformed, cause).into());
        }
        Ok(Wrap::new(Provider::Pkcs11, self.key_reference, blob)?)
    }

    fn open(
        &self,
        session: &Session,
        key: ObjectHandle,
        associated_data: &[u8],
        blob: &[u8],
    ) -> Result<WorkingKey, Fault> {
        let refused = |cause| Fault::Ours(self.fault(KeyServiceFailure::Refused, cause));
        let Some((&[BLOB_VERSION], rest)) = blob.split_first_chunk::<1>() else {
            return Err(refused("the wrap's blob is not of version 1"));
        };
        let Some((nonce, sealed)) = rest
            .split_first_chunk::<NONCE_LENGTH>()
            .filter(|_| blob.len() == BLOB_LENGTH)
        else {
            return Err(refused("the wrap's blob has not 61 bytes"));
        };
        let mut nonce = *nonce;
        let parameters = gcm(&mut nonce, associated_data)?;
        match session.decrypt(&Mechanism::AesGcm(parameters), key, sealed) {
            Ok(opened) => {
                let opened = Zeroizing::new(opened);
                WorkingKey::from_slice(&opened).map_err(|_| {
                    let cause = "a working key has 32 bytes, the token opened another number";
                    self.fault(KeyServiceFailure::Malformed, cause).into()
                })
            }
            // If the key opens what it has just sealed, then neither key nor token is to blame.
            Err(error) if may_be_the_ciphertext(&error) && self.works(session, key) => Err(
                refused("the wrap was tampered with, or made for another domain or working key"),
            ),
            Err(error) => Err(error.into()),
        }
    }

    fn works(&self, session: &Session, key: ObjectHandle) -> bool {
        let trial = [0; KEY_LENGTH];
        let Ok(wrap) = self.seal(session, key, b"", &trial) else {
            return false;
        };
        let Some((nonce, sealed)) = wrap
            .blob()
            .get(1..)
            .and_then(|rest| rest.split_first_chunk::<NONCE_LENGTH>())
        else {
            return false;
        };
        let mut nonce = *nonce;
        gcm(&mut nonce, b"")
            .and_then(|parameters| session.decrypt(&Mechanism::AesGcm(parameters), key, sealed))
            .is_ok_and(|opened| opened == trial)
    }
}

fn gcm<'a>(
    nonce: &'a mut [u8],
    associated_data: &'a [u8],
) -> Result<GcmParams<'a>, cryptoki::error::Error> {
    GcmParams::new(nonce, associated_data, TAG_BITS.into())
}

impl fmt::Debug for Pkcs11Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pkcs11Token")
            .field("key", &self.inner.key_name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyService for Pkcs11Token {
    fn provider(&self) -> Provider {
        Provider::Pkcs11
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.inner.key_reference)
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        let associated_data = context.to_associated_data()?;
        self.with_key(move |inner, session, key| {
            let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
            session.generate_random_slice(bytes.as_mut_slice())?;
            let wrap = inner.seal(session, key, &associated_data, bytes.as_slice())?;
            Ok((WorkingKey::from_slice(bytes.as_slice())?, wrap))
        })
        .await
    }

    async fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        let associated_data = context.to_associated_data()?;
        let working_key = Zeroizing::new(*working_key.expose());
        self.with_key(move |inner, session, key| {
            inner.seal(session, key, &associated_data, working_key.as_slice())
        })
        .await
    }

    async fn unwrap(
        &self,
        _permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        check_wrap_is_for(Provider::Pkcs11, self.inner.key_reference, wrap)?;
        let associated_data = context.to_associated_data()?;
        let blob = wrap.blob().to_vec();
        self.with_key(move |inner, session, key| inner.open(session, key, &associated_data, &blob))
            .await
    }

    async fn rewrap(
        &self,
        context: &EncryptionContext,
        wrap: &Wrap,
        source: RewrapSource<'_>,
    ) -> Result<Wrap> {
        match source {
            RewrapSource::SameKey => {}
            RewrapSource::Key(name) if name == self.inner.key_name => {}
            RewrapSource::Key(name) => {
                let cause = format!("what key {name} wrapped is opened there and wrapped here");
                return Err(self.inner.fault(KeyServiceFailure::Misconfigured, &cause));
            }
        }
        check_wrap_is_for(Provider::Pkcs11, self.inner.key_reference, wrap)?;
        let associated_data = context.to_associated_data()?;
        let blob = wrap.blob().to_vec();
        self.with_key(move |inner, session, key| {
            let opened = inner.open(session, key, &associated_data, &blob)?;
            inner.seal(session, key, &associated_data, opened.expose())
        })
        .await
    }

    async fn describe(&self) -> Result<KeyDescription> {
        let (availability, serial) = self
            .with_key(|inner, session, key| {
                let asked = [AttributeType::Encrypt, AttributeType::Decrypt];
                let attributes = session.get_attributes(key, &asked)?;
                let disabled = |attribute: &Attribute| {
                    matches!(
                        attribute,
                        Attribute::Encrypt(false) | Attribute::Decrypt(false)
                    )
                };
                let availability = if attributes.iter().any(disabled) {
                    KeyAvailability::Disabled
                } else {
                    KeyAvailability::Enabled
                };
                Ok((availability, Token::serial(&inner.configuration)?))
            })
            .await?;
        let mut described = KeyDescription::new(
            self.inner.key_name.clone(),
            self.inner.key_reference,
            availability,
        );
        described.serial = Some(serial);
        Ok(described)
    }

    /// At once: a token knows no waiting period.
    async fn schedule_deletion(&self, _waiting_days: u8) -> Result<KeyDeletion> {
        self.in_time(|inner| {
            let configuration = &inner.configuration;
            inner.token.with_writable_session(configuration, |session| {
                let key = inner.find_key(session)?;
                Ok(session.destroy_object(key)?)
            })
        })
        .await?;
        Ok(KeyDeletion {
            key_name: self.inner.key_name.clone(),
            manner: DeletionManner::Destroyed,
            final_from: unix_milliseconds(),
        })
    }
}
