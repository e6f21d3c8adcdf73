//! `sealgate dev`: storage, key server and gateway on this machine, for newcomers and for tests.
//!
//! The parts are reached as they would be anywhere, over HTTP on ports of their own, and the gateway gets a
//! configuration like any other. Nothing here is a shortcut that `serve` does not take.

mod embedded;
mod guide;
mod hex_dump;
mod plan;
mod round_trip;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use self::embedded::Embedded;
use self::settings::Settings;
use super::kms;
use super::output;
use super::service::{Service, StopSignals, runtime};
use crate::config::LogConfig;
use crate::logging;

/// Try it: storage, key server and gateway on this machine, nothing to install
///
/// Makes credentials and keeps them in the directory, stores and fetches one object, shows what the storage holds of
/// it, prints lines to paste for the aws CLI and boto3, and serves until it is stopped. When the gateway accepts
/// requests, standard output gets one line: `ready` and the URL. Logs go to standard error.
///
/// Not for real data: the keys lie beside the data, and the links are plaintext within this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Environment:
  SEALGATE_ACCESS_KEY_ID, SEALGATE_SECRET_ACCESS_KEY
      credentials of clients, instead of the ones made here
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION
      credentials for --upstream, as every SDK reads them
  SEALGATE_KMS_ACCESS_KEY_ID, SEALGATE_KMS_SECRET_ACCESS_KEY
      credentials for --kms-key; without them the AWS ones

Examples:
  sealgate dev
  sealgate dev --listen 127.0.0.1:0 --dir /tmp/try
  sealgate dev --upstream http://127.0.0.1:9000
  sealgate dev --kms-endpoint http://127.0.0.1:4599 --kms-key alias/dev
  sealgate dev --upstream https://s3.amazonaws.com --kms-key alias/sealgate")]
pub(super) struct DevArguments {
    /// The address that clients connect to; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8014", value_parser = socket_address)]
    listen: SocketAddr,

    /// Where everything is kept: credentials, deployment id, embedded storage and keys
    #[arg(long, value_name = "DIR", default_value = "sealgate-dev")]
    dir: PathBuf,

    /// A real S3 storage instead of the embedded one
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// A KMS instead of the embedded key server; AWS's own where only --kms-key is given
    #[arg(long, value_name = "URL", requires = "kms_key")]
    kms_endpoint: Option<String>,

    /// The key in that KMS: id, ARN or alias
    #[arg(long, value_name = "ID")]
    kms_key: Option<String>,

    /// The deployment id; gateways share data when they share it, the upstream and the key [default: kept in DIR]
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
}

pub(super) fn run(arguments: DevArguments) -> anyhow::Result<()> {
    logging::start(LogConfig::default())?;
    runtime()?.block_on(serve(arguments))
}

async fn serve(arguments: DevArguments) -> anyhow::Result<()> {
    let mut signals = StopSignals::catch()?;
    let settings = Settings::open(&arguments.dir)?;
    let plan = plan::make(&arguments, settings, &kms::process_environment)?;
    let embedded = Embedded::start(&plan).await?;
    let config = plan.config(&embedded)?;
    let service = Service::start(config.clone()).await?;
    let exchange = match round_trip::run(service.url(), &config).await {
        Ok(exchange) => Ok(exchange),
        Err(round_trip::Failure::NotPossible(cause)) if plan.upstream.is_some() => {
            // Somebody else's storage may well forbid new buckets; that is no reason not to serve.
            tracing::warn!(%cause, "the round trip at start was left out");
            Err(cause)
        }
        Err(failure) => {
            return Err(failure)
                .context("the round trip at start failed; what is logged above says why");
        }
    };
    output::line(&guide::render(
        &plan,
        &embedded,
        service.url(),
        exchange.as_ref(),
    ))?;
    output::line(&format!("ready {}", service.url()))?;
    signals.received().await;
    service.stop().await?;
    embedded.stop().await;
    Ok(())
}

fn socket_address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse()
        .map_err(|_| anyhow::anyhow!("write an IP address and a port, such as 127.0.0.1:8014"))
}
