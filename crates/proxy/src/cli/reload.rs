//! What changes while `sealgate serve` runs: certificates, credentials, some limits, the log's level. Anything else that changes in the file is
//! named, and waits for a restart.
//!
//! Files are looked at, rather than watched: a Kubernetes volume exchanges links, editors exchange files, and network file systems tell nobody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{Need, Obstacle, Reporter};
use crate::certificate_validity::CertificateValidity;
use crate::config::{Config, Fingerprint, TlsFiles, differing_keys, is_live};
use crate::gateway::Gateway;
use crate::listener::tls::{self, TlsHandle};
use crate::logging::LevelControl;
use crate::metrics::ReloadMetrics;

/// How often files are looked at. What differs has to stay the same for so long, so that nothing is read while it is being written.
const INTERVAL: Duration = Duration::from_secs(2);

/// How often the end of a certificate is told in the log, when it is near.
const REMINDER: Duration = Duration::from_hours(24);

/// What the certificate that is shown to the receiver of the audit log is called, in metrics and in the log, beside those of the listeners.
pub(super) const AUDIT_RECEIVER: &str = "audit-receiver";

/// What takes new settings.
pub(super) struct Targets {
    pub(super) gateway: Arc<Gateway>,
    pub(super) client_tls: Option<TlsHandle>,
    pub(super) admin_tls: Option<TlsHandle>,
    /// The certificate that is shown to the receiver of the audit log, since the start.
    pub(super) receiver_certificate: Option<CertificateValidity>,
    pub(super) level: LevelControl,
}

/// A configuration as it was read: its text, and what the files held that it names.
struct Seen {
    text: String,
    files: BTreeMap<String, (PathBuf, Fingerprint)>,
}

impl Seen {
    fn new(config: &Config, text: String) -> Self {
        let files = config.files.iter().map(|file| {
            let fingerprint = Fingerprint::of(&file.path);
            (file.key.clone(), (file.path.clone(), fingerprint))
        });
        Self {
            text,
            files: files.collect(),
        }
    }

    /// The configuration file and all that it names.
    fn paths(&self, path: &Path) -> Vec<PathBuf> {
        let named = self.files.values().map(|(path, _)| path.clone());
        [path.to_owned()].into_iter().chain(named).collect()
    }

    /// The keys that mean something else than in another configuration.
    fn changes(&self, other: &Self) -> Vec<String> {
        let mut keys = differing_keys(&self.text, &other.text);
        for (key, (path, fingerprint)) in &other.files {
            let is_new = match self.files.get(key) {
                Some((old_path, old)) => old_path == path && old != fingerprint,
                None => false,
            };
            if is_new {
                keys.push(key.clone());
            }
        }
        keys
    }
}

/// Follows the configuration file of a running gateway.
pub(super) struct Reloader {
    path: PathBuf,
    targets: Targets,
    /// What this process started with: keys that are not live mean what they meant then.
    started: Seen,
    /// What is in effect.
    applied: Seen,
    hangup: Signal,
    reporter: Reporter,
    metrics: ReloadMetrics,
}

impl Reloader {
    /// From now on SIGHUP no longer ends the process.
    pub(super) fn new(
        path: &Path,
        config: &Config,
        text: &str,
        targets: Targets,
    ) -> anyhow::Result<Self> {
        let reporter = targets
            .gateway
            .health
            .register("configuration", Need::Informative);
        reporter.report(None);
        let metrics = targets.gateway.metrics.reloads.clone();
        metrics.succeeded();
        Ok(Self {
            path: path.to_owned(),
            started: Seen::new(config, text.to_owned()),
            applied: Seen::new(config, text.to_owned()),
            hangup: signal(SignalKind::hangup()).context("signals can't be caught")?,
            reporter,
            metrics,
            targets,
        })
    }

