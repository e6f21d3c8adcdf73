//! What the memory of a running gateway holds, read as root reads it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use memchr::memmem::Finder;
use sealgate_envelope::key_service::aws::{AwsCredentials, AwsKms, AwsKmsConfiguration};
use sealgate_envelope::key_service::{EncryptionContext, KeyService, UnwrapPermit};
use sealgate_envelope::records::{RegistryRecord, registry_prefix};
use sealgate_envelope::{WorkingKey, WorkingKeyId};
use sealgate_tests::content::pattern;
use sealgate_tests::endpoint::REGION;
use sealgate_tests::rig::{Rig, get, put, with_rig_of};
use sealgate_tests::servers::key_server::KEY;

const BUCKET: &str = "memory";
const LIMIT: Duration = Duration::from_mins(4);

/// Working keys live for some seconds, so that the test sees their end.
const LIMITS: &str = "[limits]\nworking_key_lifetime = \"4s\"\nworking_key_hard_limit = \"4s\"\n\
                      working_key_cache_age = \"4s\"\noutage_grace = \"0s\"\n";

/// The ways in which a key may stand in memory.
struct Needles(Vec<(String, Finder<'static>)>);

impl Needles {
    fn of(keys: &[WorkingKey]) -> Self {
        let mut needles = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let bytes = key.expose().as_slice();
            // The end of a text in base64 depends on what follows.
            let base64 = BASE64.encode(bytes);
            let base64 = base64.trim_end_matches('=').split_at(40).0.to_owned();
            for (way, needle) in [
                ("raw", bytes.to_vec()),
                ("hex", HEXLOWER.encode(bytes).into_bytes()),
                ("upper-case hex", HEXUPPER.encode(bytes).into_bytes()),
                ("base64", base64.into_bytes()),
            ] {
                let finder = Finder::new(&needle).into_owned();
                needles.push((format!("key {number}, {way}"), finder));
            }
        }
        Self(needles)
    }

    /// Where each of them is found in the memory of a process.
    fn found_in(&self, process: u32) -> Result<Vec<String>> {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
        let memory = File::open(format!("/proc/{process}/mem"))?;
        let mut found = Vec::new();
        let mut read = 0;
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').context("a line of maps")?;
            // What can't be written holds programs and files.
            if !rest.starts_with("rw") {
                continue;
            }
            let (start, end) = range.split_once('-').context("a range")?;
            let (start, end) = (
                u64::from_str_radix(start, 16)?,
                u64::from_str_radix(end, 16)?,
            );
            let mut content = vec![0; usize::try_from(end - start)?];
            // Memory may have been given back since.
            if memory.read_exact_at(&mut content, start).is_err() {
                continue;
            }
            read += content.len();
            let name = rest.split(' ').next_back().unwrap_or_default();
            for (needle, finder) in &self.0 {
                for place in finder.find_iter(&content) {
                    found.push(format!("{needle} at {place:#x} of {range} {name}"));
                }
            }
        }
        ensure!(read > 1 << 20, "only {read} bytes could be read");
        Ok(found)
    }
}

/// Every working key of the registry, opened at the key server as its owner can.
async fn working_keys(rig: &Rig) -> Result<Vec<WorkingKey>> {
    let server = &rig.key_server.endpoint;
    let configuration = AwsKmsConfiguration::new(KEY)
        .region(REGION)
        .endpoint(&server.url)
        .allow_plain_http()
        .credentials(AwsCredentials::Static {
            access_key_id: server.access_key_id.clone(),
            secret_access_key: server.secret_access_key.clone().into(),
            session_token: None,
        });
    let service = AwsKms::connect(configuration).await?;
    let storage = rig.minio.endpoint.s3()?;
    let mut keys = Vec::new();
    for bucket in storage.list_buckets().send().await?.buckets() {
        let bucket = bucket.name().unwrap_or_default();
        let listed = storage
            .list_objects_v2()
            .bucket(bucket)
            .prefix(registry_prefix());
        for object in listed.send().await?.contents() {
            let name = object.key().unwrap_or_default();
            let Some(Ok(id)) = name.rsplit('/').next().map(str::parse::<WorkingKeyId>) else {
                continue;
            };
            let record = get(&storage, bucket, name).await?;
            let record = RegistryRecord::parse(&record, id)?;
            let context = EncryptionContext::new(record.claimed_domain().clone(), id);
            #[expect(
                clippy::disallowed_methods,
                reason = "a test is its own policy and audit"
            )]
            let permit = UnwrapPermit::issue("test of memory");
            let wrap = record.wraps().first().context("no wrap")?;
            keys.push(service.unwrap(&permit, &context, wrap).await?);
        }
    }
    Ok(keys)
}

fn status_line(process: u32, file: &str, name: &str) -> Result<String> {
    let mut text = String::new();
    File::open(format!("/proc/{process}/{file}"))?.read_to_string(&mut text)?;
    let line = text.lines().find(|line| line.starts_with(name));
    Ok(line.with_context(|| format!("no {name}"))?.to_owned())
}

/// Needs the right to read another process's memory, which root has.
#[tokio::test(flavor = "multi_thread")]
async fn working_keys_leave_no_trace_in_memory_when_their_time_is_over() -> Result<()> {
    with_rig_of(LIMITS, LIMIT, async |rig| {
        let process = rig.gateway.process.id();
        let (client, _) = rig.clients(BUCKET).await?;
        let large = pattern(8, 3 << 20);
        for number in 0..3 {
            put(&client, BUCKET, &format!("small {number}"), b"content").await?;
            put(&client, BUCKET, &format!("large {number}"), &large).await?;
            get(&client, BUCKET, &format!("large {number}")).await?;
        }
        // Sealed by another process, so that this one has a key that it opened and did not make.
        let other = rig.another_gateway()?;
        put(&other.endpoint.s3()?, BUCKET, "of the other", b"content").await?;
        get(&client, BUCKET, "of the other").await?;
        let keys = working_keys(rig).await?;
        ensure!(keys.len() >= 2, "{} keys", keys.len());
        let needles = Needles::of(&keys);
        let before = needles.found_in(process)?;
        ensure!(
            before.iter().any(|found| found.contains("raw")),
            "a test that sees no key proves nothing: {before:?}"
        );

        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let found = needles.found_in(process)?;
            if found.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                bail!("after their time: {found:#?}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // It is alive, and opens what it has forgotten.
        ensure!(get(&client, BUCKET, "of the other").await? == b"content");
        ensure!(!needles.found_in(process)?.is_empty());

        let core = status_line(process, "limits", "Max core file size")?;
        ensure!(
            core.split_whitespace().filter(|word| *word == "0").count() == 2,
            "{core}"
        );
        let logged = rig.gateway.process.logged()?;
        if logged.contains("memory is locked") {
            let locked = status_line(process, "status", "VmLck")?;
            ensure!(!locked.contains(" 0 kB"), "{locked}");
        } else {
            ensure!(logged.contains("memory is not locked"), "{logged}");
        }
        Ok(())
    })
    .await
}
