//! `side-by-side-load`: asks one proxy the same thing again and again, at little cost: requests are signed before the clock starts, and each
//! connection has a thread of its own that only writes and reads.

mod connection;
mod content;
mod plan;
mod signing;

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};

use crate::{
    connection::{Connection, Endpoint},
    content::Payload,
    plan::Plan,
    signing::Signer,
};

/// Asks an S3 endpoint the same thing again and again, and prints as JSON how long that took.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// What to do
    #[arg(value_enum)]
    work: Work,
    /// http://IP:PORT or https://IP:PORT
    #[arg(long)]
    endpoint: String,
    /// PEM file of the authority that the endpoint's certificate is from
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The access key
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    access_key_id: String,
    /// Its secret
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_access_key: String,
    /// The bucket
    #[arg(long)]
    bucket: String,
    /// How keys begin, or the prefix of a listing
    #[arg(long, default_value = "")]
    prefix: String,
    /// How many keys are used in turn
    #[arg(long, default_value_t = 1)]
    keys: usize,
    /// Bytes of an object
    #[arg(long, default_value_t = 0)]
    size: usize,
    /// Bytes of a part, or of a range
    #[arg(long, default_value_t = 8 << 20)]
    part: usize,
    /// How uploads are signed and checked
    #[arg(long, value_enum, default_value_t = Payload::Unsigned)]
    payload: Payload,
    /// How often
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// How many at once
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Compare what is downloaded
    #[arg(long)]
    verify: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// CreateBucket
    Bucket,
    /// PutObject
    Put,
    /// GetObject
    Get,
    /// HeadObject
    Head,
    /// GetObject of a range
    Range,
    /// ListObjectsV2
    List,
    /// A multipart upload
    Multipart,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let endpoint = Arc::new(Endpoint::new(&arguments.endpoint, arguments.ca.as_deref())?);
    let signer = Signer::new(
        arguments.access_key_id.clone(),
        arguments.secret_access_key.clone(),
        endpoint.authority.clone(),
    );
    let plan = Arc::new(Plan::new(&arguments, signer)?);
    let next = Arc::new(AtomicUsize::new(0));

    let started = Instant::now();
    let threads: Vec<_> = (0..arguments.connections)
        .map(|_| {
            let (endpoint, plan, next) =
                (Arc::clone(&endpoint), Arc::clone(&plan), Arc::clone(&next));
            let count = arguments.count;
            std::thread::spawn(move || work(&endpoint, &plan, &next, count))
        })
        .collect();
    let (mut times, mut bytes) = (Vec::with_capacity(arguments.count), 0);
    for thread in threads {
        let Ok(outcome) = thread.join() else {
            bail!("a thread panicked")
        };
        let (own_times, own_bytes) = outcome?;
        times.extend(own_times);
        bytes += own_bytes;
    }
    let seconds = started.elapsed().as_secs_f64();
    report(times, bytes, seconds)
}

/// Does what is left to do, over one connection. Returns how long each took, and the bytes that were moved.
fn work(
    endpoint: &Endpoint,
    plan: &Plan,
    next: &AtomicUsize,
    count: usize,
) -> anyhow::Result<(Vec<Duration>, u64)> {
    let mut connection = Connection::open(endpoint)?;
    let (mut times, mut bytes) = (Vec::new(), 0);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok((times, bytes));
        }
        let started = Instant::now();
        bytes += plan
            .run(number, &mut connection)
            .with_context(|| format!("request {number}"))?;
        times.push(started.elapsed());
    }
}

fn report(mut times: Vec<Duration>, bytes: u64, seconds: f64) -> anyhow::Result<()> {
    times.sort_unstable();
    let quantile = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .or(times.last())
            .map_or(0.0, Duration::as_secs_f64)
    };
    let report = serde_json::json!({
        "requests": times.len(), "bytes": bytes, "seconds": seconds,
        "p50": quantile(50), "p99": quantile(99),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}
