//! What goes wrong: one fault at a time, in an order that the seed gives, each kind once in every round.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use sealgate_tests::{
    process_resources::{self, Resources},
    random::Random,
    raw_http::RawRequest,
    servers::{Gateway, Interference, Interferer},
};
use serde_json::json;
use tokio::{net::TcpStream, task::block_in_place};

use crate::{
    scene::{Member, Scene, set_clock},
    world::World,
};

/// How it is counted that a gateway is killed while another fault lasts.
const KILLED_MEANWHILE: &str = "fault gateway killed during another fault";

/// Connections that are opened to a gateway without descriptors, so that it is certain to have none left.
const GREEDY: usize = 16;

/// Descriptors that a gateway has left beside those that are in use.
const DESCRIPTORS_LEFT: usize = 3;

/// How long a gateway may take to see that its clock was moved: it looks every other second.
const CLOCK_LIMIT: Duration = Duration::from_secs(6);

/// What stands between two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    Storage,
    State,
    Clients,
}

/// What a key server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Stop,
    Slow,
    Throttle,
    Fail,
    Nonsense,
    Reset,
    Refuse,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    GatewayKilled,
    GatewayEnded,
    GatewayPaused,
    GatewayWithoutDescriptors,
    GatewayWithoutMemory,
    ClockNear,
    ClockFar,
    StorageKilled,
    StorageRestarted,
    Keys(Keys),
    Errors(Between),
    Stalled(Between),
    Slow(Between),
    Cut(Between),
    HungUp(Between),
    AnswersLost(Between),
}

/// All kinds, each with its name.
pub(crate) const FAULTS: [(&str, Fault); 33] = [
    ("gateway killed", Fault::GatewayKilled),
    ("gateway ended and started", Fault::GatewayEnded),
    ("gateway paused", Fault::GatewayPaused),
    (
        "gateway without descriptors",
        Fault::GatewayWithoutDescriptors,
    ),
    ("gateway without memory", Fault::GatewayWithoutMemory),
    ("clock moved by minutes", Fault::ClockNear),
    ("clock moved by hours or days", Fault::ClockFar),
    ("storage killed", Fault::StorageKilled),
    ("storage restarted", Fault::StorageRestarted),
    ("key server stopped", Fault::Keys(Keys::Stop)),
    ("key server slow", Fault::Keys(Keys::Slow)),
    ("key server throttles", Fault::Keys(Keys::Throttle)),
    ("key server fails", Fault::Keys(Keys::Fail)),
    ("key server answers nonsense", Fault::Keys(Keys::Nonsense)),
    ("key server resets connections", Fault::Keys(Keys::Reset)),
    ("key server refuses", Fault::Keys(Keys::Refuse)),
    ("storage answers errors", Fault::Errors(Between::Storage)),
    (
        "storage connections stalled",
        Fault::Stalled(Between::Storage),
    ),
    ("storage connections slow", Fault::Slow(Between::Storage)),
    ("storage connections cut", Fault::Cut(Between::Storage)),
    (
        "storage connections dropped",
        Fault::HungUp(Between::Storage),
    ),
    (
        "storage's answers lost",
        Fault::AnswersLost(Between::Storage),
    ),
    ("state bucket answers errors", Fault::Errors(Between::State)),
    ("state connections stalled", Fault::Stalled(Between::State)),
    ("state connections slow", Fault::Slow(Between::State)),
    ("state connections cut", Fault::Cut(Between::State)),
    ("state connections dropped", Fault::HungUp(Between::State)),
    (
        "state bucket's answers lost",
        Fault::AnswersLost(Between::State),
    ),
    (
        "client connections stalled",
        Fault::Stalled(Between::Clients),
    ),
    ("client connections slow", Fault::Slow(Between::Clients)),
    ("client connections cut", Fault::Cut(Between::Clients)),
    (
        "client connections dropped",
        Fault::HungUp(Between::Clients),
    ),
    (
        "answers to clients lost",
        Fault::AnswersLost(Between::Clients),
    ),
];

/// What injects them.
pub(crate) struct Injector<'a> {
    pub(crate) scene: &'a mut Scene,
    pub(crate) world: &'a World,
    pub(crate) random: Random,
    /// The gateway that outlives everything.
    pub(crate) survivor: usize,
    /// Whether gateways are killed while another fault lasts.
    pub(crate) doubles: bool,
    /// The longest that a fault lasts, and the longest pause behind it.
    pub(crate) longest: Duration,
}

