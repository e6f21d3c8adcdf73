//! Probes: small experiments that tell what a storage and a key service do, rather than what they say.

mod key_service;
mod storage;

use crate::config::Config;

/// What one experiment showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What it was about, by the configuration's key where there is one.
    pub(super) subject: String,
    pub(super) outcome: Outcome,
    /// For people: what was seen, and what to do about it.
    pub(super) detail: String,
}

/// How an experiment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As a gateway needs it.
    Ok,
    /// Not there, and a gateway does without.
    Missing,
    /// Not there, and a gateway would not work or not be safe.
    Failed,
}

impl Finding {
    pub(super) fn new(
        subject: impl Into<String>,
        outcome: Outcome,
        detail: impl std::fmt::Display,
    ) -> Self {
        Self {
            subject: subject.into(),
            outcome,
            detail: detail.to_string(),
        }
    }

    pub(super) fn ok(subject: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::new(subject, Outcome::Ok, detail)
    }

    pub(super) fn failed(subject: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::new(subject, Outcome::Failed, detail)
    }
}

/// Probes every server that the configuration names.
pub(super) async fn run(config: &Config) -> Vec<Finding> {
    let mut findings = storage::probe(config).await;
    for (index, service) in config.key_services.iter().enumerate() {
        findings.push(key_service::probe(&format!("key_service[{index}]"), service).await);
    }
    findings
}
