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
    pub fn default_deny() -> Self {
        Self::new(false, Vec::new(), Vec::new())
    }

    /// What becomes of it within the scope of a break-glass grant: what no policy allows is allowed, and what one forbids stays forbidden.
    #[must_use]
    pub fn granted(self, grant: &str) -> Self {
        let is_forbidden = !self.allowed && !self.policies.is_empty();
        if is_forbidden || !self.failures.is_empty() {
            return self;
        }
        Self::new(true, vec![format!("grant {grant}").into()], Vec::new())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_allows_what_no_policy_allows_and_nothing_that_one_forbids() {
        let by = |allowed, policies: &[&str], failures: &[&str]| {
            let policies = policies.iter().map(|&name| name.into()).collect();
            let failures = failures.iter().map(|&text| text.to_owned()).collect();
            Decision::new(allowed, policies, failures).granted("G")
        };
        let allowed = Decision::default_deny().granted("G");
        assert_eq!(allowed.to_string(), "allowed by grant G");
        assert!(by(true, &["readers"], &[]).is_allowed());
        assert!(!by(false, &["sealed-drawer"], &[]).is_allowed());
        assert!(!by(false, &[], &["overflow"]).is_allowed());
    }
}