    /// Follows it for ever.
    pub(super) async fn run(mut self) {
        let mut paths = self.applied.paths(&self.path);
        let mut in_effect = look(&paths);
        let mut last = in_effect.clone();
        let mut reminded = tokio::time::Instant::now();
        self.remind();
        loop {
            let is_asked = tokio::select! {
                _ = self.hangup.recv() => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            if reminded.elapsed() >= REMINDER {
                reminded = tokio::time::Instant::now();
                self.remind();
            }
            let now = look(&paths);
            let is_settled = now == last && now != in_effect;
            last.clone_from(&now);
            if !is_asked && !is_settled {
                continue;
            }
            let reason = if is_asked { "SIGHUP" } else { "a file changed" };
            // Files are read and policies compiled: requests go on meanwhile.
            tokio::task::block_in_place(|| self.reload(reason));
            // Also what could not be used is not tried again until it changes, be it while it was read.
            let changed_meanwhile = look(&paths) != now;
            paths = self.applied.paths(&self.path);
            last = look(&paths);
            in_effect = if changed_meanwhile {
                Vec::new()
            } else {
                last.clone()
            };
        }
    }

    /// Reads everything anew, and puts all of it into effect or nothing.
    fn reload(&mut self, reason: &'static str) {
        self.targets.gateway.look_at_credentials();
        match self.try_reload() {
            Ok(Changes { live, waiting }) => {
                self.metrics.succeeded();
                self.metrics.needs_restart(!waiting.is_empty());
                if waiting.is_empty() {
                    self.reporter.report(None);
                } else {
                    let keys = waiting.join(", ");
                    tracing::warn!(
                        keys,
                        "these keys of the configuration have changed and need a restart to take effect"
                    );
                    self.reporter.report(Some(Obstacle::new(
                        format!("changed, and not in effect until a restart: {keys}"),
                        "restart this gateway, or undo the change",
                    )));
                }
                tracing::info!(
                    reason,
                    keys = live.join(", "),
                    "the configuration was read again"
                );
            }
            Err(error) => {
                self.metrics.failed();
                let cause = format!("{error:#}");
                tracing::error!(
                    reason,
                    cause,
                    "the configuration was read again and cannot be used: what was in effect stays in effect"
                );
                self.reporter.report(Some(Obstacle::new(
                    cause,
                    "correct it (`sealgate check --offline` says the same); it is read again when it changes, or on SIGHUP",
                )));
            }
        }
    }

    fn try_reload(&mut self) -> anyhow::Result<Changes> {
        let (config, text) = Config::load_with_text(&self.path)?;
        let seen = Seen::new(&config, text);
        // All that can fail comes before anything takes effect.
        let client = prepared(
            self.targets.client_tls.as_ref(),
            config.listener.tls.as_ref(),
        )?;
        let admin = prepared(self.targets.admin_tls.as_ref(), admin_tls_of(&config))?;
        let prepared = [("client", client), ("admin", admin)];
        for (listener, prepared) in &prepared {
            if let Some((handle, _, validity)) = prepared {
                keep_what_is_good(handle.validity(), *validity)
                    .with_context(|| format!("the certificate of the {listener} listener"))?;
            }
        }
        let gateway = &self.targets.gateway;
        gateway.adopt(&config)?;
        for (listener, prepared) in prepared {
            if let Some((handle, settings, validity)) = prepared {
                handle.set(settings, validity);
                gateway.metrics.certificates.set(listener, validity.ends());
            }
        }
        self.targets.level.set(config.log.level);
        // TLS itself does not come or go while a listener runs.
        let is_switched = |handle: &Option<TlsHandle>, files: Option<&TlsFiles>| {
            handle.is_some() != files.is_some()
        };
        let client_switched = is_switched(&self.targets.client_tls, config.listener.tls.as_ref());
        let admin_switched = is_switched(&self.targets.admin_tls, admin_tls_of(&config));
        let is_tls_switched = |key: &String| {
            client_switched && key.starts_with("listener.tls")
                || admin_switched && key.starts_with("admin.tls")
        };
        let keeps_policy = config.policy.is_none() && gateway.has_policy();
        let waits = |key: &String| {
            !is_live(key) || is_tls_switched(key) || keeps_policy && key.starts_with("policy")
        };
        let mut waiting = self.started.changes(&seen);
        waiting.retain(waits);
        if keeps_policy {
            tracing::warn!(
                "[policy] is gone from the configuration: what it said stays in force until a restart, because without it everything is allowed"
            );
            if !waiting.iter().any(|key| key.starts_with("policy")) {
                waiting.push("policy".to_owned());
            }
        }
        let mut live = self.applied.changes(&seen);
        live.retain(|key| !waits(key));
        self.applied = seen;
        Ok(Changes { live, waiting })
    }

    /// Says which certificates end soon, or are good for nothing.
    fn remind(&self) {
        let targets = &self.targets;
        let of_listener = |handle: &Option<TlsHandle>| handle.as_ref().map(TlsHandle::validity);
        let by_themselves = "its files are read again by themselves";
        let with_a_restart = "then restart this gateway";
        for (of, validity, how) in [
            ("client", of_listener(&targets.client_tls), by_themselves),
            ("admin", of_listener(&targets.admin_tls), by_themselves),
            (AUDIT_RECEIVER, targets.receiver_certificate, with_a_restart),
        ] {
            let Some(validity) = validity else {
                continue;
            };
            if let Some(cause) = validity.fault() {
                tracing::error!(of, cause, how, "the other side refuses this certificate");
            } else if let Some(hours) = validity.hours_left() {
                tracing::warn!(
                    of,
                    hours,
                    how,
                    "the certificate ends soon: put a new one into its file"
                );
            }
        }
    }
}

/// Refuses to exchange a certificate that is good for one that is not.
fn keep_what_is_good(old: CertificateValidity, new: CertificateValidity) -> anyhow::Result<()> {
    match new.fault() {
        Some(cause) if old.fault().is_none() => bail!("{cause}"),
        _ => Ok(()),
    }
}

/// What files hold now.
fn look(paths: &[PathBuf]) -> Vec<Fingerprint> {
    paths.iter().map(|path| Fingerprint::of(path)).collect()
}

/// The keys that took effect, and those that wait for a restart.
struct Changes {
    live: Vec<String>,
    waiting: Vec<String>,
}

fn admin_tls_of(config: &Config) -> Option<&TlsFiles> {
    config.admin.as_ref().and_then(|admin| admin.tls.as_ref())
}

type Prepared<'a> = Option<(
    &'a TlsHandle,
    Arc<rustls::ServerConfig>,
    CertificateValidity,
)>;

/// The settings of a listener's TLS, read anew; none where it has none now or then.
fn prepared<'a>(
    handle: Option<&'a TlsHandle>,
    files: Option<&TlsFiles>,
) -> Result<Prepared<'a>, tls::TlsError> {
    let (Some(handle), Some(files)) = (handle, files) else {
        return Ok(None);
    };
    Ok(Some((
        handle,
        tls::server_config(files)?,
        tls::validity(files)?,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate_validity::tests::ending_in_days;

    #[test]
    fn an_expired_certificate_does_not_take_the_place_of_a_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.pem");
        let read = |days| {
            std::fs::write(&path, ending_in_days(days).0).unwrap();
            CertificateValidity::of_file(&path).unwrap()
        };
        let (good, ended, also_ended) = (read(20), read(-2), read(-1));
        let error = keep_what_is_good(good, ended).unwrap_err();
        assert!(error.to_string().contains("ended at"), "{error}");
        keep_what_is_good(good, good).unwrap();
        keep_what_is_good(ended, good).unwrap();
        keep_what_is_good(ended, also_ended).unwrap();
    }
}
