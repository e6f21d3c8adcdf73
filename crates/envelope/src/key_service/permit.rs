//! The proof that an unwrap was allowed and recorded.

use std::fmt;
use std::sync::Arc;

/// Proof that a key may be opened: somebody was allowed to, and that intent is on record.
///
/// Everything that turns a wrapped working key into a usable one demands a permit, so a new code path cannot forget to
/// ask: it does not compile. A permit cannot be cloned; whoever asks twice records two intents.
///
/// ```
/// use sealgate_envelope::key_service::UnwrapPermit;
///
/// // In a program with one user, the user's own command is the decision and the record.
/// let permit = UnwrapPermit::issue("sealgate open report.sealed");
/// assert_eq!(permit.intent(), "sealgate open report.sealed");
/// ```
pub struct UnwrapPermit {
    intent: Arc<str>,
}

impl UnwrapPermit {
    /// Makes a permit. **Only policy together with audit may call this, and only after the intent is durable.**
    ///
    /// `intent` names the record of the intent, such as a request id or a sequence number in the audit log. In the
    /// gateway exactly one function calls this; its `clippy.toml` disallows it everywhere else.
    #[must_use]
    pub fn issue(intent: impl Into<Arc<str>>) -> Self {
        Self {
            intent: intent.into(),
        }
    }

    /// The name under which the intent is on record.
    #[must_use]
    pub fn intent(&self) -> &str {
        &self.intent
    }

    /// The permit for checking a key that this process has just made itself, which reveals nothing stored.
    pub(crate) fn self_check() -> Self {
        Self {
            intent: Arc::from("self-check of a new working key"),
        }
    }

    /// The same permit for the task that carries out the unwrap: it outlives the request that asked for it.
    pub(crate) fn carry(&self) -> Self {
        Self {
            intent: Arc::clone(&self.intent),
        }
    }
}

impl fmt::Debug for UnwrapPermit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnwrapPermit")
            .field("intent", &self.intent)
            .finish()
    }
}
