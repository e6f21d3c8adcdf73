//! What this gateway can do now: the last finding of each check. Nobody who asks makes anything happen, so a load balancer that asks
//! often costs a key service nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

/// Why something does not work, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub fix: String,
}

impl Obstacle {
    /// An obstacle with its fix.
    pub fn new(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            fix: fix.into(),
        }
    }
}

/// Whether the gateway is ready without a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is not.
    Required,
    /// It is; what is found is only told.
    Informative,
}

/// All checks of one gateway.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    checks: Mutex<Vec<Arc<Check>>>,
    draining: AtomicBool,
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct Check {
    name: String,
    need: Need,
    last: Mutex<Option<Finding>>,
}

#[derive(Clone, Debug)]
struct Finding {
    obstacle: Option<Obstacle>,
    at: Instant,
}

/// Where the findings of one check go.
#[derive(Clone, Debug)]
pub struct Reporter {
    check: Arc<Check>,
    changes: watch::Sender<()>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            checks: Mutex::default(),
            draining: AtomicBool::new(false),
            changes: watch::Sender::new(()),
        }
    }
}

impl Health {
    /// Adds a check. Until its first report, a gateway that requires it is not ready.
    pub fn register(&self, name: impl Into<String>, need: Need) -> Reporter {
        let check = Arc::new(Check {
            name: name.into(),
            need,
            last: Mutex::default(),
        });
        lock(&self.checks).push(Arc::clone(&check));
        Reporter {
            check,
            changes: self.changes.clone(),
        }
    }

    /// From now on the gateway is not ready: it is about to stop, and load balancers should send nothing more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.changes.send_replace(());
    }

    /// Whether a load balancer may send requests here.
    pub fn is_ready(&self) -> bool {
        self.is_ready_without(&[])
    }

    fn is_ready_without(&self, excluded: &[&str]) -> bool {
        let checks = lock(&self.checks);
        let hinders = |check: &Arc<Check>| {
            check.need == Need::Required
                && !excluded.contains(&check.name.as_str())
                && lock(&check.last)
                    .as_ref()
                    .is_none_or(|finding| finding.obstacle.is_some())
        };
        !self.draining.load(Ordering::Relaxed) && !checks.iter().any(hinders)
    }

    /// Every check that has reported: its name, and whether nothing is in the way.
    pub fn findings(&self) -> Vec<(String, bool)> {
        let works = |check: &Arc<Check>| {
            let finding = lock(&check.last).clone()?;
            Some((check.name.clone(), finding.obstacle.is_none()))
        };
        lock(&self.checks).iter().filter_map(works).collect()
    }

    /// Waits until every check has reported once.
    pub async fn looked_at(&self) {
        self.until(|| {
            let checks = lock(&self.checks);
            checks.iter().all(|check| lock(&check.last).is_some())
        })
        .await;
    }

    /// Waits until the gateway is ready.
    pub async fn ready(&self) {
        self.until(|| self.is_ready()).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        while !holds() {
            if changes.changed().await.is_err() {
                // The sender is ours, and lives as long as this future.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What `/livez` says: that somebody answers. It depends on nothing else, or a storage that is away would have every gateway restarted.
    pub fn liveness(&self) -> Value {
        json!({ "alive": true, "uptime_seconds": self.started.elapsed().as_secs() })
    }

    /// Whether the gateway is ready, leaving out the checks of these names, and what `/readyz` says of each.
    pub fn readiness(&self, excluded: &[&str]) -> (bool, Value) {
        let ready = self.is_ready_without(excluded);
        let mut checks: Vec<Value> = lock(&self.checks)
            .iter()
            .map(|check| check.shown(excluded))
            .collect();
        let draining = self.draining.load(Ordering::Relaxed);
        let cause = draining.then_some("the gateway is stopping");
        checks.push(
            json!({ "name": "not_draining", "ok": !draining, "required": true, "cause": cause }),
        );
        (ready, json!({ "ready": ready, "checks": checks }))
    }
}

impl Check {
    fn shown(&self, excluded: &[&str]) -> Value {
        let last = lock(&self.last).clone();
        let obstacle = last.as_ref().and_then(|finding| finding.obstacle.as_ref());
        let cause = match &last {
            None => Some("not checked yet"),
            Some(_) => obstacle.map(|obstacle| obstacle.cause.as_str()),
        };
        json!({
            "name": self.name,
            "ok": last.is_some() && obstacle.is_none(),
            "required": self.need == Need::Required && !excluded.contains(&self.name.as_str()),
            "cause": cause,
            "fix": obstacle.map(|obstacle| obstacle.fix.as_str()),
            "checked_seconds_ago": last.map(|finding| finding.at.elapsed().as_secs()),
        })
    }
}

impl Reporter {
    /// Keeps what was found. Returns whether it is something else than before.
    pub fn report(&self, obstacle: Option<Obstacle>) -> bool {
        let finding = Finding {
            obstacle,
            at: Instant::now(),
        };
        let mut last = lock(&self.check.last);
        let is_news = last
            .as_ref()
            .is_none_or(|before| before.obstacle != finding.obstacle);
        *last = Some(finding);
        drop(last);
        if is_news {
            self.changes.send_replace(());
        }
        is_news
    }

    /// The last finding: `None` before the first, `Some(true)` if nothing is in the way.
    pub fn works(&self) -> Option<bool> {
        lock(&self.check.last)
            .as_ref()
            .map(|finding| finding.obstacle.is_none())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_decides_and_what_is_excluded_does_not() {
        let health = Health::default();
        assert!(health.is_ready());
        let storage = health.register("storage", Need::Required);
        let key = health.register("key_service:1", Need::Informative);
        assert!(!health.is_ready(), "ready before it was checked");
        assert!(storage.report(None));
        assert!(!storage.report(None), "the same is no news");
        key.report(Some(Obstacle::new("down", "start it")));
        assert!(health.is_ready());
        storage.report(Some(Obstacle::new("refused", "other credentials")));
        let (ready, document) = health.readiness(&[]);
        assert!(!ready);
        assert_eq!(document["ready"], false);
        assert_eq!(document["checks"][0]["cause"], "refused");
        assert_eq!(document["checks"][0]["fix"], "other credentials");
        assert_eq!(document["checks"][1]["ok"], false);
        assert_eq!(document["checks"][1]["required"], false);
        assert!(health.readiness(&["storage"]).0);
        health.drain();
        let (ready, document) = health.readiness(&["storage"]);
        assert!(!ready);
        assert_eq!(document["checks"][2]["ok"], false);
    }

    #[tokio::test]
    async fn whoever_waits_is_told() {
        let health = Arc::new(Health::default());
        let storage = health.register("storage", Need::Required);
        let waiting = Arc::clone(&health);
        let waiting = tokio::spawn(async move {
            waiting.looked_at().await;
            waiting.ready().await;
        });
        storage.report(Some(Obstacle::new("down", "wait")));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        storage.report(None);
        waiting.await.unwrap();
    }
}
