//! Faults on request: delays, errors, answers that are none, and broken connections, for chosen operations and keys.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, KmsError};
use crate::hook::{RequestInfo, Verdict};
use crate::operation::Operation;

/// Most faults at a time: every request is compared with each.
pub(crate) const MAX_FAULTS: usize = 1000;
/// Longest delay of a request: more than any client waits.
const MAX_DELAY: Duration = Duration::from_hours(1);

/// The codes that a fault may answer with: what AWS KMS answers to requests that are in order.
const FAULT_CODES: [ErrorCode; 9] = [
    ErrorCode::AccessDenied,
    ErrorCode::DependencyTimeout,
    ErrorCode::Disabled,
    ErrorCode::KeyUnavailable,
    ErrorCode::KmsInternal,
    ErrorCode::KmsInvalidState,
    ErrorCode::LimitExceeded,
    ErrorCode::NotFound,
    ErrorCode::Throttling,
];

/// What goes wrong, for which requests, and how long. In JSON the members have these names, and all may be missing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The operations that it strikes; every one if there are none.
    pub operations: Vec<Operation>,
    /// The keys that it strikes, by id, ARN or alias; every request, also one that names no key, if there are none.
    pub keys: Vec<String>,
    /// How long a request waits before anything else happens to it.
    pub delay_milliseconds: u64,
    /// What happens to it then.
    pub then: Ending,
    /// How many requests it strikes; no bound if missing.
    pub times: Option<u64>,
    /// For how long it strikes, from when it was set; for ever if missing.
    pub for_milliseconds: Option<u64>,
}

/// What happens to a request that a fault strikes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The operation runs: the request was only late.
    #[default]
    Proceed,
    /// The answer is an error with this code, such as `ThrottlingException`.
    Error(String),
    /// The answer has this HTTP status and a body that is no KMS answer, like one of a load balancer.
    Status(u16),
    /// The connection is reset without an answer; over HTTP/2 the stream.
    Reset,
}

/// A fault that does not make sense.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("fault {number}: {reason}")]
pub struct FaultError {
    number: usize,
    reason: String,
}

/// A fault that is set, and what has come of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FaultStatus {
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many requests it has struck.
    pub struck: u64,
    /// Whether it still strikes.
    pub active: bool,
}

/// The faults of a server. Cheap to clone; all clones are one list.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    armed: Arc<Mutex<Vec<Armed>>>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    since: Instant,
    struck: u64,
}

impl Faults {
    /// Takes these faults instead of all that there were; their times and counts begin now.
    ///
    /// # Errors
    ///
    /// [`FaultError`], which names the fault, counted from 1, and what is wrong with it; nothing has changed then.
    pub fn set(&self, faults: Vec<Fault>) -> Result<(), FaultError> {
        if faults.len() > MAX_FAULTS {
            return Err(FaultError {
                number: MAX_FAULTS + 1,
                reason: format!("there are more than {MAX_FAULTS}"),
            });
        }
        for (number, fault) in (1..).zip(&faults) {
            fault
                .check()
                .map_err(|reason| FaultError { number, reason })?;
        }
        let since = Instant::now();
        *self.armed() = faults
            .into_iter()
            .map(|fault| Armed {
                fault,
                since,
                struck: 0,
            })
            .collect();
        Ok(())
    }

    /// Every fault as it stands now, in order.
    pub fn status(&self) -> Vec<FaultStatus> {
        let now = Instant::now();
        self.armed()
            .iter()
            .map(|armed| FaultStatus {
                fault: armed.fault.clone(),
                struck: armed.struck,
                active: armed.is_active(now),
            })
            .collect()
    }

