//! `sealgate verify`: a storage that is well is said to be, and everything that is done to it behind the gateway's back is found, by structure
//! where that can be, and else by the bytes.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, ChecksumAlgorithm, VersioningConfiguration},
};
use sealgate_tests::{
    content::pattern,
    process::Process,
    rig::{Rig, put, state_bucket, with_rig},
    servers::{Gateway, report},
};
use serde_json::Value;

use crate::stored::{PART, Stored, upload_in_parts};

const BUCKET: &str = "audited";
const OTHER: &str = "elsewhere";
const LIMIT: Duration = Duration::from_mins(4);

/// Longer than what is verified before it is stored, so that there is a commit record that counts.
const LATE: usize = 3 * 1024 * 1024 + 5;

/// Runs `sealgate verify` and reads its report; with its exit status.
fn verify(gateway: &Gateway, arguments: &[&str]) -> Result<(bool, Value)> {
    let mut command = gateway.command("verify")?;
    let (succeeded, report, said) = report(command.args(arguments), LIMIT)?;
    ensure!(report.is_object(), "no report: {said}");
    Ok((succeeded, report))
}

/// Keys and classes of what was found.
fn found(report: &Value) -> Result<BTreeSet<(String, String)>> {
    let findings = report["findings"].as_array().context("findings")?;
    let found = findings.iter().map(|finding| {
        let text =
            |name: &str| Ok::<_, anyhow::Error>(finding[name].as_str().context("text")?.to_owned());
        ensure!(!text("fix")?.is_empty() && !text("cause")?.is_empty());
        Ok((text("key")?, text("class")?))
    });
    found.collect()
}

fn expect(report: &Value, expected: &[(&str, &str)]) -> Result<()> {
    let pairs = expected.iter();
    let expected: BTreeSet<_> = pairs
        .map(|(key, class)| ((*key).to_owned(), (*class).to_owned()))
        .collect();
    let found = found(report)?;
    ensure!(found == expected, "found {found:?}, expected {expected:?}");
    Ok(())
}

