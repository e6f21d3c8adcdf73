//! `sealgate audit receive`: the other machine.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use sealgate_audit::{Purpose, SigningKey};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    super::{
        output,
        service::{StopSignals, runtime},
    },
    places,
};
use crate::{
    audit::receiver::{Receiver, ReceiverSettings},
    config::{LogConfig, LogFormat, LogLevel},
    logging,
};

/// Take audit logs from gateways, on another machine, and countersign them
///
/// Each checkpoint has to extend the last one; what does not is refused, with an alarm in the log and the evidence in
/// alarms.jsonl. The copies are the gateways' files, byte for byte. When it takes connections, standard output gets one
/// line: `ready` and the URL. SIGHUP reads the certificate, its key and the authorities again.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate audit receive --listen 0.0.0.0:8443 --directory logs --key receiver.key --log replica-1.pub --log replica-2.pub --certificate server.pem --certificate-key server-key.pem --client-ca gateways-ca.pem --publish /srv/www/checkpoints"
)]
pub(super) struct ReceiveArguments {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The directory of the copies
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,

    /// The file with the key to countersign with, from `sealgate audit keygen --receiver`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The public key of a log to take, or a file that holds it; several times for several
    #[arg(long, value_name = "KEY", required = true)]
    log: Vec<String>,

    /// The certificate chain, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// The key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    certificate_key: PathBuf,

    /// The authorities that gateways' certificates must be of, PEM
    #[arg(long, value_name = "FILE")]
    client_ca: PathBuf,

    /// A directory in which the newest countersigned checkpoint of each log is published as a file
    #[arg(long, value_name = "DIRECTORY")]
    publish: Option<PathBuf>,

    /// Log JSON objects instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: ReceiveArguments) -> anyhow::Result<()> {
    let format = if arguments.json {
        LogFormat::Json
    } else {
        LogFormat::Human
    };
    logging::start(LogConfig {
        format,
        level: LogLevel::Info,
    })?;
    let key = SigningKey::parse(&places::small_file(&arguments.key)?)?;
    ensure!(
        key.public().purpose() == Purpose::Cosigner,
        "{} is the key of a log; make one with `sealgate audit keygen --receiver`",
        arguments.key.display()
    );
    let log = |text: &String| places::public_key(text, Purpose::Log);
    let settings = ReceiverSettings {
        address: arguments.listen,
        certificate: arguments.certificate,
        certificate_key: arguments.certificate_key,
        client_ca: arguments.client_ca,
        key,
        logs: arguments.log.iter().map(log).collect::<Result<_, _>>()?,
        directory: arguments.directory,
        publish: arguments.publish,
    };
    runtime()?.block_on(async {
        let mut signals = StopSignals::catch()?;
        let receiver = Receiver::bind(settings).await?;
        let mut hangup = signal(SignalKind::hangup()).context("signals can't be caught")?;
        let reload = receiver.reload();
        output::line(&format!("ready {}", receiver.url()?))?;
        let mut serving = std::pin::pin!(receiver.serve());
        loop {
            tokio::select! {
                () = &mut serving => return Ok(()),
                () = signals.received() => return Ok(()),
                _ = hangup.recv() => match reload() {
                    Ok(()) => tracing::info!("certificate, key and authorities were read again, for new connections"),
                    Err(error) => tracing::error!(
                        error = format!("{error:#}"),
                        "certificate, key or authorities can't be used: what was in effect stays in effect"
                    ),
                },
            }
        }
    })
}
