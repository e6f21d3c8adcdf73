//! Sessions of one token: found by its label, logged in, and opened anew when they are lost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as ModuleError, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::classification::{failed, loses_sessions, refuses_the_pin};
use super::configuration::{Pkcs11Configuration, escaped};
use crate::error::{Error, KeyServiceFailure, Result};
use crate::key_service::key_service_error;

/// A module is initialized once for the whole process, and closing it would pull it away from everybody in the process.
static MODULES: LazyLock<Mutex<HashMap<PathBuf, Pkcs11>>> = LazyLock::new(Mutex::default);

/// A token, and sessions that nobody uses at the moment. Everything here blocks.
pub(super) struct Token {
    idle: Mutex<Vec<Session>>,
    /// Set when the token refused the PIN: most tokens count, and lock.
    pin_refused: Mutex<bool>,
}

/// What work on a session can fail with.
pub(super) enum Fault {
    /// The module said so.
    Module(ModuleError),
    /// We did.
    Ours(Error),
}

impl From<ModuleError> for Fault {
    fn from(error: ModuleError) -> Self {
        Self::Module(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Token {
    pub(super) fn new() -> Self {
        Self {
            idle: Mutex::default(),
            pin_refused: Mutex::new(false),
        }
    }

    /// Does `work` on a session that is logged in; once more on a new one, where the first was lost.
    pub(super) fn with_session<T>(
        &self,
        configuration: &Pkcs11Configuration,
        work: impl Fn(&Session) -> Result<T, Fault>,
    ) -> Result<T> {
        let kept = lock(&self.idle).pop();
        if let Some(session) = kept {
            match work(&session) {
                Err(Fault::Module(error)) if loses_sessions(&error) => {
                    tracing::debug!(%error, "sessions of a PKCS#11 token are opened anew");
                    lock(&self.idle).clear();
                }
                outcome => return self.finish(configuration, session, outcome),
            }
        }
        let session = self.open(configuration)?;
        let outcome = work(&session);
        self.finish(configuration, session, outcome)
    }

    /// As [`with_session`](Self::with_session), on a new session that may change what the token holds.
    pub(super) fn with_writable_session<T>(
        &self,
        configuration: &Pkcs11Configuration,
        work: impl Fn(&Session) -> Result<T, Fault>,
    ) -> Result<T> {
        let session = self.open_as(configuration, Pkcs11::open_rw_session)?;
        work(&session).map_err(|fault| match fault {
            Fault::Ours(error) => error,
            Fault::Module(error) => failed(&configuration.key_name(), &error),
        })
    }

    /// The serial number of the token of this label.
    pub(super) fn serial(configuration: &Pkcs11Configuration) -> Result<String> {
        let name = configuration.key_name();
        let module = module(&configuration.module).map_err(|error| failed(&name, &error))?;
        let slot = slot(&module, configuration)?;
        let information = module.get_token_info(slot);
        let information = information.map_err(|error| failed(&name, &error))?;
        Ok(escaped(information.serial_number().trim_end()))
    }

    fn finish<T>(
        &self,
        configuration: &Pkcs11Configuration,
        session: Session,
        outcome: Result<T, Fault>,
    ) -> Result<T> {
        match outcome {
            Ok(value) => {
                lock(&self.idle).push(session);
                Ok(value)
            }
            Err(Fault::Ours(error)) => {
                lock(&self.idle).push(session);
                Err(error)
            }
            // Whatever the session was doing, it may be doing it still.
            Err(Fault::Module(error)) => Err(failed(&configuration.key_name(), &error)),
        }
    }

    fn open(&self, configuration: &Pkcs11Configuration) -> Result<Session> {
        self.open_as(configuration, Pkcs11::open_ro_session)
    }

    fn open_as(
        &self,
        configuration: &Pkcs11Configuration,
        begin: impl Fn(&Pkcs11, Slot) -> Result<Session, ModuleError>,
    ) -> Result<Session> {
        let name = configuration.key_name();
        // Held to the end, so that a wrong PIN is tried once and not by every caller.
        let mut pin_refused = lock(&self.pin_refused);
        if *pin_refused {
            return Err(key_service_error(
                KeyServiceFailure::Denied,
                &format!(
                    "{name}: the token refused the PIN, which is not tried again lest it lock; correct it and start anew"
                ),
            ));
        }
        let module = module(&configuration.module).map_err(|error| failed(&name, &error))?;
        let slot = slot(&module, configuration)?;
        let session = begin(&module, slot).map_err(|error| failed(&name, &error))?;
        let pin = AuthPin::from(configuration.pin.as_str());
        match session.login(UserType::User, Some(&pin)) {
            // Logging in is of the whole process, so another session may have done it.
            Ok(()) | Err(ModuleError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                *pin_refused = refuses_the_pin(&error);
                Err(failed(&name, &error))
            }
        }
    }
}

fn module(path: &Path) -> Result<Pkcs11, ModuleError> {
    let mut modules = lock(&MODULES);
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Under another name, or by somebody else in this process.
        Ok(()) | Err(ModuleError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The one slot with the token of this label.
fn slot(module: &Pkcs11, configuration: &Pkcs11Configuration) -> Result<Slot> {
    let name = configuration.key_name();
    let failed = |error: ModuleError| failed(&name, &error);
    let mut labels = Vec::new();
    let mut found = None;
    for slot in module.get_slots_with_token().map_err(failed)? {
        let information = match module.get_token_info(slot) {
            Ok(information) => information,
            // It was pulled out in this moment.
            Err(ModuleError::Pkcs11(RvError::TokenNotPresent | RvError::DeviceRemoved, _)) => {
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let label = information.label().trim_end().to_owned();
        if label == configuration.token && found.replace(slot).is_some() {
            return Err(key_service_error(
                KeyServiceFailure::Misconfigured,
                &format!("{name}: two tokens have this label; give one of them another"),
            ));
        }
        labels.push(label);
    }
    found.ok_or_else(|| {
        key_service_error(
            KeyServiceFailure::Unavailable,
            &format!("{name}: no such token; there are: {labels:?}"),
        )
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is inside is whole whenever the lock is free.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
