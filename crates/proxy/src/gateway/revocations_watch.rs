//! Keeps up with the list of revocations. Nothing else is done in this task, so that nothing else keeps it waiting.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sealgate_audit::{Decision, Event, Verdict};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Gateway;
use crate::admin::{Need, Obstacle, Reporter};
use crate::config::RevocationSource;
use crate::grants::{Authority, Source};
use crate::state::grants::GrantRecords;

/// What the check is called in `/readyz` and `/metrics`.
const CHECK: &str = "grant_revocations";

/// From the begin of a look to the begin of the next, if that is over by then.
const INTERVAL: Duration = Duration::from_millis(1_500);

/// How long one look may take. A look that began just before a list was there finds the old one, or nothing, and the next one has it: both together
/// take less than the 5 seconds within which a revocation is effective.
const LOOK_LIMIT: Duration = Duration::from_millis(2_400);

impl Gateway {
    /// Looks for as long as the gateway lives.
    pub(super) fn watch_revocations(self: &Arc<Self>) {
        let watch = Watch {
            gateway: Arc::downgrade(self),
            authority: Arc::clone(&self.grants),
            records: GrantRecords::new(self.state.clone()),
            source: None,
            trouble: None,
            reporter: None,
        };
        tokio::spawn(watch.run());
    }
}

struct Watch {
    gateway: Weak<Gateway>,
    authority: Arc<Authority>,
    records: GrantRecords,
    /// What the configuration says, and what reads there.
    source: Option<(RevocationSource, Source)>,
    /// Why the list could not be taken over the last time.
    trouble: Option<String>,
    /// Where the check goes, from when there are grants.
    reporter: Option<Reporter>,
}

impl Watch {
    async fn run(mut self) {
        while self.gateway.strong_count() > 0 {
            let next = Instant::now() + INTERVAL;
            if let Some(config) = self.authority.config() {
                let trouble = self.look(&config.revocations).await.err();
                let trouble = trouble.map(|error| format!("{error:#}"));
                self.report(trouble.clone().or_else(|| self.authority.aging()));
                self.tell(trouble);
            } else if let Some(reporter) = &self.reporter {
                reporter.report(None);
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Tells `/readyz` and `/metrics`, before grants fail where a list is only old. A gateway does its work without grants, so it stays ready.
    fn report(&mut self, cause: Option<String>) {
        if self.reporter.is_none()
            && let Some(gateway) = self.gateway.upgrade()
        {
            let registered = gateway.health.register(CHECK, Need::Informative);
            self.reporter = Some(registered);
        }
        let fix =
            "see that whatever runs `sealgate grant revoke --renew` every two minutes does so";
        if let Some(reporter) = &self.reporter {
            reporter.report(cause.map(|cause| Obstacle::new(cause, fix)));
        }
    }

    /// What cannot be had changes nothing: the list that is known becomes stale by itself.
    async fn look(&mut self, config: &RevocationSource) -> anyhow::Result<()> {
        if self
            .source
            .as_ref()
            .is_none_or(|(known, _)| known != config)
        {
            self.source = Some((config.clone(), Source::new(config, &self.records)?));
        }
        let Some((_, source)) = &self.source else {
            return Ok(());
        };
        let read = tokio::time::timeout(LOOK_LIMIT, source.read()).await;
        let list = read
            .map_err(|_| anyhow::anyhow!("it has not come within {LOOK_LIMIT:?}"))??
            .ok_or_else(|| anyhow::anyhow!("there is no list of revocations"))?;
        if self.authority.take(&list)? {
            self.record(&list.list);
        }
        Ok(())
    }

    /// Records which list this replica goes by, so that whoever holds the audit log sees one that goes back after a restart, or another one than others
    /// have. Nobody waits for that.
    fn record(&self, text: &str) {
        let (Some(gateway), Some(list)) = (self.gateway.upgrade(), self.authority.newest()) else {
            return;
        };
        let dropped = self.authority.dropped();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                number = list.number,
                "the list of revocations leaves out what one before had revoked; it stays revoked here until a restart. Who signed it?"
            );
        }
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
        let event = Event::intent(Decision {
            operation: "GrantRevocationList".to_owned(),
            policy: Some(format!(
                "number {}, {} revoked, {dropped} left out, SHA-256 {digest}",
                list.number,
                list.revoked.len()
            )),
            ..Decision::new(Verdict::Allow)
        });
        tokio::spawn(async move {
            let Some(audit) = gateway.audit.get() else {
                return;
            };
            if let Err(error) = audit.record(vec![event]).await {
                tracing::warn!(%error, "which list of revocations is gone by is not in the audit log");
            }
        });
    }

    fn tell(&mut self, trouble: Option<String>) {
        if trouble == self.trouble {
            return;
        }
        if let Some(cause) = &trouble {
            tracing::warn!(
                cause,
                "the list of revocations cannot be taken over; grants fail when the one before is stale, and at once where it goes backwards. `sealgate grant revoke --renew` signs a new one"
            );
        } else {
            let number = self.authority.newest().map(|list| list.number);
            tracing::info!(number, "the list of revocations is good");
        }
        self.trouble = trouble;
    }
}
