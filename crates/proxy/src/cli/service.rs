//! Gateway and listener of one process, from the configuration to the stop: the way that `serve` and `dev` share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::admin::{Admin, Health};
use crate::certificate_validity::CertificateValidity;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::listener::{Listener, tls::TlsHandle};
use crate::logging::LevelControl;
use crate::workers::Workers;

use super::reload::{AUDIT_RECEIVER, Targets};

/// How long the first look at storage and key services may take before it is said that the gateway is not ready.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// For how long that certificate is good, where there is a receiver.
fn receiver_certificate(config: &Config) -> anyhow::Result<Option<CertificateValidity>> {
    let receiver = config
        .audit
        .as_ref()
        .and_then(|audit| audit.receiver.as_ref());
    let validity = receiver
        .map(|receiver| CertificateValidity::of_file(&receiver.client_certificate.certificate));
    validity
        .transpose()
        .context("audit.receiver.client_certificate")
}

/// A gateway that answers requests.
pub(super) struct Service {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    admin: Option<JoinHandle<()>>,
    admin_tls: Option<TlsHandle>,
    client_tls: Option<TlsHandle>,
    /// Of the certificate that is shown to the receiver of the audit log, as it was read at the start.
    receiver_certificate: Option<CertificateValidity>,
    gateway: Arc<Gateway>,
    watch: JoinHandle<()>,
    /// To the very end: writes go on when their client is gone.
    _workers: Arc<Workers>,
}

impl Service {
    /// Binds the listener, starts the gateway, and serves.
    pub(super) async fn start(config: Config) -> anyhow::Result<Self> {
        super::open_files::allow(&config.limits);
        let config = Arc::new(config);
        // First what fails at once: a port that is taken should not wait for a key service that is slow.
        let listener = Listener::bind(&config.listener, &config.limits)?;
        let url = listener.url();
        let admin = config.admin.as_ref().map(Admin::bind).transpose()?;
        let gateway = Gateway::start(config)
            .await
            .context("the gateway can't start")?;
        gateway.record_decisions()?;
        let admin_tls = admin.as_ref().and_then(Admin::tls).cloned();
        let client_tls = listener.tls().cloned();
        let admin = admin.map(|admin| {
            tracing::info!(url = admin.url(), "health and metrics are told here");
            let health = Arc::clone(&gateway.health);
            let metrics = Arc::clone(&gateway.metrics);
            if let Some(tls) = &admin_tls {
                metrics.certificates.set("admin", tls.validity().ends());
            }
            // It answers until the process ends: that a gateway drains is said here.
            tokio::spawn(admin.serve(health, metrics, std::future::pending()))
        });
        if let Some(tls) = &client_tls {
            gateway
                .metrics
                .certificates
                .set("client", tls.validity().ends());
        }
        let receiver_certificate = receiver_certificate(&gateway.config)?;
        if let Some(validity) = receiver_certificate {
            let metrics = &gateway.metrics.certificates;
            metrics.set(AUDIT_RECEIVER, validity.ends());
        }
        gateway.watch_storage();
        gateway.watch_credentials();
        gateway.watch_key_services();
        gateway.drop_expired_keys();
        gateway.watch_grants();
        let watch = gateway.watch_control();
        let serving = Arc::clone(&gateway);
        let (stop, stopped) = oneshot::channel();
        let handler = move |request, connection| Arc::clone(&serving).handle(request, connection);
        let workers = Arc::new(Workers::start().context("no threads could be started")?);
        let listener = listener
            .on(Arc::clone(&workers))
            .counting(gateway.metrics.connections.clone());
        let task = tokio::spawn(listener.serve(handler, async {
            // A sender that is gone means the same as one that spoke.
            let _ = stopped.await;
        }));
        Ok(Self {
            url,
            stop,
            task,
            admin,
            admin_tls,
            client_tls,
            receiver_certificate,
            gateway,
            watch,
            _workers: workers,
        })
    }

    /// A URL that reaches the gateway from this machine.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What takes new settings while it runs.
    pub(super) fn reload_targets(&self, level: LevelControl) -> Targets {
        Targets {
            gateway: Arc::clone(&self.gateway),
            client_tls: self.client_tls.clone(),
            admin_tls: self.admin_tls.clone(),
            receiver_certificate: self.receiver_certificate,
            level,
        }
    }

    /// What is known of storage and key services.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.gateway.health
    }

    /// Waits until each of them was asked once, or has taken too long; tells whether the gateway is ready.
    pub(super) async fn first_look(&self) -> bool {
        // What is late is not ready, which the next line says.
        let _ = tokio::time::timeout(FIRST_LOOK, self.health().looked_at()).await;
        self.health().is_ready()
    }

    /// Says that it is not ready, goes on for `limits.drain_delay`, then takes no new requests, lets running ones finish within
    /// `limits.shutdown_grace`, and returns.
    ///
    /// Cancel safety: dropped, requests that are running are cut off when the runtime ends.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.gateway.health.drain();
        let delay = self.gateway.config.limits.drain_delay;
        if !delay.is_zero() {
            tracing::info!(?delay, "not ready any more; requests are still taken");
            tokio::time::sleep(delay).await;
        }
        let _ = self.stop.send(());
        let ended = self.task.await;
        self.watch.abort();
        self.gateway.take_leave().await;
        self.gateway.close_audit().await;
        if let Some(admin) = self.admin {
            admin.abort();
        }
        ended.context("the listener ended by a fault of its own")
    }
}

/// The signals that ask a process to end.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on SIGTERM and SIGINT no longer end the process by themselves.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("signals can't be caught");
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// Returns with the first of them.
    pub(super) async fn received(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping: running requests may finish");
    }

    /// Waits for `ending` to end by itself, or for one more signal, which ends it at once.
    pub(super) async fn unless_repeated(
        &mut self,
        ending: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let again = async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        };
        tokio::select! {
            ended = ending => ended,
            () = again => anyhow::bail!("ended at once by a second signal; requests that were running are cut off"),
        }
    }
}

/// A runtime with a thread for each processor.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads could be started")
}
