//! Everything comes out again: to files, and to buckets in the clear or sealed anew, verified, and never under a wrong or a partial name.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use sealgate_tests::{
    content::pattern,
    process::Process,
    rig::{get, put, state_bucket, with_rig},
    servers::{Action, Devstore, Gateway, GatewaySettings, Meddler, report},
};
use serde_json::Value;

const BUCKET: &str = "exported";
const PART: usize = 5 * 1024 * 1024;
const LIMIT: Duration = Duration::from_mins(4);

/// Runs `sealgate export` and reads its JSON report; with its exit status.
fn export(gateway: &Gateway, arguments: &[&str]) -> Result<(bool, Value)> {
    let (succeeded, report, said) = attempt(gateway, BUCKET, arguments)?;
    ensure!(report.is_object(), "no report: {said}");
    Ok((succeeded, report))
}

/// As [`export`], of any bucket, with what the command said. Where it was refused there is no report.
fn attempt(gateway: &Gateway, bucket: &str, arguments: &[&str]) -> Result<(bool, Value, String)> {
    let mut command = gateway.command("export")?;
    report(command.args(["--bucket", bucket]).args(arguments), LIMIT)
}

/// A key, the path of its file, and its bytes.
type Object = (&'static str, &'static str, Vec<u8>);

/// Objects with every kind of name.
fn objects() -> Vec<Object> {
    vec![
        ("a/../outside", "a%2F/%2E./outside", pattern(1, 10)),
        ("/absolute", "%/absolute", pattern(2, 10)),
        ("a", "a", pattern(3, 70_000)),
        ("a/", "a%2F/%", Vec::new()),
        ("a/b//c", "a%2F/b/%/c", pattern(4, 10)),
        ("large", "large", pattern(5, 2 * PART + 77)),
        ("ü & 100%", "ü & 100%25", pattern(6, 2_000_000)),
    ]
}

async fn fill(client: &Client, objects: &[Object]) -> Result<()> {
    for (key, _, body) in objects.iter().cloned() {
        client
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .content_type("text/mine")
            .metadata("color", "blue")
            .tagging("team=whale")
            .body(body.into())
            .send()
            .await
            .with_context(|| format!("PUT {key}"))?;
    }
    Ok(())
}

