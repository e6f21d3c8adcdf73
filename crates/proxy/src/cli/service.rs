//! Gateway and listener of one process, from the configuration to the stop: the way that `serve` and `dev` share.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::listener::Listener;

/// A gateway that answers requests.
pub(super) struct Service {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
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
        let gateway = Gateway::start(config)
            .await
            .context("the gateway can't start")?;
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
            gateway,
            watch,
        })
    }

    /// A URL that reaches the gateway from this machine.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Takes no new requests, lets running ones finish within the grace period, and returns.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        let ended = self.task.await;
        self.watch.abort();
        self.gateway.take_leave().await;
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
