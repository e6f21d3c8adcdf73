//! Working keys wrapped by the Transit engine of HashiCorp Vault or OpenBao.
//!
//! The key never leaves the server. Calls: `datakey/plaintext`, `encrypt`, `decrypt`, `rewrap` and `keys`, and the deletion
//! of the key where somebody asks for it, each bounded in time ([`VaultLimits`]). Source: Vault API documentation, "Transit secrets engine"; FORMAT.md section 2.
//!
//! A wrap is bound to its domain and working key by the `context` of a *derived* key; additional data would be lost by
//! `rewrap`. A key that is not derived ignores the context, so it is refused. `encrypt` makes a key that does not exist,
//! where the policy allows it, so the key's existence is checked before: a typo makes no key.

mod classification;
mod configuration;
mod session;
mod transport;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use zeroize::{Zeroize, Zeroizing};

pub use self::configuration::{VaultConfiguration, VaultLimits, VaultLogin};
pub use super::trust::{ClientCertificate, TrustRoots};

use self::classification::failed;
use self::session::Session;
use self::transport::{Answer, Transport};
use super::{
    DeletionManner, EncryptionContext, KeyAvailability, KeyDeletion, KeyDescription, KeyService,
    RewrapSource, UnwrapPermit, check_wrap_is_for, failure_of, key_service_error,
    unix_milliseconds,
};
use crate::error::{KeyServiceFailure, Result};
use crate::keys::{KEY_LENGTH, KeyReference, WorkingKey};
use crate::wrap::{Provider, Wrap};

/// The operation that reads a key's settings (Vault API, Transit, "Read key").
const READ_SETTINGS: &str = "keys";

/// The operation that ends it.
const DELETE: &str = "deletion";

/// A derived key in the Transit engine.
pub struct VaultTransit {
    transport: Arc<Transport>,
    session: Arc<Session>,
    configuration: VaultConfiguration,
    key_name: String,
    key_reference: KeyReference,
    /// Set once the key is known to exist and to be derived.
    bound: OnceCell<()>,
}

/// Every successful answer of the engine.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    plaintext: String,
    #[serde(default)]
    ciphertext: String,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

/// What `keys/NAME` says.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    derived: bool,
    #[serde(default)]
    supports_encryption: bool,
    #[serde(default)]
    soft_deleted: bool,
}

#[derive(Serialize)]
struct DeletionAllowed {
    deletion_allowed: bool,
}

#[derive(Serialize)]
struct DataKeyRequest<'a> {
    context: &'a str,
    bits: usize,
}

#[derive(Serialize)]
struct EncryptRequest<'a> {
    context: &'a str,
    plaintext: &'a str,
}

#[derive(Serialize)]
struct CiphertextRequest<'a> {
    context: &'a str,
    ciphertext: &'a str,
}

impl VaultTransit {
    /// Prepares a client. Nothing is sent yet, so this succeeds while the server is down.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) for settings that cannot work: a malformed address or name, an unencrypted
    /// address that was not allowed, certificates that do not parse.
    pub fn connect(configuration: VaultConfiguration) -> Result<Self> {
        configuration.check()?;
        let transport = Arc::new(Transport::new(&configuration)?);
        let key_name = configuration.key_name();
        Ok(Self {
            session: Session::new(configuration.login.clone(), Arc::clone(&transport)),
            transport,
            key_reference: KeyReference::of(Provider::VaultTransit, &key_name)?,
            key_name,
            configuration,
            bound: OnceCell::new(),
        })
    }

    fn path(&self, operation: &str) -> String {
        format!(
            "{}/{operation}/{}",
            self.configuration.mount, self.configuration.key
        )
    }

    /// An operation as a whole: its calls, what must be found out about the key first, and waiting for others that are
    /// finding it out, all within one time.
    async fn in_time<T>(
        &self,
        operation: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::time::timeout(self.configuration.limits.operation_timeout, work)
            .await
            .unwrap_or_else(|_| {
                Err(key_service_error(
                    KeyServiceFailure::Unavailable,
                    &format!(
                        "{operation} with Vault key {}: no answer in time",
                        self.key_name
                    ),
                ))
            })
    }