fn manifest(directory: &Path) -> Result<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(directory.join(".sealgate-export/manifest.jsonl"))?;
    // The first line says from where to where.
    let lines = text.lines().skip(1).map(|line| {
        let line: Value = serde_json::from_str(line)?;
        let key = line.get("key").and_then(Value::as_str);
        Ok((key.context("no key")?.to_owned(), line))
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_every_byte_under_safe_names_and_another_run_takes_only_what_changed()
-> Result<()> {
    with_rig(LIMIT, async |rig| {
        // Not MinIO, which refuses such keys.
        let store = Devstore::start(rig.directory())?;
        let gateway = rig.gateway_with(GatewaySettings::new(
            &store.endpoint,
            &rig.key_server.endpoint,
        ))?;
        let through = gateway.endpoint.s3()?;
        through.create_bucket().bucket(BUCKET).send().await?;
        fill(&through, &objects()).await?;
        let target = rig.directory().join("out").join("files");
        let shown = target.to_str().context("a path")?;
        let (succeeded, report) = export(&gateway, &["--to-directory", shown, "--dry-run"])?;
        ensure!(
            succeeded && report["exported"] == objects().len(),
            "{report}"
        );
        ensure!(!target.exists(), "a dry run writes nothing");

        let (succeeded, report) = export(&gateway, &["--to-directory", shown])?;
        ensure!(
            succeeded && report["exported"] == objects().len(),
            "{report}"
        );
        let manifest = manifest(&target)?;
        for (key, path, body) in objects() {
            ensure!(
                std::fs::read(target.join(path)).with_context(|| path.to_owned())? == body,
                "{key}"
            );
            let line = &manifest[key];
            ensure!(
                line["target"] == path && line["size"] == body.len(),
                "{line}"
            );
            ensure!(line["headers"]["content-type"] == "text/mine", "{line}");
            ensure!(line["headers"]["x-amz-meta-color"] == "blue", "{line}");
            ensure!(line["tags"]["team"] == "whale", "{line}");
        }
        ensure!(
            std::fs::read_dir(rig.directory().join("out"))?.count() == 1,
            "nothing outside of the directory"
        );

        put(&through, BUCKET, "a", b"changed").await?;
        std::fs::remove_file(target.join("large"))?;
        let (succeeded, report) = export(&gateway, &["--to-directory", shown])?;
        ensure!(
            succeeded && report["exported"] == 2 && report["skipped"] == 5,
            "{report}"
        );
        ensure!(std::fs::read(target.join("a"))? == b"changed");

        // What somebody else put there is not replaced.
        let other = rig.directory().join("other");
        std::fs::create_dir(&other)?;
        std::fs::write(other.join("a"), "mine")?;
        let (succeeded, report) = export(
            &gateway,
            &["--to-directory", other.to_str().context("a path")?],
        )?;
        ensure!(
            !succeeded && report["failed"] == 1 && report["failures"][0]["key"] == "a",
            "{report}"
        );
        ensure!(std::fs::read(other.join("a"))? == b"mine");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_or_was_never_sealed_leaves_no_file() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        put(&through, BUCKET, "good", b"good").await?;
        put(&through, BUCKET, "damaged", &pattern(1, 2_000_000)).await?;
        let stored = bare
            .get_object()
            .bucket(BUCKET)
            .key("damaged")
            .send()
            .await?;
        let metadata = stored.metadata().context("metadata")?.clone();
        let mut bytes = stored.body.collect().await?.to_vec();
        *bytes.get_mut(1_500_000).context("too short")? ^= 1;
        bare.put_object()
            .bucket(BUCKET)
            .key("damaged")
            .set_metadata(Some(metadata))
            .body(bytes.into())
            .send()
            .await?;
        put(&bare, BUCKET, "planted", b"planted").await?;
        let target = rig.directory().join("files");
        let (succeeded, report) = export(
            &rig.gateway,
            &["--to-directory", target.to_str().context("a path")?],
        )?;
        ensure!(
            !succeeded && report["failed"] == 2 && report["exported"] == 1,
            "{report}"
        );
        let mut names: Vec<_> = std::fs::read_dir(&target)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        ensure!(names == [".sealgate-export", "good"], "{names:?}");
        let own = std::fs::read_dir(target.join(".sealgate-export"))?.count();
        ensure!(own == 1, "only the journal");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_export_leaves_only_whole_files_and_goes_on() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, _) = rig.clients(BUCKET).await?;
        for number in 0..20_u64 {
            put(
                &through,
                BUCKET,
                &format!("object-{number:02}"),
                &pattern(number, 700_000),
            )
            .await?;
        }
        let target = rig.directory().join("files");
        let shown = target.to_str().context("a path")?.to_owned();
        let mut command = rig.gateway.command("export")?;
        command.args([
            "--bucket",
            BUCKET,
            "--to-directory",
            &shown,
            "--rate",
            "4MiB",
        ]);
        let mut running = Process::start("export", &mut command, rig.directory())?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        running.kill()?;
        let is_whole = |number: u64| {
            std::fs::read(target.join(format!("object-{number:02}")))
                .map(|bytes| bytes == pattern(number, 700_000))
        };
        ensure!(
            (0..20)
                .filter_map(|number| is_whole(number).ok())
                .all(|whole| whole)
        );
        let (succeeded, report) = export(&rig.gateway, &["--to-directory", &shown])?;
        ensure!(succeeded && report["failed"] == 0, "{report}");
        for number in 0..20 {
            ensure!(is_whole(number)?, "{number}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_everything_in_the_clear_or_sealed_anew() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let objects: Vec<_> = objects()
            .into_iter()
            .filter(|(key, ..)| ["a", "large", "ü & 100%"].contains(key))
            .collect();
        fill(&through, &objects).await?;
        for name in ["in-the-clear", "sealed-anew"] {
            bare.create_bucket().bucket(name).send().await?;
        }
        let journal = rig.directory().join("journal");
        let journal = journal.to_str().context("a path")?;
        let arguments = [
            "--to-bucket",
            "in-the-clear",
            "--journal",
            journal,
            "--part-size",
            "5MiB",
        ];
        let (succeeded, report) = export(&rig.gateway, &arguments)?;
        ensure!(succeeded && report["exported"] == 3, "{report}");
        for (key, _, body) in &objects {
            let head = bare
                .head_object()
                .bucket("in-the-clear")
                .key(*key)
                .send()
                .await?;
            ensure!(head.content_type() == Some("text/mine"), "{report}");
            ensure!(head.metadata().context("metadata")?["color"] == "blue");
            ensure!(get(&bare, "in-the-clear", key).await? == *body, "{key}");
        }
        // The journal is lost: what is the same is recognised, and what is not stays.
        put(&bare, "in-the-clear", "a", b"somebody else's").await?;
        std::fs::remove_file(journal)?;
        let (succeeded, report) = export(&rig.gateway, &arguments)?;
        ensure!(
            !succeeded && report["exported"] == 2 && report["failed"] == 1,
            "{report}"
        );
        ensure!(get(&bare, "in-the-clear", "a").await? == b"somebody else's");
        let (succeeded, report) =
            export(&rig.gateway, &[&arguments[..], &["--overwrite"]].concat())?;
        ensure!(
            succeeded && report["exported"] == 1 && report["skipped"] == 2,
            "{report}"
        );
        let (_, again) = export(&rig.gateway, &arguments)?;
        ensure!(again["exported"] == 0 && again["skipped"] == 3, "{again}");

        let other = rig.gateway_with(GatewaySettings {
            deployment: "another".to_owned(),
            ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
        })?;
        let configuration = other.configuration.to_str().context("a path")?;
        let journal = rig.directory().join("journal-sealed");
        let journal = journal.to_str().context("a path")?;
        let (succeeded, report) = export(
            &rig.gateway,
            &[
                "--to-bucket",
                "sealed-anew",
                "--to-config",
                configuration,
                "--journal",
                journal,
            ],
        )?;
        let reader = other.endpoint.s3()?;
        ensure!(succeeded, "{report}");
        for (key, _, body) in &objects {
            ensure!(get(&reader, "sealed-anew", key).await? == *body, "{key}");
            ensure!(
                get(&bare, "sealed-anew", key).await? != *body,
                "{key} is sealed"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_exports_to_one_place_do_not_replace_each_other() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        through.create_bucket().bucket("another").send().await?;
        put(&through, BUCKET, "a", b"of the first").await?;
        put(&through, "another", "a", b"of the second").await?;
        bare.create_bucket().bucket("target").send().await?;
        let files = rig.directory().join("files");
        let shown = files.to_str().context("a path")?;
        let journal = rig.directory().join("journal");
        let journal = journal.to_str().context("a path")?;
        for to in [
            &["--to-directory", shown][..],
            &["--to-bucket", "target", "--journal", journal],
        ] {
            ensure!(attempt(&rig.gateway, BUCKET, to)?.0);
            let with_prefix = [to, &["--prefix", "a"]].concat();
            for (bucket, arguments) in [("another", to), (BUCKET, &with_prefix[..])] {
                let (succeeded, report, said) = attempt(&rig.gateway, bucket, arguments)?;
                ensure!(
                    !succeeded && report.is_null() && said.contains("is of another export"),
                    "{said}"
                );
            }
            let (succeeded, report, said) = attempt(&rig.gateway, BUCKET, to)?;
            ensure!(succeeded && report["skipped"] == 1, "{said}");
        }
        ensure!(std::fs::read(files.join("a"))? == b"of the first");
        ensure!(get(&bare, "target", "a").await? == b"of the first");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_the_source_or_the_state_bucket_is_refused_under_any_name() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        put(&through, BUCKET, "a", b"sealed").await?;
        let state = state_bucket(&bare).await?;
        let alias = rig.minio.endpoint.url.replace("127.0.0.1", "localhost");
        let before = get(&bare, BUCKET, "a").await?;
        let storage = &rig.minio.endpoint;
        let same = "is the same bucket as";
        for (target, endpoint, refusal) in [
            (BUCKET, None, same),
            (&*state, None, same),
            (BUCKET, Some(&alias), same),
            (&*state, Some(&alias), "is a state bucket, by its name"),
        ] {
            let mut command = rig.gateway.command("export")?;
            command
                .args(["--bucket", BUCKET, "--to-bucket", target, "--overwrite"])
                .env("AWS_ACCESS_KEY_ID", &storage.access_key_id)
                .env("AWS_SECRET_ACCESS_KEY", &storage.secret_access_key)
                .current_dir(rig.directory());
            if let Some(endpoint) = endpoint {
                command.args(["--to-endpoint", endpoint]);
            }
            let (succeeded, _, said) = report(&mut command, LIMIT)?;
            ensure!(!succeeded && said.contains(refusal), "{target}: {said}");
        }
        ensure!(get(&bare, BUCKET, "a").await? == before);
        let page = bare.list_objects_v2().bucket(BUCKET).send().await?;
        ensure!(page.contents().len() == 1, "a probe is left: {page:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_target_that_ignores_conditions_gets_nothing_unless_all_may_be_replaced() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        put(&through, BUCKET, "a", b"of the export").await?;
        bare.create_bucket().bucket("target").send().await?;
        put(&bare, "target", "a", b"somebody else's").await?;
        let storage = rig.minio.endpoint.clone();
        let careless = Meddler::start(&storage, |asked| {
            Box::pin(async move {
                if asked.headers.contains_key("if-none-match") {
                    return Action::PassWithoutCondition;
                }
                Action::Pass
            })
        })
        .await?;
        let run = |more: &[&str]| {
            let mut command = rig.gateway.command("export")?;
            command
                .args(["--bucket", BUCKET, "--to-bucket", "target"])
                .args(["--to-endpoint", &careless.endpoint.url])
                .args(more)
                .env("AWS_ACCESS_KEY_ID", &storage.access_key_id)
                .env("AWS_SECRET_ACCESS_KEY", &storage.secret_access_key)
                .current_dir(rig.directory());
            report(&mut command, LIMIT)
        };
        let (succeeded, _, said) = run(&[])?;
        ensure!(
            !succeeded && said.contains("ignores If-None-Match"),
            "{said}"
        );
        ensure!(get(&bare, "target", "a").await? == b"somebody else's");
        let (succeeded, _, said) = run(&["--overwrite"])?;
        ensure!(succeeded, "{said}");
        ensure!(get(&bare, "target", "a").await? == b"of the export");
        let page = bare.list_objects_v2().bucket("target").send().await?;
        ensure!(page.contents().len() == 1, "a probe is left: {page:?}");
        Ok(())
    })
    .await
}
