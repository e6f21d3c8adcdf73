//! `sealgate serve`: the gateway of a configuration file.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::service::{Service, StopSignals, runtime};
use crate::config::Config;
use crate::logging;

/// Serve S3 clients as a configuration file says
///
/// When the gateway accepts requests and storage and key services can be used, standard output gets one line: `ready` and
/// the URL. Where they cannot be used yet, the line is `serving` and the URL, the log names the cause and the fix, and
/// `ready` follows as soon as they can. Logs go to standard error.
/// SIGTERM and SIGINT end it gracefully: running requests finish within limits.shutdown_grace.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate check --config sealgate.toml && sealgate serve --config sealgate.toml"
)]
pub(super) struct ServeArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,
}

pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    logging::start(config.log)?;
    #[cfg(target_os = "linux")]
    super::process_memory::keep_from_swap();
    runtime()?.block_on(async {
        let mut signals = StopSignals::catch()?;
        let service = Service::start(config).await?;
        if !service.first_look().await {
            output::line(&format!("serving {}", service.url()))?;
            tracing::warn!("requests are accepted, and the gateway is not ready: what is in the way is logged above");
            tokio::select! {
                () = service.health().ready() => {}
                () = signals.received() => return service.stop().await,
            }
        }
        output::line(&format!("ready {}", service.url()))?;
        signals.received().await;
        service.stop().await
    })
}
