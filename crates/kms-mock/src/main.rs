//! `sealgate-kms-mock`: the key server as a program.

#![forbid(unsafe_code)]

mod arguments;
mod credentials;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sealgate_kms_mock::{RunningServer, TlsIdentity};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(arguments.json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    // Listened for before anybody is told that the server is ready, so that no signal finds the default handler.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let server = builder(&arguments)?.start().await?;
    for alias in &arguments.create_alias {
        tracing::info!(alias, key = server.key_arn(alias), "alias");
    }
    tracing::info!(
        endpoint = server.endpoint(),
        region = server.region(),
        "serving; not for production"
    );
    announce(&server).context("cannot write to standard output")?;

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    server.shutdown().await;
    Ok(())
}

fn builder(arguments: &Arguments) -> Result<sealgate_kms_mock::ServerBuilder> {
    let mut builder = RunningServer::builder()
        .listen(arguments.listen)
        .region(arguments.region.as_str())
        .account(arguments.account.as_str());
    for region in &arguments.replica_region {
        builder = builder.replica_region(region.as_str());
    }
    for principal in credentials::principals(arguments)? {
        builder = builder.principal(principal);
    }
    for alias in &arguments.create_alias {
        builder = builder.alias(alias.as_str());
    }
    if let Some(path) = &arguments.state_dir {
        builder = builder.state_directory(path);
    } else {
        tracing::warn!("without --state-dir the keys end with this process");
    }
    if let Some(path) = &arguments.request_log {
        builder = builder.request_log(path);
    }
    if let Some(address) = arguments.control {
        builder = builder.control(address);
    }
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        let read = |path: &std::path::Path| {
            std::fs::read(path)
                .map(zeroize::Zeroizing::new)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        builder = builder.tls(TlsIdentity::from_pem(&read(certificate)?, &read(key)?)?);
    }
    Ok(builder)
}

fn announce(server: &RunningServer) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    if let Some(endpoint) = server.control_endpoint() {
        writeln!(output, "control {endpoint}")?;
    }
    writeln!(output, "ready {}", server.endpoint())?;
    output.flush()
}
