//! Storage, the adversary in front of it, and the gateway that has to do with both.

use std::{
    ops::AsyncFnOnce,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use aws_sdk_s3::Client;
use sealgate_tests::{
    admin::AdminEndpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{Rig, bounded},
    servers::{Adversary, Gateway, GatewaySettings},
};

use crate::judgement::Outcome;

/// Objects in these buckets are sealed with AES-256-GCM and with ChaCha20-Poly1305.
pub(crate) const SUITES: [&str; 2] = ["aes", "chacha"];

/// The least length of every part but the last.
pub(crate) const PART: usize = 5 * 1024 * 1024;

const DOMAINS: &str = "\n[[domain]]\nbuckets = [\"chacha*\"]\nsuite = \"chacha20-poly1305\"\n";

/// How often the gateway refused and broke off, as its clients saw it.
#[derive(Debug, Default)]
struct Seen {
    errors: u64,
    aborts: u64,
    /// Request ids of both.
    failed: Vec<String>,
    /// What a client was told of failures of stored data, without what differs by request.
    told: Vec<String>,
}

/// The servers of one test.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) adversary: Adversary,
    /// Behind it everything is the adversary.
    pub(crate) gateway: Gateway,
    pub(crate) admin: AdminEndpoint,
    /// A client of that gateway.
    pub(crate) client: Client,
    /// A client of the storage itself.
    pub(crate) bare: Client,
    seen: Mutex<Seen>,
}

impl Scene {
    async fn start(more: &str) -> Result<Self> {
        let rig = Rig::start_with(DOMAINS)?;
        let adversary = Adversary::start(&rig.minio.endpoint).await?;
        let admin = AdminEndpoint::new(None)?;
        let gateway = rig.gateway_with(GatewaySettings {
            // What is sent is to be as it is stored, without the framing of a trailer.
            upstream: "checksum_trailer = \"never\"".to_owned(),
            more: format!("{}{DOMAINS}{more}", admin.table()),
            ..GatewaySettings::new(&adversary.endpoint, &rig.key_server.endpoint)
        })?;
        let client = gateway.endpoint.s3()?;
        let bare = rig.minio.endpoint.s3()?;
        for bucket in SUITES {
            client.create_bucket().bucket(bucket).send().await?;
        }
        Ok(Self {
            client,
            bare,
            rig,
            adversary,
            gateway,
            admin,
            seen: Mutex::default(),
        })
    }

    /// One request through the gateway.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<RawAnswer> {
        let mut request = RawRequest::new(method, target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.sign(
            &self.gateway.endpoint,
            Payload::Signed(b""),
            SystemTime::now(),
        )?;
        match request.send(&self.gateway.endpoint).await {
            // What fails before the head of its answer was flushed takes the head with it.
            Err(error) if error.to_string().contains("without the head") => Ok(RawAnswer {
                status: 200,
                headers: Vec::new(),
                body: Vec::new(),
                is_complete: false,
            }),
            answer => answer,
        }
    }

    /// Notes how a read ended, for [`Self::check_books`].
    pub(crate) fn note(&self, answer: &RawAnswer, outcome: &Outcome) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = answer.header("x-amz-request-id").unwrap_or_default();
        match outcome {
            Outcome::Right => return,
            Outcome::Abort(_) => seen.aborts += 1,
            Outcome::Error if answer.status == 500 => {
                seen.errors += 1;
                if let Some(text) = told(answer, id) {
                    seen.told.push(text);
                }
            }
            Outcome::Error => {}
        }
        if !id.is_empty() {
            seen.failed.push(id.to_owned());
        }
    }

    /// Checks that metrics count every failure, that the log tells the cause of each, and that clients cannot tell the causes apart.
    pub(crate) async fn check_books(&self) -> Result<()> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(!seen.failed.is_empty(), "nothing failed");
        for text in &seen.told {
            let first = seen.told.first().context("none")?;
            ensure!(
                text == first,
                "clients can tell causes apart:\n{first}\n{text}"
            );
        }
        let metrics = self.admin.get("/metrics").await?.text();
        let value = |name: &str| -> Result<u64> {
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(line.unwrap_or("0").parse()?)
        };
        let errors = value("sealgate_refusals_total{code=\"InternalError\"}")?;
        let aborts = value("sealgate_responses_interrupted_total")?;
        ensure!(
            (errors, aborts) == (seen.errors, seen.aborts),
            "{errors} errors and {aborts} interruptions are counted, and {} and {} were seen",
            seen.errors,
            seen.aborts
        );
        // Everything that failed here failed because the storage lied.
        let unverified = value("sealgate_verification_failures_total")?;
        ensure!(
            unverified == seen.errors + seen.aborts,
            "{unverified} failures of verification are counted, and {} were seen",
            seen.errors + seen.aborts
        );
        let log = self.gateway.process.logged()?;
        for id in &seen.failed {
            let told = log.lines().any(|line| {
                line.contains(id.as_str())
                    && (line.contains("detail=") || line.contains("error="))
                    && !line.contains("detail=\"\"")
            });
            ensure!(
                told,
                "the log tells no cause of the failure of request {id}"
            );
        }
        Ok(())
    }

    /// How often the gateway has asked the key service to open a key.
    pub(crate) async fn unwraps(&self) -> Result<u64> {
        let metrics = self.admin.get("/metrics").await?.text();
        let mut sum = 0;
        for line in metrics.lines() {
            if line.starts_with("sealgate_key_service_calls_total{call=\"unwrap\"") {
                sum += line
                    .rsplit_once(' ')
                    .context("a sample")?
                    .1
                    .parse::<u64>()?;
            }
        }
        Ok(sum)
    }

    fn last_words(&self) -> String {
        format!(
            "{}\n{}",
            self.gateway.process.last_words(),
            self.rig.last_words()
        )
    }
}

/// The error document without what belongs to the request; none where there is none.
fn told(answer: &RawAnswer, id: &str) -> Option<String> {
    let text = answer.text();
    if text.is_empty() {
        return None;
    }
    let (start, rest) = text.split_once("<Resource>")?;
    let (_, end) = rest.split_once("</Resource>")?;
    Some(format!("{start}{end}").replace(id, ""))
}

/// Runs a test on fresh servers. `more` are further tables in the configuration of the gateway. Where it fails, logs are shown.
pub(crate) fn with_scene<'a, F>(
    more: &'a str,
    limit: Duration,
    test: F,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>
where
    F: AsyncFnOnce(&Scene) -> Result<()> + 'a,
{
    Box::pin(async move {
        let scene = Scene::start(more).await?;
        let outcome = bounded(limit, test(&scene)).await;
        outcome.map_err(|error| anyhow!("{error:#}\n\n{}", scene.last_words()))
    })
}

/// Begins an upload and returns its id.
pub(crate) async fn begin(client: &Client, bucket: &str, key: &str) -> Result<String> {
    let begun = client
        .create_multipart_upload()
        .bucket(bucket)
        .key(key)
        .content_type("text/plain")
        .metadata("owner", "alice")
        .send()
        .await?;
    Ok(begun.upload_id().context("no upload id")?.to_owned())
}

/// Aborts an upload.
pub(crate) async fn abort(
    client: &Client,
    (bucket, key): (&str, &str),
    upload: &str,
) -> Result<()> {
    client
        .abort_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(upload)
        .send()
        .await?;
    Ok(())
}