    /// One call with its retries.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        operation: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T> {
        let answer = self
            .ask(method, operation, &self.path(operation), body)
            .await?;
        answer.parse::<Data<T>>(operation).map(|answer| answer.data)
    }

    /// As [`call`](Self::call), for answers that say no more than that it was done.
    async fn ask(
        &self,
        method: Method,
        operation: &str,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer> {
        let limits = &self.configuration.limits;
        (|| self.attempt(method.clone(), operation, path, body))
            .retry(
                ExponentialBuilder::default()
                    .with_min_delay(limits.initial_backoff)
                    .with_max_delay(limits.max_backoff)
                    .with_max_times(
                        usize::try_from(limits.attempts)
                            .unwrap_or(1)
                            .saturating_sub(1),
                    )
                    .with_jitter(),
            )
            .when(|error| failure_of(error).is_some_and(KeyServiceFailure::is_transient))
            .await
    }

    /// One try; with a second token where the first was refused and another login may help.
    async fn attempt(
        &self,
        method: Method,
        operation: &str,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer> {
        let token = self.session.token().await?;
        let mut answer = self
            .transport
            .send(method.clone(), path, Some(&token), body)
            .await?;
        // A policy need not allow reading the key's settings, so that refusal says nothing of the token; a token that has ended shows at the next
        // wrap.
        if answer.status == StatusCode::FORBIDDEN
            && operation != READ_SETTINGS
            && self.session.replace(&token).await
        {
            let token = self.session.token().await?;
            answer = self
                .transport
                .send(method, path, Some(&token), body)
                .await?;
        }
        if !answer.status.is_success() {
            return Err(failed(operation, &self.key_name, &answer));
        }
        Ok(answer)
    }

    async fn read_description(&self) -> Result<Description> {
        self.call(Method::GET, READ_SETTINGS, None::<&()>).await
    }

    /// Makes sure, once, that the key exists and binds wraps to their context.
    async fn ensure_bound(&self) -> Result<()> {
        self.bound
            .get_or_try_init(|| async {
                match self.read_description().await {
                    Ok(description) => self.check_description(&description),
                    // A policy need not allow reading the key's settings: then its behaviour has to show them.
                    Err(error) if failure_of(&error) == Some(KeyServiceFailure::Denied) => {
                        self.try_whether_bound().await
                    }
                    Err(error) => Err(error),
                }
            })
            .await
            .copied()
    }

    fn check_description(&self, description: &Description) -> Result<()> {
        if !description.derived {
            return Err(self.not_derived());
        }
        if !description.supports_encryption {
            return Err(key_service_error(
                KeyServiceFailure::Misconfigured,
                &format!(
                    "the Vault key {} cannot encrypt; make one with type=aes256-gcm96 derived=true",
                    self.key_name
                ),
            ));
        }
        Ok(())
    }

    fn not_derived(&self) -> crate::Error {
        key_service_error(
            KeyServiceFailure::Misconfigured,
            &format!(
                "the Vault key {} is not derived, so its wraps would not be bound to their domain; make another one with \
                 type=aes256-gcm96 derived=true (a key cannot be changed to it)",
                self.key_name
            ),
        )
    }

    /// A key that opens under another context than it was made for is not derived.
    async fn try_whether_bound(&self) -> Result<()> {
        let made: Keys = self
            .data_key(&BASE64.encode(b"sealgate: one context"))
            .await?;
        // What is no wrap of this key would be refused in any context.
        self.wrap_from_answer("datakey", &made.ciphertext)?;
        let other = BASE64.encode(b"sealgate: another context");
        let request = CiphertextRequest {
            context: &other,
            ciphertext: &made.ciphertext,
        };
        match self
            .call::<Keys>(Method::POST, "decrypt", Some(&request))
            .await
        {
            Ok(_) => Err(self.not_derived()),
            Err(error) => match failure_of(&error) {
                Some(KeyServiceFailure::Refused) => Ok(()),
                Some(KeyServiceFailure::Denied) => Err(key_service_error(
                    KeyServiceFailure::Denied,
                    &format!(
                        "whether the Vault key {} is derived cannot be found out; allow read on {}",
                        self.key_name,
                        self.path("keys")
                    ),
                )),
                _ => Err(error),
            },
        }
    }

    async fn data_key(&self, context: &str) -> Result<Keys> {
        let request = DataKeyRequest {
            context,
            bits: KEY_LENGTH * 8,
        };
        self.call(Method::POST, "datakey/plaintext", Some(&request))
            .await
    }

    fn wrap_from_answer(&self, operation: &str, ciphertext: &str) -> Result<Wrap> {
        if !ciphertext.starts_with("vault:v") {
            return Err(self.malformed(operation, "the answer has no ciphertext"));
        }
        Wrap::new(
            Provider::VaultTransit,
            self.key_reference,
            ciphertext.as_bytes().to_vec(),
        )
        .map_err(|error| self.malformed(operation, error.detail()))
    }

    fn working_key_from_answer(&self, operation: &str, plaintext: &str) -> Result<WorkingKey> {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        let fault = || self.malformed(operation, "a working key has 32 bytes in base64");
        // The decoder wants room for what the padding stands for, too.
        let mut decoded = Zeroizing::new([0_u8; KEY_LENGTH + 3]);
        if BASE64.decode_len(plaintext.len()) != Ok(decoded.len() - 2) {
            return Err(fault());
        }
        let room = decoded.get_mut(..KEY_LENGTH + 1).ok_or_else(fault)?;
        let length = BASE64
            .decode_mut(plaintext.as_bytes(), room)
            .map_err(|_| fault())?;
        let bytes = decoded
            .get(..length)
            .filter(|bytes| bytes.len() == KEY_LENGTH)
            .ok_or_else(fault)?;
        key.copy_from_slice(bytes);
        WorkingKey::from_slice(key.as_slice())
    }

    fn malformed(&self, operation: &str, cause: &str) -> crate::Error {
        key_service_error(
            KeyServiceFailure::Malformed,
            &format!("{operation} with Vault key {}: {cause}", self.key_name),
        )
    }

    /// The blob of a wrap as the text that the engine gave.
    fn ciphertext<'a>(&self, wrap: &'a Wrap) -> Result<&'a str> {
        std::str::from_utf8(wrap.blob()).map_err(|_| {
            key_service_error(
                KeyServiceFailure::Refused,
                &format!(
                    "the wrap is not one that the Vault key {} made",
                    self.key_name
                ),
            )
        })
    }
}

