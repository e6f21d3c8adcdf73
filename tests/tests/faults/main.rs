//! Faults, with nothing lost: three gateways behind HAProxy, clients that write, read, list and delete without pause, and faults of every kind.
//! Afterwards all that was acknowledged is there, what was not is there whole or not at all, and `gc` removes what was left and nothing else.
//!
//! By itself it runs every kind of fault once, with small objects. The environment has it run for long, with objects of up to 256 MiB, and from
//! another seed: `FAULTS_SECONDS`, `FAULTS_SEED`. docs/reliability.md has what came of that.

mod aftermath;
mod client;
mod content;
mod failure;
mod injector;
mod judgement;
mod leaks;
mod leftovers;
mod model;
mod repeats;
mod scene;
mod timeline;
mod uploads;
mod world;

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::try_join_all;
use sealgate_tests::{
    environment::number, process_resources::Resources, random::Random, rig::bounded,
};
use tokio::sync::Semaphore;

use crate::{
    aftermath::{Aftermath, Found},
    client::Client,
    content::Source,
    injector::{FAULTS, Injector},
    leaks::given_back,
    scene::{GATEWAYS, SETTLED, Scene},
    timeline::Timeline,
    world::World,
};

/// Clients that work at the same time.
const CLIENTS: u64 = 6;

/// What is run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    /// For how long faults are injected at least.
    lasting: Duration,
    /// The longest object.
    longest: usize,
    /// The longest fault.
    fault: Duration,
    /// Whether gateways are killed while another fault lasts.
    doubles: bool,
}

impl Plan {
    fn of_environment() -> Result<Self> {
        let seed = number("FAULTS_SEED")?.unwrap_or(1);
        Ok(match number("FAULTS_SECONDS")? {
            None => Self {
                seed,
                lasting: Duration::ZERO,
                longest: 8 << 20,
                fault: Duration::from_millis(600),
                doubles: false,
            },
            Some(seconds) => Self {
                seed,
                lasting: Duration::from_secs(seconds),
                longest: 256 << 20,
                fault: Duration::from_secs(3),
                doubles: true,
            },
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_nothing_is_lost() -> Result<()> {
    let plan = Plan::of_environment()?;
    let limit = plan.lasting * 2 + Duration::from_mins(6);
    let mut scene = Scene::start().await?;
    let outcome = bounded(limit, run(&mut scene, plan)).await;
    outcome.map_err(|error| {
        anyhow!(
            "{error:#}\nseed {} (replay it with FAULTS_SEED={})\n\n{}",
            plan.seed,
            plan.seed,
            scene.last_words()
        )
    })
}

async fn run(scene: &mut Scene, plan: Plan) -> Result<()> {
    let world = Arc::new(World {
        endpoint: scene.endpoint()?,
        source: Source::new(plan.longest),
        timeline: Timeline::new(),
        stop: AtomicBool::new(false),
        longest: plan.longest,
        large: Arc::new(Semaphore::new(1)),
    });
    let survivor = usize::try_from(plan.seed)? % GATEWAYS;
    let process = scene
        .members
        .get(survivor)
        .map(|member| member.gateway.process.id());
    let process = process.context("no gateway")?;
    let idle = Resources::of(process)?;
    let mut working = Vec::new();
    for number in 0..CLIENTS {
        let client = Client::new(number, plan.seed, Arc::clone(&world))?;
        working.push(tokio::spawn(client.run()));
    }
    let mut injector = Injector {
        scene: &mut *scene,
        world: &world,
        random: Random(plan.seed),
        survivor,
        doubles: plan.doubles,
        longest: plan.fault,
    };
    let until = Instant::now() + plan.lasting;
    let mut injected = Ok(());
    while injected.is_ok() {
        injected = injector.round().await;
        if Instant::now() >= until {
            break;
        }
    }
    world.stop.store(true, Ordering::Relaxed);
    let ended = try_join_all(working).await?;
    let mut clients: Vec<Client> = ended.into_iter().collect::<Result<_>>()?;
    let outcome = match injected {
        Ok(()) => conclude(scene, &world, &mut clients, (process, idle)).await,
        Err(error) => Err(error),
    };
    let mut text = format!("seed {}\n", plan.seed);
    for kind in [
        "operation ",
        "acknowledged ",
        "failure ",
        "fault ",
        "ended ",
    ] {
        writeln!(
            text,
            "{kind}({}): {:?}",
            world.timeline.sum(kind),
            world.timeline.counts(kind)
        )?;
    }
    match &outcome {
        Ok((found, now)) => writeln!(
            text,
            "{found:?}\nidle before: {idle:?}\nidle after: {now:?}"
        )?,
        Err(error) => writeln!(text, "{error:#}")?,
    }
    let losses = world.timeline.losses();
    writeln!(text, "losses: {}", losses.len())?;
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes())?;
    ensure!(losses.is_empty(), "{}", losses.join("\n\n"));
    outcome?;
    for (name, _) in FAULTS {
        let count = world.timeline.sum(&format!("fault {name}"));
        ensure!(count > 0, "no fault of the kind: {name}");
    }
    Ok(())
}

async fn conclude(
    scene: &Scene,
    world: &World,
    clients: &mut [Client],
    (process, idle): (u32, Resources),
) -> Result<(Found, Resources)> {
    for member in &scene.members {
        member
            .admin
            .until_ready(true, Duration::from_secs(30))
            .await?;
    }
    for member in &scene.members {
        // No fault looks like tampering.
        let metrics = member.admin.get("/metrics").await?.text();
        let unverified = "sealgate_verification_failures_total 0";
        ensure!(metrics.lines().any(|line| line == unverified), "{metrics}");
    }
    tokio::time::sleep(SETTLED).await;
    let aftermath = Aftermath::new(scene, world, clients).await?;
    let found = aftermath.look().await?;
    let now = given_back(process, idle).await?;
    Ok((found, now))
}
