//! `sealgate-devstore`: the embedded store as a program of its own, for tests and for trying it out.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use sealgate_devstore::{Credentials, Server, Store};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// An S3 store in a directory, for development and tests.
///
/// Prints `ready URL` on standard output when it serves. Logs go to standard error; RUST_LOG chooses
/// them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The directory of the store; made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The access key that clients sign with
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    access_key_id: String,
    /// The secret key that clients sign with; better given by the environment
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_access_key: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // s3s reports every refused request as an error of its own, which a store need not shout about.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,s3s=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let credentials = Credentials::new(arguments.access_key_id, arguments.secret_access_key)?;
    let directory = arguments.dir;
    let store = tokio::task::spawn_blocking(move || Store::open(directory)).await??;
    let server = Server::start(store, arguments.listen, credentials)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut output = std::io::stdout();
    writeln!(output, "ready {}", server.endpoint())?;
    output.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        outcome = tokio::signal::ctrl_c() => outcome.context("cannot listen for SIGINT")?,
    }
    server.shutdown().await;
    Ok(())
}