/// Objects of every kind.
async fn fill(rig: &Rig) -> Result<(Client, Client)> {
    let (through, bare) = rig.clients(BUCKET).await?;
    for (key, length) in [
        ("empty", 0),
        ("small", 100_000),
        ("twin", 100_000),
        ("late", LATE),
    ] {
        put(&through, BUCKET, key, &pattern(length as u64, length)).await?;
    }
    for (key, algorithm) in [
        ("checked-1", ChecksumAlgorithm::Sha256),
        ("checked-2", ChecksumAlgorithm::Crc32C),
    ] {
        through
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .checksum_algorithm(algorithm)
            .body(pattern(7, 1_000).into())
            .send()
            .await?;
    }
    upload_in_parts(&through, BUCKET, "parts", &pattern(8, PART + 70_000)).await?;
    Ok((through, bare))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_is_said_to_be() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = fill(rig).await?;
        rig.clients(OTHER).await?;
        put(&through, OTHER, "one/more", b"more").await?;
        through
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("open")
            .send()
            .await?;
        for options in [&[][..], &["--deep"], &["--deep", "--versions"]] {
            let (succeeded, report) = verify(&rig.gateway, options)?;
            ensure!(succeeded, "{options:?}: {report}");
            ensure!(
                report["complete"] == true && report["objects"] == 8,
                "{report}"
            );
            ensure!(report["open_uploads"] == 1, "{report}");
            ensure!(report["registry_records"].as_u64() >= Some(2), "{report}");
            ensure!(report["last"] == format!("{OTHER}/one/more"), "{report}");
            let bytes = 200_000 + LATE + 2_000 + PART + 70_000 + 4;
            let expected = if options.is_empty() { 0 } else { bytes };
            ensure!(report["bytes"] == expected, "{report}");
        }
        for (options, objects) in [
            (&["--bucket", BUCKET][..], 7),
            (&["--prefix", "checked-"], 2),
            (&["--resume-from", "audited/late"], 4),
            (&["--resume-from", "elsewhere/one/more"], 0),
        ] {
            let (succeeded, report) = verify(&rig.gateway, options)?;
            ensure!(
                succeeded && report["objects"] == objects,
                "{options:?}: {report}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_bytes_are_found_by_opening_them() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = fill(rig).await?;
        for (key, place) in [("small", 50_000), ("late", 2_000_000), ("parts", 5_300_000)] {
            let stored = Stored::fetch(&bare, BUCKET, key).await?;
            stored.flipped(place)?.replace(&bare, BUCKET, key).await?;
        }
        // The last character of a header belongs to its MAC.
        let stored = Stored::fetch(&bare, BUCKET, "empty").await?;
        let header = stored.header()?;
        let (rest, last) = header.split_at(header.len() - 3);
        let other = if last.starts_with('A') { "B" } else { "A" };
        let altered = stored.with_header(&format!("{rest}{other}{}", &last[1..]));
        altered.replace(&bare, BUCKET, "empty").await?;
        // Two objects in each other's place, of one length and one domain.
        let one = Stored::fetch(&bare, BUCKET, "checked-1").await?;
        let two = Stored::fetch(&bare, BUCKET, "checked-2").await?;
        one.replace(&bare, BUCKET, "checked-2").await?;
        two.replace(&bare, BUCKET, "checked-1").await?;

        let (succeeded, report) = verify(&rig.gateway, &[])?;
        ensure!(succeeded, "nobody can tell without keys: {report}");
        let (succeeded, report) = verify(&rig.gateway, &["--deep"])?;
        ensure!(!succeeded);
        let damaged = ["small", "late", "parts", "empty", "checked-1", "checked-2"];
        expect(&report, &damaged.map(|key| (key, "damaged")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_lost_its_shape_is_found_without_keys() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = fill(rig).await?;
        rig.clients(OTHER).await?;
        put(&through, OTHER, "moved", b"from elsewhere").await?;

        let small = Stored::fetch(&bare, BUCKET, "small").await?;
        let cut =
            |kept: usize| Ok::<_, anyhow::Error>(small.body.get(..kept).context("cut")?.to_vec());
        let cases = [
            ("cut", small.with_body(cut(60_000)?)),
            // The length of another sealed object.
            ("cut-well", small.with_body(cut(413)?)),
            ("emptied", small.with_body(Vec::new())),
            ("half-a-header", small.with_header(&small.header()?[..90])),
            ("tail", small.flipped(-8)?),
        ];
        for (key, stored) in &cases {
            stored.replace(&bare, BUCKET, key).await?;
        }
        let mut described = small.clone();
        described
            .metadata
            .insert("planted".to_owned(), "x".to_owned());
        described.replace(&bare, BUCKET, "planted").await?;
        let parts = Stored::fetch(&bare, BUCKET, "parts").await?;
        // A whole segment and its overhead less, so that the length alone says nothing.
        let kept = parts.body.len() - 65_564;
        let shorter = parts.body.get(..kept).context("cut")?.to_vec();
        parts
            .with_body(shorter)
            .replace(&bare, BUCKET, "parts")
            .await?;
        bare.put_object()
            .bucket(BUCKET)
            .key("plain")
            .body(b"plain".to_vec().into())
            .send()
            .await?;
        bare.copy_object()
            .bucket(BUCKET)
            .key("moved")
            .copy_source(format!("{OTHER}/moved"))
            .send()
            .await?;

        let (succeeded, report) = verify(&rig.gateway, &["--bucket", BUCKET])?;
        ensure!(!succeeded);
        expect(
            &report,
            &[
                ("cut", "length"),
                ("cut-well", "length"),
                ("emptied", "length"),
                ("half-a-header", "header"),
                ("tail", "commit-region"),
                ("planted", "foreign-metadata"),
                ("parts", "commit-region"),
                ("plain", "in-the-clear"),
                ("moved", "other-domain"),
            ],
        )
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_altered_records_are_found() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = fill(rig).await?;
        let state = state_bucket(&bare).await?;
        through
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("open")
            .send()
            .await?;
        let names = async |prefix: &str| -> Result<Vec<String>> {
            let listing = bare
                .list_objects_v2()
                .bucket(&state)
                .prefix(prefix)
                .send()
                .await?;
            let keys = listing.contents().iter().filter_map(|object| object.key());
            Ok(keys.map(str::to_owned).collect())
        };
        let upload = names("uploads/").await?;
        let upload = upload
            .iter()
            .find(|name| name.ends_with("/record"))
            .context("upload")?;
        let record = sealgate_tests::rig::get(&bare, &state, upload).await?;
        let mut altered = record.clone();
        // The MAC alone.
        *altered.last_mut().context("empty")? ^= 1;
        put(&bare, &state, upload, &altered).await?;
        ensure!(verify(&rig.gateway, &[])?.0);
        let (succeeded, report) = verify(&rig.gateway, &["--deep"])?;
        ensure!(!succeeded);
        expect(&report, &[(upload, "upload-record")])?;
        put(&bare, &state, upload, b"no record").await?;
        let (succeeded, report) = verify(&rig.gateway, &[])?;
        ensure!(!succeeded);
        expect(&report, &[(upload, "upload-record")])?;
        put(&bare, &state, upload, &record).await?;
        ensure!(verify(&rig.gateway, &["--deep"])?.0);

        // One working key has sealed all of them.
        let small = Stored::fetch(&bare, BUCKET, "small").await?;
        let mut missing = Vec::new();
        for name in names("registry/").await? {
            let record = sealgate_tests::rig::get(&bare, &state, &name).await?;
            let mut altered = record.clone();
            *altered.last_mut().context("empty")? ^= 1;
            put(&bare, &state, &name, &altered).await?;
            missing.push((name, record));
        }
        ensure!(verify(&rig.gateway, &[])?.0);
        let (succeeded, report) = verify(&rig.gateway, &["--deep"])?;
        ensure!(!succeeded);
        for (name, _) in &missing {
            ensure!(
                found(&report)?.contains(&(name.clone(), "registry-damaged".to_owned())),
                "{report}"
            );
        }
        for (name, _) in &missing {
            bare.delete_object().bucket(&state).key(name).send().await?;
        }
        let (succeeded, report) = verify(&rig.gateway, &["--prefix", "small"])?;
        ensure!(!succeeded);
        expect(
            &report,
            &[("small", "registry-missing"), (upload, "registry-missing")],
        )?;
        for (name, record) in &missing {
            put(&bare, &state, name, record).await?;
        }
        ensure!(verify(&rig.gateway, &["--deep"])?.0);
        small.replace(&bare, BUCKET, "small").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_are_looked_at_where_that_is_asked_for() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        through
            .put_bucket_versioning()
            .bucket(BUCKET)
            .versioning_configuration(enabled.build())
            .send()
            .await?;
        put(&through, BUCKET, "object", &pattern(1, 1_000)).await?;
        let first = Stored::fetch(&bare, BUCKET, "object").await?;
        first.flipped(100)?.replace(&bare, BUCKET, "object").await?;
        first.replace(&bare, BUCKET, "object").await?;
        bare.delete_object()
            .bucket(BUCKET)
            .key("deleted")
            .send()
            .await?;
        let (succeeded, report) = verify(&rig.gateway, &["--deep"])?;
        ensure!(succeeded && report["objects"] == 1, "{report}");
        let (succeeded, report) = verify(&rig.gateway, &["--deep", "--versions"])?;
        ensure!(!succeeded && report["objects"] == 3, "{report}");
        expect(&report, &[("object", "damaged")])?;
        ensure!(report["findings_count"] == 1);
        ensure!(
            report["findings"][0]["version_id"]
                .as_str()
                .is_some_and(|id| !id.is_empty())
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_with_a_report_and_another_run_goes_on() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = fill(rig).await?;
        for number in 0..20 {
            put(&through, BUCKET, &format!("more-{number:02}"), b"more").await?;
        }
        let mut command = rig.gateway.command("verify")?;
        command.args(["--json", "--concurrency", "1", "--objects-per-second", "1"]);
        let mut running = Process::start("verify", &mut command, rig.directory())?;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let status = running.terminate(Duration::from_secs(20))?;
        // Its last lines may be on their way still.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let report: Value = serde_json::from_str(&running.printed().join("\n"))?;
        let seen = report["objects"].as_u64().context("objects")?;
        ensure!(
            !status.success() && report["complete"] == false && (1..27).contains(&seen),
            "{report}"
        );
        let last = report["last"].as_str().context("last")?;
        ensure!(running.logged()?.contains(last), "it says where to go on");
        let (succeeded, rest) = verify(&rig.gateway, &["--resume-from", last])?;
        ensure!(succeeded && rest["objects"] == 27 - seen, "{rest}");
        Ok(())
    })
    .await
}

/// So many that each of them waiting for the key service by itself would take a minute.
const MANY: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_that_is_away_is_named_and_waited_for_once() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        for number in 0..MANY {
            put(&through, BUCKET, &number.to_string(), b"content").await?;
        }
        rig.key_server.kill()?;
        let began = Instant::now();
        let (succeeded, report) = verify(&rig.gateway, &["--deep", "--bucket", BUCKET])?;
        let time = began.elapsed();
        ensure!(!succeeded && report["objects"] == MANY, "{report}");
        let findings = report["findings"].as_array().context("findings")?;
        let unknown = findings
            .iter()
            .filter(|finding| finding["bucket"] == BUCKET && finding["class"] == "not-checked");
        ensure!(unknown.count() == MANY, "{report}");
        let away = report["key_services_away"].as_array().context("away")?;
        let [away] = away.as_slice() else {
            anyhow::bail!("{report}");
        };
        ensure!(
            away["name"].is_string() && away["cause"].is_string(),
            "{report}"
        );
        ensure!(
            time < Duration::from_secs(30),
            "{time:?} for {MANY} objects"
        );
        Ok(())
    })
    .await
}
