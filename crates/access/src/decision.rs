//! The answer of a policy, and why.

use std::{fmt, sync::Arc};

/// Whether something may be done, and what decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    allowed: bool,
    policies: Vec<Arc<str>>,
    failures: Vec<String>,
}

impl Decision {
    pub(crate) fn new(allowed: bool, policies: Vec<Arc<str>>, failures: Vec<String>) -> Self {
        Self {
            allowed,
            policies,
            failures,
        }
    }

    /// That no policy speaks about it.
    pub(crate) fn default_deny() -> Self {
        Self::new(false, Vec::new(), Vec::new())
    }

    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// The names of the policies and rules that decided: those that allowed it, or those that forbade it. None where it was denied because no
    /// policy allows it.
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }

    /// Policies that could not be evaluated, and why. Such a request is denied: the policy might have forbidden it.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

/// The reason for people; not for the answer to a client, who is not told about policies.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [first, ..] = self.failures.as_slice() {
            return write!(
                f,
                "denied, because a policy could not be evaluated: {first}"
            );
        }
        match (self.allowed, self.policies.as_slice()) {
            (true, policies) => write!(f, "allowed by {}", policies.join(", ")),
            (false, []) => f.write_str("denied, because no policy allows it"),
            (false, policies) => write!(f, "forbidden by {}", policies.join(", ")),
        }
    }
}
