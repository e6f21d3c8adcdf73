//! `sealgate serve`: the gateway of a configuration file.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::reload::Reloader;
use super::service::{Service, StopSignals, runtime};
use crate::config::Config;
use crate::logging;

/// Serve S3 clients as a configuration file says
///
/// When the gateway accepts requests and storage and key services can be used, standard output gets one line: `ready` and
/// the URL. Where they cannot be used yet, the line is `serving` and the URL, the log names the cause and the fix, and
/// `ready` follows as soon as they can. Logs go to standard error.
/// SIGHUP, or a change of the configuration file or of a file that it names, exchanges certificates, credentials, limits
/// and the log's level without a pause. SIGTERM and SIGINT end it gracefully: for limits.drain_delay it still takes
/// requests and says that it is not ready, then running requests finish within limits.shutdown_grace. A second signal ends
/// it at once.
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
    let (config, text) = Config::load_with_text(&arguments.config)?;
    let level = logging::start(config.log)?;
    super::policy::announce(&config, &arguments.config);
    #[cfg(target_os = "linux")]
    super::process_memory::keep_from_swap();
    runtime()?.block_on(async {
        let mut signals = StopSignals::catch()?;
        let service = Service::start(config.clone()).await?;
        let targets = service.reload_targets(level);
        let reloader = Reloader::new(&arguments.config, &config, &text, targets)?;
        tokio::spawn(reloader.run());
        if !service.first_look().await {
            output::line(&format!("serving {}", service.url()))?;
            tracing::warn!("requests are accepted, and the gateway is not ready: what is in the way is logged above");
            tokio::select! {
                () = service.health().ready() => {}
                () = signals.received() => return signals.unless_repeated(service.stop()).await,
            }
        }
        output::line(&format!("ready {}", service.url()))?;
        signals.received().await;
        signals.unless_repeated(service.stop()).await
    })
}