fn context_text(context: &EncryptionContext) -> Result<String> {
    Ok(BASE64.encode(&context.to_associated_data()?))
}

impl fmt::Debug for VaultTransit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VaultTransit")
            .field("address", &self.configuration.address)
            .field("key", &self.key_name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyService for VaultTransit {
    fn provider(&self) -> Provider {
        Provider::VaultTransit
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.key_reference)
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        let context = context_text(context)?;
        let made = self
            .in_time("datakey", async {
                self.ensure_bound().await?;
                self.data_key(&context).await
            })
            .await?;
        let working_key = self.working_key_from_answer("datakey", &made.plaintext)?;
        let wrap = self.wrap_from_answer("datakey", &made.ciphertext)?;
        Ok((working_key, wrap))
    }

    async fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        let context = context_text(context)?;
        let plaintext = Zeroizing::new(BASE64.encode(working_key.expose()));
        let request = EncryptRequest {
            context: &context,
            plaintext: &plaintext,
        };
        let wrapped: Keys = self
            .in_time("encrypt", async {
                self.ensure_bound().await?;
                // `datakey` fails where there is no key, and `encrypt` would make one: a key that was deleted since must
                // not come back as another one.
                drop(self.data_key(&context).await?);
                self.call(Method::POST, "encrypt", Some(&request)).await
            })
            .await?;
        self.wrap_from_answer("encrypt", &wrapped.ciphertext)
    }

    async fn unwrap(
        &self,
        _permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        check_wrap_is_for(Provider::VaultTransit, self.key_reference, wrap)?;
        let context = context_text(context)?;
        let request = CiphertextRequest {
            context: &context,
            ciphertext: self.ciphertext(wrap)?,
        };
        let opened: Keys = self
            .in_time("decrypt", async {
                self.ensure_bound().await?;
                self.call(Method::POST, "decrypt", Some(&request)).await
            })
            .await?;
        self.working_key_from_answer("decrypt", &opened.plaintext)
    }

    async fn rewrap(
        &self,
        context: &EncryptionContext,
        wrap: &Wrap,
        source: RewrapSource<'_>,
    ) -> Result<Wrap> {
        match source {
            RewrapSource::SameKey => {}
            RewrapSource::Key(name) if name == self.key_name => {}
            RewrapSource::Key(name) => {
                return Err(key_service_error(
                    KeyServiceFailure::Misconfigured,
                    &format!(
                        "Vault cannot rewrap from key {name} to key {}; open it there and wrap it here",
                        self.key_name
                    ),
                ));
            }
        }
        check_wrap_is_for(Provider::VaultTransit, self.key_reference, wrap)?;
        let context = context_text(context)?;
        let request = CiphertextRequest {
            context: &context,
            ciphertext: self.ciphertext(wrap)?,
        };
        let rewrapped: Keys = self
            .in_time("rewrap", async {
                self.ensure_bound().await?;
                self.call(Method::POST, "rewrap", Some(&request)).await
            })
            .await?;
        self.wrap_from_answer("rewrap", &rewrapped.ciphertext)
    }

    async fn describe(&self) -> Result<KeyDescription> {
        let describing = async {
            match self.read_description().await {
                Ok(description) => {
                    self.check_description(&description)?;
                    Ok(if description.soft_deleted {
                        KeyAvailability::PendingDeletion
                    } else {
                        KeyAvailability::Enabled
                    })
                }
                Err(error) if failure_of(&error) == Some(KeyServiceFailure::Denied) => {
                    self.ensure_bound().await?;
                    Ok(KeyAvailability::Enabled)
                }
                Err(error) => Err(error),
            }
        };
        let availability = self.in_time(READ_SETTINGS, describing).await?;
        Ok(KeyDescription::new(
            self.key_name.clone(),
            self.key_reference,
            availability,
        ))
    }

    /// At once: Transit knows no waiting period.
    async fn schedule_deletion(&self, _waiting_days: u8) -> Result<KeyDeletion> {
        let deleting = async {
            // What is not there must not count as deleted by us: the name may be mistyped.
            self.read_description().await?;
            let path = self.path(READ_SETTINGS);
            let settings = format!("{path}/config");
            let allow = |deletion_allowed| DeletionAllowed { deletion_allowed };
            self.ask(Method::POST, "config", &settings, Some(&allow(true)))
                .await?;
            let deleted = self.ask(Method::DELETE, DELETE, &path, None::<&()>).await;
            // The answer to a deletion may have been lost, and another attempt finds nothing.
            match self.read_description().await {
                Err(error) if failure_of(&error) == Some(KeyServiceFailure::NotFound) => Ok(()),
                Ok(_) => {
                    // Nobody else is to delete it by what was allowed for this attempt.
                    let forbidden = self
                        .ask(Method::POST, "config", &settings, Some(&allow(false)))
                        .await;
                    if let Err(error) = forbidden {
                        tracing::warn!(key = %self.key_name, error = error.detail(), "a key was not deleted, and its deletion_allowed is set still");
                    }
                    Err(deleted.err().unwrap_or_else(|| {
                        self.malformed(DELETE, "the key is still there after its deletion")
                    }))
                }
                Err(error) => Err(error),
            }
        };
        self.in_time(DELETE, deleting).await?;
        Ok(KeyDeletion {
            key_name: self.key_name.clone(),
            manner: DeletionManner::Deleted,
            final_from: unix_milliseconds(),
        })
    }
}
