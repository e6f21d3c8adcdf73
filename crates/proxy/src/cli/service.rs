//! Gateway and listener of one process, from the configuration to the stop: the way that `serve` and `dev` share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::admin::{Admin, Health};
use crate::config::Config;
use crate::gateway::Gateway;
use crate::listener::Listener;

/// How long the first look at storage and key services may take before it is said that the gateway is not ready.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// A gateway that answers requests.
pub(super) struct Service {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    admin: Option<JoinHandle<()>>,
    gateway: Arc<Gateway>,
    watch: JoinHandle<()>,
}

impl Service {
    /// Binds the listener, starts the gateway, and serves.
    pub(super) async fn start(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        // First what fails at once: a port that is taken should not wait for a key service that is slow.
        let listener = Listener::bind(&config.listener, &config.limits)?;
        let url = listener.url();
        let admin = config.admin.as_ref().map(Admin::bind).transpose()?;
        let gateway = Gateway::start(config)
            .await
            .context("the gateway can't start")?;
        gateway.record_decisions()?;
        let admin = admin.map(|admin| {
            tracing::info!(url = admin.url(), "health and metrics are told here");
            let health = Arc::clone(&gateway.health);
            let metrics = Arc::clone(&gateway.metrics);
            if let Some(expiry) = admin.certificate_expiry() {
                metrics.certificates.set("admin", expiry);
            }
            // It answers until the process ends: that a gateway drains is said here.
            tokio::spawn(admin.serve(health, metrics, std::future::pending()))
        });
        if let Some(expiry) = listener.certificate_expiry() {
            gateway.metrics.certificates.set("client", expiry);
        }
        gateway.watch_storage();
        gateway.watch_key_services();
        gateway.drop_expired_keys();
        let watch = gateway.watch_control();
        let serving = Arc::clone(&gateway);
        let (stop, stopped) = oneshot::channel();
        let handler = move |request, connection| Arc::clone(&serving).handle(request, connection);
        let task = tokio::spawn(listener.serve(handler, async {
            // A sender that is gone means the same as one that spoke.
            let _ = stopped.await;
        }));
        Ok(Self {
            url,
            stop,
            task,
            admin,
            gateway,
            watch,
        })
    }

    /// A URL that reaches the gateway from this machine.
    pub(super) fn url(&self) -> &str {
        &self.url
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

    /// Takes no new requests, lets running ones finish within the grace period, and returns.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
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
}

/// A runtime with a thread for each processor.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads could be started")
}