impl Injector<'_> {
    /// Every kind of fault once.
    pub(crate) async fn round(&mut self) -> Result<()> {
        let mut order = FAULTS.to_vec();
        for place in (1..order.len()).rev() {
            order.swap(place, self.random.below(place + 1));
        }
        for (name, fault) in order {
            let timeline = &self.world.timeline;
            timeline.fault(&format!("{name}: begins"));
            self.strike(fault).await.with_context(|| name)?;
            timeline.fault(&format!("{name}: ends"));
            timeline.count(&format!("fault {name}"));
            let pause = self.lasting() / 2;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    fn lasting(&mut self) -> Duration {
        let most = usize::try_from(self.longest.as_millis()).unwrap_or(usize::MAX);
        Duration::from_millis((most / 4 + self.random.below(most * 3 / 4)) as u64)
    }

    async fn strike(&mut self, fault: Fault) -> Result<()> {
        let lasting = self.lasting();
        match fault {
            Fault::GatewayKilled => {
                let victim = self.victim()?;
                victim.gateway.process.kill()?;
                tokio::time::sleep(lasting / 2).await;
                self.start_what_ended()
            }
            Fault::GatewayEnded => {
                let victim = self.victim()?;
                let status =
                    block_in_place(|| victim.gateway.process.terminate(Duration::from_secs(20)))?;
                ensure!(status.success(), "SIGTERM is no clean end: {status}");
                self.start_what_ended()
            }
            Fault::GatewayPaused => {
                // Longer than what others wait for: when it goes on, the world is another one.
                let anyone = self.anyone()?;
                anyone.gateway.process.signal("STOP")?;
                tokio::time::sleep(lasting * 2).await;
                anyone.gateway.process.signal("CONT")
            }
            Fault::GatewayWithoutDescriptors => self.without_descriptors(lasting).await,
            Fault::GatewayWithoutMemory => self.without_memory(lasting).await,
            Fault::ClockNear => self.move_clock(13 * 60, lasting).await,
            Fault::ClockFar => self.move_clock(72 * 3600, lasting).await,
            Fault::StorageKilled => {
                self.scene.minio.process.kill()?;
                tokio::time::sleep(lasting / 2).await;
                block_in_place(|| self.scene.minio.start_again())
            }
            Fault::StorageRestarted => block_in_place(|| {
                let minio = &mut self.scene.minio;
                minio.process.terminate(Duration::from_secs(30))?;
                minio.start_again()
            }),
            Fault::Keys(keys) => self.strike_keys(keys, lasting).await,
            Fault::Errors(between) => {
                let answer = "<Error><Code>SlowDown</Code><Message>Later.</Message></Error>";
                let answer = Interference::answer("503 Service Unavailable", answer);
                self.interfere(between, answer, lasting).await
            }
            Fault::Stalled(between) => {
                self.interfere(between, Interference::Stall, lasting * 2)
                    .await
            }
            Fault::Slow(between) => {
                let pause = Duration::from_millis(1 + self.random.below(40) as u64);
                self.interfere(between, Interference::Slow(pause), lasting)
                    .await
            }
            Fault::Cut(between) => {
                let after = self.random.below(150_000);
                self.interfere(between, Interference::CutAfter(after), lasting)
                    .await
            }
            Fault::HungUp(between) => self.interfere(between, Interference::Hangup, lasting).await,
            Fault::AnswersLost(between) => {
                self.interfere(between, Interference::LoseAnswers, lasting)
                    .await
            }
        }
    }

    fn anyone(&mut self) -> Result<&mut Member> {
        let place = self.random.below(self.scene.members.len());
        self.scene.members.get_mut(place).context("no gateway")
    }

    /// One that may die.
    fn victim(&mut self) -> Result<&mut Member> {
        let others = self.scene.members.len() - 1;
        let place = (self.survivor + 1 + self.random.below(others)) % (others + 1);
        self.scene.members.get_mut(place).context("no gateway")
    }

    fn start_what_ended(&mut self) -> Result<()> {
        for member in &mut self.scene.members {
            if member.gateway.process.has_ended()? {
                block_in_place(|| member.gateway.start_again())?;
            }
        }
        Ok(())
    }

    async fn interfere(
        &mut self,
        between: Between,
        interference: Interference,
        lasting: Duration,
    ) -> Result<()> {
        let before = self.interferer(between).struck();
        self.interferer(between).interfere(interference);
        let lasted = self.lasts(lasting).await;
        self.interferer(between).interfere(Interference::None);
        lasted?;
        let struck = self.interferer(between).struck();
        ensure!(struck > before, "it strikes no connection");
        self.start_what_ended()
    }

    fn interferer(&self, between: Between) -> &Interferer {
        match between {
            Between::Storage => &self.scene.storage,
            Between::State => &self.scene.state,
            Between::Clients => &self.scene.front,
        }
    }

    /// Waits while a fault lasts. In a long run, a gateway is killed meanwhile now and then, and sometimes started before it is over.
    async fn lasts(&mut self, lasting: Duration) -> Result<()> {
        if !self.doubles || !self.random.chance(30) {
            tokio::time::sleep(lasting).await;
            return Ok(());
        }
        tokio::time::sleep(lasting / 2).await;
        self.victim()?.gateway.process.kill()?;
        self.world.timeline.count(KILLED_MEANWHILE);
        self.world.timeline.fault("a gateway is killed meanwhile");
        if self.random.chance(50) {
            self.start_what_ended()?;
        }
        tokio::time::sleep(lasting / 2).await;
        Ok(())
    }

    async fn strike_keys(&mut self, keys: Keys, lasting: Duration) -> Result<()> {
        let server = &mut self.scene.key_server;
        let then = match keys {
            Keys::Stop => {
                server.kill()?;
                tokio::time::sleep(lasting * 2).await;
                return block_in_place(|| server.start_again());
            }
            Keys::Slow => json!("proceed"),
            Keys::Throttle => json!({ "error": "ThrottlingException" }),
            Keys::Fail => json!({ "error": "KMSInternalException" }),
            Keys::Nonsense => json!({ "status": 200 }),
            Keys::Reset => json!("reset"),
            Keys::Refuse => json!({ "error": "AccessDeniedException" }),
        };
        let delay = match keys {
            Keys::Slow => 100 + self.random.below(3_000),
            _ => 0,
        };
        server.set_faults(&json!([{ "delay_milliseconds": delay, "then": then }]))?;
        let lasted = self.lasts(lasting * 2).await;
        self.scene.key_server.set_faults(&json!([]))?;
        lasted?;
        self.start_what_ended()
    }

    async fn without_descriptors(&mut self, lasting: Duration) -> Result<()> {
        let process = self.anyone()?;
        let (id, address) = (
            process.gateway.process.id(),
            process.gateway.endpoint.authority().to_owned(),
        );
        let before = process_resources::soft_limit(id, "Max open files")?;
        let least = Resources::of(id)?.descriptors + DESCRIPTORS_LEFT;
        process_resources::limit(id, "nofile", &least.to_string())?;
        let mut taken = Vec::new();
        for _ in 0..GREEDY {
            // The system accepts them, whether the gateway can or not.
            taken.push(TcpStream::connect(&address).await?);
        }
        let deadline = Instant::now() + lasting;
        let mut found = 0;
        while Instant::now() < deadline {
            found = found.max(Resources::of(id)?.descriptors);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process_resources::limit(id, "nofile", &before)?;
        ensure!(
            found + 1 >= least,
            "{found} descriptors of {least} are in use"
        );
        Ok(())
    }

    /// A gateway that gets no memory ends, as Rust programs do; then it is started anew.
    async fn without_memory(&mut self, lasting: Duration) -> Result<()> {
        let victim = self.victim()?;
        let id = victim.gateway.process.id();
        // Less than it has: that is not taken away, but there is no more.
        process_resources::limit(id, "data", "1048576")?;
        let deadline = Instant::now() + lasting * 4;
        while Instant::now() < deadline {
            if victim.gateway.process.has_ended()? {
                self.world.timeline.count("ended without memory");
                return self.start_what_ended();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process_resources::limit(id, "data", "unlimited")
    }

    async fn move_clock(&mut self, most: usize, lasting: Duration) -> Result<()> {
        let seconds = i64::try_from(most / 8 + self.random.below(most * 7 / 8))?;
        let seconds = if self.random.chance(50) {
            seconds
        } else {
            -seconds
        };
        let mut members = self.scene.members.iter();
        let told = members.find_map(|member| Some((member, member.clock.as_ref()?)));
        let (member, file) = told.context("no gateway has a clock of its own")?;
        for (moved, lasting) in [(seconds, lasting), (0, Duration::ZERO)] {
            set_clock(file, moved)?;
            let deadline = Instant::now() + CLOCK_LIMIT;
            loop {
                let shown = shown_clock(&member.gateway).await?;
                if (shown - moved).abs() < 60 {
                    break;
                }
                ensure!(
                    Instant::now() < deadline,
                    "the clock was moved by {moved} s, and answers show {shown}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(lasting).await;
        }
        Ok(())
    }
}

/// How many seconds the clock that a gateway's answers show is ahead.
async fn shown_clock(gateway: &Gateway) -> Result<i64> {
    let answer = RawRequest::new("GET", "/").send(&gateway.endpoint).await?;
    let shown = answer.header("date").context("no date")?;
    let shown = DateTime::from_str(shown, DateTimeFormat::HttpDate)?;
    Ok(shown.secs() - DateTime::from(SystemTime::now()).secs())
}
