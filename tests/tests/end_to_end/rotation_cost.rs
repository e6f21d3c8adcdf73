//! What it costs to move to another key: the same for ten objects and for a hundred thousand, because no object is touched.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealgate_tests::{
    rig::{bounded, put},
    servers::{Action, Asked, Devstore, Gateway, GatewaySettings, KeyServer, Meddler, report},
};
use serde_json::Value;

use crate::retirement::named;

const BUCKET: &str = "rotated";

/// Objects that are written at once while the storage is filled.
const WRITERS: usize = 16;

/// Commands to gateways, and their records.
const CONTROL: &str = "control";

/// Requests by what they are.
type Counts = BTreeMap<String, usize>;

/// What one command cost.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    storage: Counts,
    key_services: Counts,
}

struct Measured {
    objects: usize,
    costs: Vec<(&'static str, Cost, Duration)>,
}

fn of_key_services(servers: &[&KeyServer]) -> Result<Counts> {
    let mut counts = Counts::new();
    for server in servers {
        for request in server.requests()? {
            let operation = request.get("operation").and_then(Value::as_str);
            let operation = operation.context("operation")?;
            *counts.entry(operation.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

fn since(before: &Counts, now: &Counts) -> Counts {
    let more = now.iter().map(|(name, count)| {
        let earlier = before.get(name).copied().unwrap_or_default();
        (name.clone(), count - earlier)
    });
    more.filter(|(_, count)| *count > 0).collect()
}

/// What a request to the storage is about: one to a bucket other than the gateway's own is about objects. What gateways are told, and say, comes by time
/// and not by what is stored.
fn kind(asked: &Asked) -> String {
    let is_state = asked.path.starts_with("/sealgate-state-");
    let what = if asked.path.starts_with(&format!("/{BUCKET}")) {
        "objects"
    } else if is_state && (asked.path.contains("/control/") || asked.query.contains("control%2F")) {
        return CONTROL.to_owned();
    } else if is_state && asked.path.contains("/registry/") {
        "registry record"
    } else if is_state {
        "state bucket"
    } else {
        "other"
    };
    format!("{} {what}", asked.method)
}

/// Fills a storage with so many empty objects, moves their working keys to another key, and lets a gateway make new ones.
async fn measure(objects: usize) -> Result<Measured> {
    let directory = tempfile::tempdir()?;
    let second = directory.path().join("second");
    std::fs::create_dir(&second)?;
    let storage = Devstore::start(directory.path())?;
    let old = KeyServer::start(directory.path(), None)?;
    let new = KeyServer::start(&second, None)?;
    let writing = Gateway::start(
        GatewaySettings::new(&storage.endpoint, &old.endpoint),
        directory.path(),
    )?;
    let client = writing.endpoint.s3()?;
    client.create_bucket().bucket(BUCKET).send().await?;
    stream::iter(0..objects)
        .map(|number| {
            let client = client.clone();
            async move { put(&client, BUCKET, &format!("object-{number:06}"), b"").await }
        })
        .buffer_unordered(WRITERS)
        .try_collect::<Vec<()>>()
        .await?;
    drop(writing);

    let seen = Arc::new(Mutex::new(Counts::new()));
    let counter = Arc::clone(&seen);
    let counted = Meddler::start(&storage.endpoint, move |asked: Asked| {
        let mut counts = counter.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind(&asked)).or_default() += 1;
        Box::pin(std::future::ready(Action::Pass))
    })
    .await?;
    let mut gateway = Gateway::start(
        GatewaySettings {
            more: named("new", &new.endpoint),
            upstream: "checksum_trailer = \"never\"".to_owned(),
            ..GatewaySettings::new(&counted.endpoint, &old.endpoint)
        },
        directory.path(),
    )?;
    // Only its configuration is needed; it should ask nobody anything meanwhile, and leave no record for which `keys rotate` would wait.
    gateway.process.terminate(Duration::from_secs(20))?;
    let requests = || seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut costs = Vec::new();
    for command in ["keys rewrap", "keys rewrap --renew"] {
        let before = (requests(), of_key_services(&[&old, &new])?);
        let started = Instant::now();
        let mut process = gateway.command("keys rewrap")?;
        process.args(command.split(' ').skip(2));
        let (succeeded, report, said) = report(&mut process, Duration::from_mins(2))?;
        let time = started.elapsed();
        ensure!(
            succeeded && report.get("rewrapped").and_then(Value::as_u64) >= Some(1),
            "{report} {said}"
        );
        let cost = Cost {
            storage: since(&before.0, &requests()),
            key_services: since(&before.1, &of_key_services(&[&old, &new])?),
        };
        ensure!(
            !cost.storage.keys().any(|name| name.ends_with("objects")),
            "objects are touched: {cost:?}"
        );
        costs.push((command, cost, time));
    }
    // A gateway that runs, and has a working key to replace. It asks its key services about their keys at the start, and then not for an hour.
    let running = Gateway::start(
        GatewaySettings {
            more: named("new", &new.endpoint) + "\n[limits]\nkey_service_probe_interval = \"1h\"\n",
            upstream: "checksum_trailer = \"never\"".to_owned(),
            ..GatewaySettings::new(&counted.endpoint, &old.endpoint)
        },
        directory.path(),
    )?;
    put(&running.endpoint.s3()?, BUCKET, "object-last", b"").await?;
    let before = (requests(), of_key_services(&[&old, &new])?);
    let started = Instant::now();
    let mut process = running.command("keys rotate")?;
    let (succeeded, report, said) = report(&mut process, Duration::from_mins(2))?;
    let time = started.elapsed();
    ensure!(succeeded, "{report} {said}");
    let mut storage = since(&before.0, &requests());
    storage.remove(CONTROL);
    let cost = Cost {
        storage,
        key_services: since(&before.1, &of_key_services(&[&old, &new])?),
    };
    ensure!(
        !cost.storage.keys().any(|name| name.ends_with("objects")),
        "objects are touched: {cost:?}"
    );
    costs.push(("keys rotate", cost, time));
    Ok(Measured { objects, costs })
}

#[expect(
    clippy::print_stdout,
    reason = "the table is what a benchmark is run for"
)]
async fn compare(few: usize, many: usize) -> Result<()> {
    let few = measure(few).await?;
    let many = measure(many).await?;
    println!(
        "| command | objects | requests to the storage | requests to the key services | time |"
    );
    println!("|---|---|---|---|---|");
    for measured in [&few, &many] {
        for (command, cost, time) in &measured.costs {
            let list = |counts: &Counts| {
                let named = counts.iter().map(|(name, count)| format!("{count} {name}"));
                named.collect::<Vec<_>>().join(", ")
            };
            println!(
                "| `{command}` | {} | {} | {} | {:.2} s |",
                measured.objects,
                list(&cost.storage),
                list(&cost.key_services),
                time.as_secs_f64()
            );
        }
    }
    for ((command, one, _), (_, other, _)) in few.costs.iter().zip(&many.costs) {
        ensure!(
            one == other,
            "{command}: {one:?} for few objects, {other:?} for many"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn moving_to_another_key_asks_as_little_for_many_objects_as_for_few() -> Result<()> {
    bounded(Duration::from_mins(4), compare(10, 500)).await
}

/// The figures of docs/keys.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a benchmark that fills a storage with 100,000 objects first; docs/keys.md has the command"]
async fn benchmark_of_moving_to_another_key() -> Result<()> {
    bounded(Duration::from_hours(1), compare(10, 100_000)).await
}
