//! Whether the log can be written and its receiver can be reached, for `/readyz`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Audit;
use crate::admin::{Health, Need, Obstacle, Reporter};
use crate::config::{AuditConfig, OnFailure};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(200);

struct Checks {
    log: Reporter,
    receiver: Option<Reporter>,
}

impl Audit {
    /// Tells of the log from now on, and holds decisions back while more waits for the receiver than may.
    pub fn watch(self: &Arc<Self>, config: &AuditConfig, health: &Health) {
        // Where requests go on unrecorded, a gateway that can't record is of use all the same.
        let need = match config.on_failure {
            OnFailure::Deny => Need::Required,
            OnFailure::Allow => Need::Informative,
        };
        let checks = Checks {
            log: health.register("audit", need),
            receiver: config
                .receiver
                .is_some()
                .then(|| health.register("audit_receiver", Need::Informative)),
        };
        let spool = config.receiver.as_ref().map(|receiver| receiver.spool);
        self.look(&checks, spool);
        tokio::spawn(watch(Arc::downgrade(self), checks, spool));
    }

    fn look(&self, checks: &Checks, spool: Option<u64>) {
        if let Some(spool) = spool {
            self.delivery.note(self.position().size);
            self.bound(spool);
        }
        let obstacle = self.obstacle();
        let was_in_the_way = checks.log.works() == Some(false);
        if checks.log.report(obstacle.clone()) {
            match obstacle {
                Some(Obstacle { cause, fix }) => {
                    tracing::error!(cause, fix, "not ready: nothing can be recorded");
                }
                None if was_in_the_way => tracing::info!("records are taken again"),
                None => {}
            }
        }
        if let Some(receiver) = &checks.receiver {
            receiver.report(self.delivery.trouble().map(|cause| {
                Obstacle::new(
                    cause,
                    "look whether `sealgate audit receive` runs there, and whether it takes this log and this gateway's certificate; `sealgate check` asks it. Records wait meanwhile, up to audit.receiver.spool",
                )
            }));
        }
    }

    /// Decisions are held back while more than this waits for the receiver.
    fn bound(&self, spool: u64) {
        let waits = self.waiting_bytes();
        if self.full.load().is_some() == (waits > spool) {
            return;
        }
        self.fill((waits > spool).then(|| {
            format!("{waits} bytes wait for the receiver, and audit.receiver.spool is {spool}")
        }));
    }

    fn obstacle(&self) -> Option<Obstacle> {
        if let Some(what) = self.fork.load_full() {
            return Some(Obstacle::new(
                format!("ALARM: the receiver refuses the log: {what}"),
                "find out whether the log was rolled back or altered, or whether two gateways have one key (docs/audit.md, ALARM); then give this gateway a new directory and a new key, and the receiver its public key",
            ));
        }
        if let Some(cause) = self.full.load_full() {
            return Some(Obstacle::new(
                cause.as_str(),
                "bring the receiver back: the check audit_receiver says what is the matter with it. A larger spool only wins time",
            ));
        }
        let cause = self.log.failure()?;
        Some(Obstacle::new(
            format!("the audit log can't be written: {cause}"),
            "make room on the disk of audit.directory, or mend it; it is tried again every 2 seconds",
        ))
    }
}

async fn watch(audit: Weak<Audit>, checks: Checks, spool: Option<u64>) {
    while let Some(audit) = audit.upgrade() {
        audit.look(&checks, spool);
        drop(audit);
        tokio::time::sleep(LOOK).await;
    }
}