    fn armed(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the first fault that is about a request strike it.
    pub(crate) async fn strike(&self, request: &RequestInfo) -> Verdict {
        let Some((delay, verdict)) = self.choose(request, Instant::now()) else {
            return Verdict::Proceed;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        verdict
    }

    fn choose(&self, request: &RequestInfo, now: Instant) -> Option<(Duration, Verdict)> {
        let mut armed = self.armed();
        let found = armed
            .iter_mut()
            .find(|armed| armed.is_active(now) && armed.fault.is_about(request))?;
        found.struck += 1;
        let delay = Duration::from_millis(found.fault.delay_milliseconds);
        Some((delay, found.fault.verdict()))
    }
}

impl Armed {
    fn is_active(&self, now: Instant) -> bool {
        let lasts = self.fault.for_milliseconds.map(Duration::from_millis);
        let age = now.saturating_duration_since(self.since);
        lasts.is_none_or(|lasts| age < lasts)
            && self.fault.times.is_none_or(|times| self.struck < times)
    }
}

impl Fault {
    fn check(&self) -> Result<(), String> {
        if Duration::from_millis(self.delay_milliseconds) > MAX_DELAY {
            return Err(format!("a delay is at most {} s", MAX_DELAY.as_secs()));
        }
        match &self.then {
            Ending::Error(code) if fault_code(code).is_none() => {
                let codes: Vec<_> = FAULT_CODES.iter().map(|code| code.as_str()).collect();
                Err(format!(
                    "'{code}' is no error of a fault; those are {}",
                    codes.join(", ")
                ))
            }
            Ending::Status(status) if !(200..=599).contains(status) => Err(format!(
                "{status} is no status of an answer; give 200 to 599"
            )),
            _ => Ok(()),
        }
    }

    fn is_about(&self, request: &RequestInfo) -> bool {
        let operation = self.operations.is_empty() || self.operations.contains(&request.operation);
        let key = self.keys.is_empty() || self.keys.iter().any(|key| request.keys.contains(key));
        operation && key
    }

    fn verdict(&self) -> Verdict {
        match &self.then {
            Ending::Proceed => Verdict::Proceed,
            Ending::Error(code) => Verdict::Fail(KmsError::new(
                fault_code(code).unwrap_or(ErrorCode::KmsInternal),
                if code == ErrorCode::Throttling.as_str() {
                    "Rate exceeded"
                } else {
                    "a fault on request"
                },
            )),
            Ending::Status(status) => Verdict::Fail(KmsError::bare_status(
                StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            )),
            Ending::Reset => Verdict::Fail(KmsError::reset()),
        }
    }
}

fn fault_code(name: &str) -> Option<ErrorCode> {
    FAULT_CODES.into_iter().find(|code| code.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn request(operation: Operation, keys: &[&str]) -> RequestInfo {
        RequestInfo {
            request_id: Uuid::nil(),
            principal: "test".to_owned(),
            operation,
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        }
    }

    fn faults(text: &str) -> Faults {
        let faults = Faults::default();
        faults.set(serde_json::from_str(text).unwrap()).unwrap();
        faults
    }

    fn strikes(faults: &Faults, operation: Operation, keys: &[&str]) -> bool {
        faults
            .choose(&request(operation, keys), Instant::now())
            .is_some()
    }

    #[test]
    fn a_fault_strikes_its_operations_and_keys_alone() {
        let faults = faults(
            r#"[{"operations": ["Decrypt", "ReEncrypt"], "keys": ["alias/a"], "then": "reset"}]"#,
        );
        assert!(strikes(&faults, Operation::Decrypt, &["x", "alias/a"]));
        assert!(!strikes(&faults, Operation::Decrypt, &["alias/b"]));
        assert!(!strikes(&faults, Operation::Encrypt, &["alias/a"]));
        assert_eq!(faults.status()[0].struck, 1);
    }

    #[test]
    fn the_first_that_still_strikes_decides() {
        let faults = faults(
            r#"[{"times": 1, "then": {"error": "ThrottlingException"}}, {"then": {"status": 503}}]"#,
        );
        let codes: Vec<_> = (0..3)
            .map(
                |_| match faults.choose(&request(Operation::Decrypt, &[]), Instant::now()) {
                    Some((_, Verdict::Fail(error))) => error.code(),
                    other => panic!("{other:?}"),
                },
            )
            .collect();
        assert_eq!(codes[0], ErrorCode::Throttling);
        assert_eq!(codes[1..], [ErrorCode::KmsInternal; 2]);
        let status = faults.status();
        assert!(!status[0].active && status[1].active);
        assert_eq!((status[0].struck, status[1].struck), (1, 2));
    }

    #[test]
    fn a_fault_ends_with_its_time() {
        let faults = faults(r#"[{"for_milliseconds": 1000, "then": "reset"}]"#);
        let asked = request(Operation::Decrypt, &[]);
        let now = Instant::now();
        assert!(faults.choose(&asked, now).is_some());
        assert!(
            faults
                .choose(&asked, now + Duration::from_secs(2))
                .is_none()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let faults = faults(r#"[{"then": "reset"}]"#);
        let refused = |text: &str| {
            faults
                .set(serde_json::from_str(text).unwrap())
                .unwrap_err()
                .to_string()
        };
        assert!(refused(r#"[{}, {"then": {"error": "Oops"}}]"#).contains("fault 2: 'Oops'"));
        assert!(refused(r#"[{"then": {"status": 101}}]"#).contains("200 to 599"));
        assert!(refused(r#"[{"delay_milliseconds": 3600001}]"#).contains("3600 s"));
        assert!(serde_json::from_str::<Fault>(r#"{"operation": "Decrypt"}"#).is_err());
        assert!(serde_json::from_str::<Fault>(r#"{"operations": ["Sign"]}"#).is_err());
        assert_eq!(faults.status().len(), 1);
    }
}
