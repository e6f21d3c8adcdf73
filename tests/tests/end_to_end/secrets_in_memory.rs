//! What the memory of a running gateway holds, read as root reads it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use memchr::memmem::Finder;
use sealgate_envelope::header::Header;
use sealgate_envelope::key_service::aws::{AwsCredentials, AwsKms, AwsKmsConfiguration};
use sealgate_envelope::key_service::{EncryptionContext, KeyService, UnwrapPermit};
use sealgate_envelope::records::{RegistryRecord, UploadRecord, registry_prefix};
use sealgate_envelope::{WorkingKey, WorkingKeyId};
use sealgate_tests::content::pattern;
use sealgate_tests::endpoint::REGION;
use sealgate_tests::rig::{Rig, get, put, with_rig, with_rig_of};
use sealgate_tests::servers::{key_server::KEY, report};
use sealgate_tests::{process, python};

const BUCKET: &str = "memory";
const LIMIT: Duration = Duration::from_mins(4);

/// Working keys live for some seconds, so that the test sees their end.
const LIMITS: &str = "[limits]\nworking_key_lifetime = \"4s\"\nworking_key_hard_limit = \"4s\"\n\
                      working_key_cache_age = \"4s\"\noutage_grace = \"0s\"\n";

/// The ways in which a key may stand in memory.
struct Needles(Vec<(String, Finder<'static>)>);

impl Needles {
    fn of<'a>(keys: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut needles = Vec::new();
        for (name, bytes) in keys {
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
                needles.push((format!("{name}, {way}"), finder));
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
async fn working_keys(rig: &Rig) -> Result<HashMap<WorkingKeyId, WorkingKey>> {
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
    let mut keys = HashMap::new();
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
            keys.insert(id, service.unwrap(&permit, &context, wrap).await?);
        }
    }
    Ok(keys)
}

/// The headers of all objects, and those of open uploads, which lie in their records.
async fn headers(rig: &Rig) -> Result<(Vec<Header>, Vec<Header>)> {
    let storage = rig.minio.endpoint.s3()?;
    let (mut of_objects, mut of_uploads) = (Vec::new(), Vec::new());
    for bucket in storage.list_buckets().send().await?.buckets() {
        let bucket = bucket.name().unwrap_or_default();
        for object in storage
            .list_objects_v2()
            .bucket(bucket)
            .send()
            .await?
            .contents()
        {
            let key = object.key().unwrap_or_default();
            if bucket == BUCKET {
                let head = storage.head_object().bucket(bucket).key(key).send().await?;
                let text = head
                    .metadata()
                    .and_then(|metadata| metadata.get("sealgate"));
                of_objects.push(Header::from_text(text.context("no header")?)?);
            } else if key.starts_with("uploads/") && key.ends_with("/record") {
                let record = get(&storage, bucket, key).await?;
                of_uploads.push(UploadRecord::parse(&record)?.header().clone());
            }
        }
    }
    Ok((of_objects, of_uploads))
}

/// Opens data keys by the independent reader, because the library gives them to nobody.
const DATA_KEYS: &str = "\
import sys
from sealgate_reader.header import parse_s3_values
from sealgate_reader.keys import open_data_key
for line in open(sys.argv[1]):
    text, working_key = line.split()
    header = parse_s3_values([text])
    opened = open_data_key(header.suite, bytes.fromhex(working_key), header.wrap_salt, header.object_id, header.sealed_data_key)
    print(opened.key.hex())
";

fn data_keys(
    rig: &Rig,
    headers: &[Header],
    working_keys: &HashMap<WorkingKeyId, WorkingKey>,
) -> Result<Vec<Vec<u8>>> {
    let mut lines = String::new();
    for header in headers {
        let key = working_keys.get(&header.working_key_id());
        let key = HEXLOWER.encode(key.context("no working key")?.expose());
        writeln!(lines, "{} {key}", header.to_text())?;
    }
    let file = rig.directory().join("headers");
    std::fs::write(&file, lines)?;
    let mut command = python::python(&rig.minio.endpoint, "tests/reader-py")?;
    command.args(["-c", DATA_KEYS]).arg(file);
    let keys = process::run_successfully(&mut command, Duration::from_mins(1))?;
    let keys: Vec<_> = keys
        .lines()
        .map(|line| HEXLOWER.decode(line.as_bytes()))
        .collect::<Result<_, _>>()?;
    ensure!(keys.len() == headers.len(), "{} data keys", keys.len());
    Ok(keys)
}

/// Waits until nothing is found any more: connections that are idle keep an answer for some seconds.
async fn until_gone(needles: &Needles, process: u32, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let found = needles.found_in(process)?;
        if found.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still there: {found:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The promise of `sealgate keys flush`: working keys, and the data keys of open uploads, are gone, long before their time is over. Needs the right
/// to read another process's memory, which root has.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_flush_memory_holds_none_of_the_keys_that_were_in_use() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let process = rig.gateway.process.id();
        let (client, _) = rig.clients(BUCKET).await?;
        let large = pattern(8, 6 << 20);
        for number in 0..3 {
            put(&client, BUCKET, &format!("small {number}"), b"content").await?;
            put(&client, BUCKET, &format!("large {number}"), &large).await?;
            get(&client, BUCKET, &format!("large {number}")).await?;
        }
        let other = rig.another_gateway()?;
        put(&other.endpoint.s3()?, BUCKET, "of the other", b"content").await?;
        get(&client, BUCKET, "of the other").await?;
        let begun = client.create_multipart_upload().bucket(BUCKET).key("open");
        let upload = begun.send().await?.upload_id.context("no upload id")?;
        let part = |number: i32| {
            let part = client.upload_part().bucket(BUCKET).key("open");
            let part = part.upload_id(&upload).part_number(number);
            part.body(large.clone().into()).send()
        };
        let first = part(1).await?;

        let working = working_keys(rig).await?;
        ensure!(working.len() >= 2, "{} keys", working.len());
        let (of_objects, of_uploads) = headers(rig).await?;
        ensure!(of_objects.len() == 7 && of_uploads.len() == 1, "headers");
        let working_needles = working
            .values()
            .map(|key| ("working key", key.expose().as_slice()));
        let of_objects = data_keys(rig, &of_objects, &working)?;
        let of_uploads = data_keys(rig, &of_uploads, &working)?;
        let all = working_needles
            .chain(
                of_objects
                    .iter()
                    .map(|key| ("data key of an object", key.as_slice())),
            )
            .chain(
                of_uploads
                    .iter()
                    .map(|key| ("data key of an upload", key.as_slice())),
            );
        let needles = Needles::of(all);
        let before = needles.found_in(process)?;
        for known in ["working key, raw", "data key of an upload, raw"] {
            ensure!(
                before.iter().any(|found| found.starts_with(known)),
                "a test that sees no {known} proves nothing: {before:?}"
            );
        }
        // What was sealed or opened whole is over with its request.
        ensure!(
            !before
                .iter()
                .any(|found| found.starts_with("data key of an object")),
            "{before:#?}"
        );

        let (succeeded, report, said) = report(
            &mut rig.gateway.command("keys flush")?,
            Duration::from_mins(1),
        )?;
        ensure!(succeeded, "{report} {said}");
        until_gone(&needles, process, Duration::from_secs(20)).await?;

        // It is alive, opens what it has forgotten, and the upload goes on.
        ensure!(get(&client, BUCKET, "of the other").await? == b"content");
        let second = part(2).await?;
        let parts = [(1, first.e_tag), (2, second.e_tag)].map(|(number, tag)| {
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(tag)
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.into()));
        client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("open")
            .upload_id(&upload)
            .multipart_upload(parts.build())
            .send()
            .await?;
        ensure!(get(&client, BUCKET, "open").await? == [large.clone(), large].concat());
        ensure!(!needles.found_in(process)?.is_empty());
        // Until here, so that the flush did not wait for one that is gone.
        drop(other);
        Ok(())
    })
    .await
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
        let needles = Needles::of(
            keys.values()
                .map(|key| ("working key", key.expose().as_slice())),
        );
        let before = needles.found_in(process)?;
        ensure!(
            before.iter().any(|found| found.contains("raw")),
            "a test that sees no key proves nothing: {before:?}"
        );

        until_gone(&needles, process, Duration::from_secs(40)).await?;
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
