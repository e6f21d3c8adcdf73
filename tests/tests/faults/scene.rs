//! The processes, and what stands between them:
//!
//! ```text
//! clients ─► interferer ─► HAProxy ─► gateways ─┬─► interferer ─► MinIO (objects)
//!                                               ├─► interferer ─► MinIO (the state bucket)
//!                                               └─► key server
//! ```

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use sealgate_tests::{
    admin::AdminEndpoint,
    endpoint::{Endpoint, REGION},
    environment,
    process::{Process, free_port},
    servers::{Gateway, GatewaySettings, Interferer, KeyServer, Minio, Terminator},
};
use tempfile::TempDir;

use crate::world::BUCKET;

/// Gateways.
pub(crate) const GATEWAYS: usize = 3;

/// Limits that let faults bite and end within seconds: keys age while the key server is away, and gateways give up what does not move.
const LIMITS: &str = r#"
[limits]
small_object_memory = "2 MiB"
document_memory = "20 MiB"
idle_timeout = "3s"
upstream_connect_timeout = "1s"
upstream_response_timeout = "4s"
shutdown_grace = "3s"
working_key_lifetime = "5s"
working_key_hard_limit = "8s"
working_key_cache_age = "3s"
outage_grace = "1s"
key_service_probe_interval = "2s"
"#;

/// The longest that a gateway goes on with a request whose client has left, or that waits for the storage.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

/// A gateway of the deployment.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) gateway: Gateway,
    pub(crate) admin: AdminEndpoint,
    /// What its clock is told, where it can be.
    pub(crate) clock: Option<PathBuf>,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) members: Vec<Member>,
    pub(crate) minio: Minio,
    pub(crate) key_server: KeyServer,
    /// Between gateways and storage.
    pub(crate) storage: Interferer,
    /// Between gateways and the storage of the state bucket.
    pub(crate) state: Interferer,
    /// Between clients and HAProxy.
    pub(crate) front: Interferer,
    _haproxy: Terminator,
    directory: TempDir,
}

impl Scene {
    /// Starts all of it.
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let minio = Minio::start(directory.path())?;
        let key_server = KeyServer::start(directory.path(), None)?;
        let storage = Interferer::start(&minio.endpoint.url).await?;
        let state = Interferer::start(&minio.endpoint.url).await?;
        let mut members = Vec::new();
        for number in 0..GATEWAYS {
            let admin = AdminEndpoint::new(None)?;
            let mut settings = settings(&minio, &key_server, &storage.url, &state.url)?;
            settings.port = free_port()?;
            settings.more += &admin.table();
            let mut clock = None;
            if number == GATEWAYS - 1 {
                let file = directory.path().join("clock");
                set_clock(&file, 0)?;
                settings.environment = clock_variables(&file)?;
                clock = Some(file);
            }
            let gateway = Gateway::start(settings, directory.path())?;
            members.push(Member {
                gateway,
                admin,
                clock,
            });
        }
        let port = free_port()?;
        let configuration = balancer(port, &members)?;
        let haproxy = Terminator::haproxy(directory.path(), &configuration, &[port])?;
        let front = Interferer::start(&format!("http://127.0.0.1:{port}")).await?;
        let scene = Self {
            members,
            minio,
            key_server,
            storage,
            state,
            front,
            _haproxy: haproxy,
            directory,
        };
        let through = scene.endpoint()?.s3()?;
        through.create_bucket().bucket(BUCKET).send().await?;
        Ok(scene)
    }

    /// Where clients find the gateways.
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let first = self.members.first().context("no gateway")?;
        Ok(Endpoint {
            url: self.front.url.clone(),
            ..first.gateway.endpoint.clone()
        })
    }

    /// One more gateway of the deployment, whose state bucket is at this URL.
    pub(crate) fn another_gateway(&self, state: &str) -> Result<Gateway> {
        let settings = settings(&self.minio, &self.key_server, &self.storage.url, state)?;
        Gateway::start(settings, self.directory.path())
    }

    /// The ends of all logs.
    pub(crate) fn last_words(&self) -> String {
        let gateways = self.members.iter().map(|member| &member.gateway.process);
        let mut words: Vec<_> = gateways.map(Process::last_words).collect();
        words.push(self.key_server.last_words());
        words.push(self.minio.process.last_words());
        words.join("\n")
    }
}

fn settings(
    minio: &Minio,
    key_server: &KeyServer,
    storage: &str,
    state: &str,
) -> Result<GatewaySettings> {
    let storage = Endpoint {
        url: storage.to_owned(),
        ..minio.endpoint.clone()
    };
    let mut more = LIMITS.to_owned();
    writeln!(
        more,
        "[state.upstream]\nendpoint = \"{state}\"\nregion = \"{REGION}\"\ncredentials = {{ access_key_id = \"{}\", secret_access_key = \"env:UPSTREAM_SECRET\" }}\n",
        minio.endpoint.access_key_id
    )?;
    Ok(GatewaySettings {
        more,
        ..GatewaySettings::new(&storage, &key_server.endpoint)
    })
}

fn balancer(port: u16, members: &[Member]) -> Result<String> {
    let mut text = format!(
        "global\n    log stderr format raw local0 warning\ndefaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1m\n    \
         timeout server 1m\n    retries 3\n    option redispatch 1\nlisten s3\n    bind 127.0.0.1:{port}\n    balance roundrobin\n"
    );
    for (number, member) in members.iter().enumerate() {
        let address = member.gateway.endpoint.authority();
        writeln!(
            text,
            "    server gateway-{number} {address} check inter 200ms fall 1 rise 1"
        )?;
    }
    Ok(text)
}

/// Sets the clock of the gateway that reads this file.
pub(crate) fn set_clock(file: &PathBuf, seconds: i64) -> Result<()> {
    // Whole or not at all: the gateway may read it at any moment.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{seconds:+}\n"))?;
    std::fs::rename(new, file)?;
    Ok(())
}

/// What makes a process take its clock, but not the time that it waits for something, from a file.
fn clock_variables(file: &std::path::Path) -> Result<Vec<(String, String)>> {
    let variables = [
        ("LD_PRELOAD", environment::faketime()?.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    Ok(variables
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec())
}
