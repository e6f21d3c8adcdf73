//! A bucket that was there before the gateway: read while it is half sealed, sealed in place, and nothing lost whatever happens meanwhile.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, ObjectAttributes,
        ObjectVersion, Tag, VersioningConfiguration,
    },
};
use sealgate_tests::{
    content::{Canary, pattern},
    process::{self, Process},
    rig::{Rig, bounded, fingerprint, get, put},
    servers::GatewaySettings,
};
use serde_json::Value;

const BUCKET: &str = "migrated";
const OTHER: &str = "not-migrating";
const MARKED: &str = "[[migrating]]\nbuckets = [\"migrated\"]\n";
const PART: usize = 5 * 1024 * 1024;
const LIMIT: Duration = Duration::from_mins(4);

/// A rig whose gateway serves [`BUCKET`] as migrating; the bucket is made bare.
async fn marked_rig() -> Result<(Rig, Client, Client)> {
    let rig = Rig::start_with(MARKED)?;
    let bare = rig.minio.endpoint.s3()?;
    bare.create_bucket().bucket(BUCKET).send().await?;
    let through = rig.gateway.endpoint.s3()?;
    Ok((rig, bare, through))
}

/// Runs `sealgate migrate` and reads its JSON report; with its exit status.
fn migrate(rig: &Rig, arguments: &[&str]) -> Result<(bool, Value)> {
    let mut command = rig.gateway.command("migrate")?;
    command.args(["--bucket", BUCKET, "--json"]).args(arguments);
    let output = process::run(&mut command, LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = serde_json::from_str(&text).with_context(|| {
        format!(
            "no report: {text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    Ok((output.status.success(), report))
}

async fn put_in_parts(client: &Client, key: &str, body: &[u8]) -> Result<()> {
    let begun = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .send()
        .await?;
    let upload = begun.upload_id().context("no upload id")?;
    let mut parts = Vec::new();
    for (number, bytes) in (1..).zip(body.chunks(PART)) {
        let answer = client
            .upload_part()
            .bucket(BUCKET)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .body(bytes.to_vec().into())
            .send()
            .await?;
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(answer.e_tag().map(str::to_owned))
                .build(),
        );
    }
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .upload_id(upload)
        .multipart_upload(parts)
        .send()
        .await?;
    Ok(())
}

/// What the listing shows: size and tag by key.
async fn listed(client: &Client) -> Result<BTreeMap<String, (i64, String)>> {
    let page = client.list_objects_v2().bucket(BUCKET).send().await?;
    let objects = page.contents().iter().map(|object| {
        let key = object.key().context("no key")?.to_owned();
        let tag = object.e_tag().context("no tag")?.to_owned();
        Ok((key, (object.size().context("no size")?, tag)))
    });
    objects.collect()
}

async fn ranged(client: &Client, key: &str, range: &str) -> Result<(Vec<u8>, String)> {
    let answer = client
        .get_object()
        .bucket(BUCKET)
        .key(key)
        .range(range)
        .send()
        .await?;
    let shown = answer.content_range().unwrap_or_default().to_owned();
    Ok((answer.body.collect().await?.to_vec(), shown))
}

/// Whether the storage has a sealed header for the object.
async fn is_sealed(bare: &Client, key: &str) -> Result<bool> {
    let head = bare.head_object().bucket(BUCKET).key(key).send().await?;
    Ok(head
        .metadata()
        .is_some_and(|metadata| metadata.contains_key("sealgate")))
}

fn code<T, E: ProvideErrorMetadata>(outcome: Result<T, SdkError<E>>) -> String {
    match outcome {
        Ok(_) => "success".to_owned(),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_migrated_bucket_serves_both_kinds_and_lists_their_true_sizes() -> Result<()> {
    bounded(LIMIT, async {
        let (_rig, bare, through) = marked_rig().await?;
        let clear = pattern(1, 300_000);
        bare.put_object()
            .bucket(BUCKET)
            .key("clear")
            .content_type("text/before")
            .metadata("color", "blue")
            .tagging("team=whale")
            .body(clear.clone().into())
            .send()
            .await?;
        let large = pattern(2, PART + 1_000);
        put_in_parts(&bare, "clear-in-parts", &large).await?;
        // 413 is also the length of one sealed byte: only a HEAD can tell.
        put(&bare, BUCKET, "clear-like-sealed", &pattern(3, 413)).await?;
        let sealed = pattern(4, 300_000);
        put(&through, BUCKET, "sealed", &sealed).await?;
        ensure!(
            is_sealed(&bare, "sealed").await?,
            "what is written is sealed"
        );

        let (bare_list, list) = (listed(&bare).await?, listed(&through).await?);
        for key in ["clear", "clear-in-parts", "clear-like-sealed"] {
            ensure!(list[key] == bare_list[key], "{key}: {:?}", list[key]);
        }
        ensure!(list["sealed"].0 == 300_000, "{:?}", list["sealed"]);
        ensure!(list["sealed"].1.ends_with("-01\""), "{:?}", list["sealed"]);

        ensure!(get(&through, BUCKET, "clear").await? == clear);
        ensure!(get(&through, BUCKET, "clear-in-parts").await? == large);
        ensure!(get(&through, BUCKET, "sealed").await? == sealed);
        let (bytes, shown) = ranged(&through, "clear", "bytes=1000-1999").await?;
        ensure!(
            bytes == clear[1_000..2_000] && shown == "bytes 1000-1999/300000",
            "{shown}"
        );
        let (bytes, _) = ranged(&through, "clear", "bytes=-5").await?;
        ensure!(bytes == clear[clear.len() - 5..]);
        ensure!(
            code(
                through
                    .get_object()
                    .bucket(BUCKET)
                    .key("clear")
                    .range("bytes=300000-")
                    .send()
                    .await
            ) == "InvalidRange"
        );
        let part = through
            .get_object()
            .bucket(BUCKET)
            .key("clear-in-parts")
            .part_number(2)
            .send()
            .await?;
        ensure!(part.parts_count() == Some(2));
        ensure!(part.body.collect().await?.to_vec() == large[PART..]);

        let head = through
            .head_object()
            .bucket(BUCKET)
            .key("clear")
            .send()
            .await?;
        ensure!(
            head.content_length() == Some(300_000) && head.content_type() == Some("text/before")
        );
        ensure!(head.metadata().context("metadata")?["color"] == "blue");
        ensure!(
            head.e_tag() == Some(&bare_list["clear"].1),
            "its own tag: {:?}",
            head.e_tag()
        );

        let attributes = through
            .get_object_attributes()
            .bucket(BUCKET)
            .key("clear")
            .object_attributes(ObjectAttributes::ObjectSize)
            .object_attributes(ObjectAttributes::Etag)
            .send()
            .await?;
        ensure!(attributes.object_size() == Some(300_000));
        ensure!(
            attributes.e_tag().map(|tag| tag.trim_matches('"'))
                == Some(list["clear"].1.trim_matches('"'))
        );

        conditions(&through, &list["clear"].1, &list["sealed"].1).await?;
        copies(&through, &bare, &clear).await?;

        let begun = bare
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("open")
            .send()
            .await?;
        let outcome = through
            .upload_part()
            .bucket(BUCKET)
            .key("open")
            .upload_id(begun.upload_id().context("id")?)
            .part_number(1)
            .body(b"x".to_vec().into())
            .send()
            .await;
        ensure!(code(outcome) == "NoSuchUpload");
        Ok(())
    })
    .await
}

/// Each kind by the tag that it shows, and by no other.
async fn conditions(through: &Client, clear: &str, sealed: &str) -> Result<()> {
    let read = async |key: &str, matching: &str| {
        let request = through
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .if_match(matching);
        code(request.send().await)
    };
    ensure!(read("clear", clear).await == "success");
    ensure!(read("sealed", sealed).await == "success");
    let suffixed = clear.replace('"', "") + "-01";
    ensure!(read("clear", &suffixed).await == "PreconditionFailed");
    ensure!(read("sealed", &sealed.replace("-01", "")).await == "PreconditionFailed");
    let fresh = through
        .head_object()
        .bucket(BUCKET)
        .key("clear")
        .if_none_match(clear);
    let status = fresh
        .send()
        .await
        .err()
        .and_then(|error| Some(error.raw_response()?.status().as_u16()));
    ensure!(status == Some(304), "{status:?}");

    // Writes: the storage decides, by the tag that is meant.
    let write = async |key: &str, matching: &str| {
        let request = through
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .if_match(matching)
            .body(b"new".to_vec().into());
        code(request.send().await)
    };
    put_both(through).await?;
    ensure!(
        write("clear-like-sealed", "\"00000000000000000000000000000000\"").await
            == "PreconditionFailed"
    );
    let tag = through
        .head_object()
        .bucket(BUCKET)
        .key("clear-like-sealed")
        .send()
        .await?;
    let tag = tag.e_tag().context("tag")?.to_owned();
    ensure!(!tag.contains('-'), "still in the clear: {tag}");
    ensure!(write("clear-like-sealed", &tag).await == "success");
    ensure!(get(through, BUCKET, "clear-like-sealed").await? == b"new");
    Ok(())
}

async fn put_both(through: &Client) -> Result<()> {
    put(through, BUCKET, "another", b"sealed").await
}

/// Copies of what is not sealed are sealed where they go.
async fn copies(through: &Client, bare: &Client, clear: &[u8]) -> Result<()> {
    through.create_bucket().bucket(OTHER).send().await?;
    through
        .copy_object()
        .bucket(OTHER)
        .key("copy")
        .copy_source(format!("{BUCKET}/clear"))
        .send()
        .await?;
    let head = through
        .head_object()
        .bucket(OTHER)
        .key("copy")
        .send()
        .await?;
    ensure!(head.content_type() == Some("text/before"));
    ensure!(head.metadata().context("metadata")?["color"] == "blue");
    ensure!(get(through, OTHER, "copy").await? == clear);
    let tags = through
        .get_object_tagging()
        .bucket(OTHER)
        .key("copy")
        .send()
        .await?;
    ensure!(tags.tag_set().first().map(Tag::value) == Some("whale"));
    let stored = get(bare, OTHER, "copy").await?;
    ensure!(stored != clear, "the copy is sealed");

    let begun = through
        .create_multipart_upload()
        .bucket(OTHER)
        .key("parts")
        .send()
        .await?;
    let upload = begun.upload_id().context("id")?;
    let part = through
        .upload_part_copy()
        .bucket(OTHER)
        .key("parts")
        .upload_id(upload)
        .part_number(1)
        .copy_source(format!("{BUCKET}/clear"))
        .copy_source_range("bytes=100-199")
        .send()
        .await?;
    let tag = part
        .copy_part_result()
        .and_then(|result| result.e_tag())
        .context("tag")?;
    let parts = CompletedMultipartUpload::builder()
        .parts(CompletedPart::builder().part_number(1).e_tag(tag).build())
        .build();
    through
        .complete_multipart_upload()
        .bucket(OTHER)
        .key("parts")
        .upload_id(upload)
        .multipart_upload(parts)
        .send()
        .await?;
    let expected = clear.get(100..200).context("too short")?;
    ensure!(get(through, OTHER, "parts").await? == expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripped_header_is_refused_where_nothing_is_marked_and_an_altered_one_everywhere()
-> Result<()> {
    bounded(LIMIT, async {
        let (_rig, bare, through) = marked_rig().await?;
        through.create_bucket().bucket(OTHER).send().await?;
        for bucket in [OTHER, BUCKET] {
            put(&through, bucket, "object", b"sealed").await?;
            let head = bare
                .head_object()
                .bucket(bucket)
                .key("object")
                .send()
                .await?;
            let mut metadata = head.metadata().context("metadata")?.clone();
            let header = metadata.get_mut("sealgate").context("header")?;
            *header = header.replacen('A', "B", 1);
            bare.put_object()
                .bucket(bucket)
                .key("altered")
                .set_metadata(Some(metadata))
                .body(b"planted".to_vec().into())
                .send()
                .await?;
            let outcome = through
                .get_object()
                .bucket(bucket)
                .key("altered")
                .send()
                .await;
            ensure!(
                outcome.is_err(),
                "{bucket}: an altered header is never served in the clear"
            );
            put(&bare, bucket, "stripped", b"planted").await?;
        }
        let outcome = through
            .get_object()
            .bucket(OTHER)
            .key("stripped")
            .send()
            .await;
        ensure!(
            outcome.is_err(),
            "no plaintext fallback where nothing is marked"
        );
        ensure!(
            get(&through, BUCKET, "stripped").await? == b"planted",
            "what SECURITY.md warns of"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_seals_everything_and_leaves_no_plaintext_behind() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        let canary = Canary::generate()?;
        let mut contents = BTreeMap::new();
        for (number, length) in [0, 1, 70_000, 2_000_000, 3 * PART].into_iter().enumerate() {
            let body = [canary.bytes(), &pattern(number as u64, length)].concat();
            contents.insert(format!("a b/{number}+ü"), body);
        }
        contents.insert("empty".to_owned(), Vec::new());
        for (key, body) in &contents {
            bare.put_object()
                .bucket(BUCKET)
                .key(key)
                .content_type("text/before")
                .metadata("color", canary.hexadecimal())
                .tagging("team=blue%20whale")
                .body(body.clone().into())
                .send()
                .await?;
        }
        ensure!(!canary.found_in(&rig.minio.data)?.is_empty());
        let before = listed(&bare).await?;
        let (succeeded, report) = migrate(&rig, &["--dry-run"])?;
        ensure!(succeeded && report["sealed"] == contents.len(), "{report}");
        ensure!(listed(&bare).await? == before, "a dry run changes nothing");
        ensure!(!migrate(&rig, &["--check"])?.0, "not done yet");

        let (succeeded, report) = migrate(&rig, &["--part-size", "5MiB"])?;
        ensure!(succeeded && report["sealed"] == contents.len(), "{report}");
        ensure!(
            report["complete"] == true && report["failed"] == 0,
            "{report}"
        );
        let found = plaintext_left(&rig, &canary)?;
        ensure!(found.is_empty(), "plaintext is left in {found:?}");
        let (succeeded, report) = migrate(&rig, &["--check"])?;
        ensure!(
            succeeded && report["already_sealed"] == contents.len(),
            "{report}"
        );
        // Once more: nothing to do.
        let (succeeded, report) = migrate(&rig, &[])?;
        ensure!(succeeded && report["sealed"] == 0, "{report}");

        // A gateway without the mark serves all of it.
        let settings = GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint);
        let unmarked = rig.gateway_with(settings)?;
        let after = unmarked.endpoint.s3()?;
        for (key, body) in &contents {
            ensure!(get(&after, BUCKET, key).await? == *body, "{key}");
            let head = after.head_object().bucket(BUCKET).key(key).send().await?;
            ensure!(head.content_type() == Some("text/before"), "{key}");
            ensure!(head.metadata().context("metadata")?["color"] == canary.hexadecimal());
            let tags = after
                .get_object_tagging()
                .bucket(BUCKET)
                .key(key)
                .send()
                .await?;
            ensure!(tags.tag_set()[0].value() == "blue whale", "{key}");
        }
        let list = listed(&after).await?;
        for (key, body) in &contents {
            ensure!(list[key].0 == i64::try_from(body.len())?, "{key}");
        }
        drop(through);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_kill_9_and_the_next_run_finishes() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        let canary = Canary::generate()?;
        let mut contents = BTreeMap::new();
        for number in 0..12_u64 {
            let length = if number % 4 == 0 {
                2 * PART + 99
            } else {
                400_000
            };
            let body = [canary.bytes(), &pattern(number, length)].concat();
            put(&bare, BUCKET, &format!("object-{number:02}"), &body).await?;
            contents.insert(format!("object-{number:02}"), fingerprint(&body));
        }
        for (round, pause) in [700, 1_500, 2_500].into_iter().enumerate() {
            let mut command = rig.gateway.command("migrate")?;
            command.args(["--bucket", BUCKET, "--rate", "20MiB", "--part-size", "5MiB"]);
            let mut running =
                Process::start(&format!("migrate-{round}"), &mut command, rig.directory())?;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            running.kill()?;
            for (key, expected) in &contents {
                let found = fingerprint(&get(&through, BUCKET, key).await?);
                ensure!(found == *expected, "{key} after kill {round}");
            }
        }
        let (succeeded, report) = migrate(&rig, &["--part-size", "5MiB"])?;
        ensure!(succeeded && report["complete"] == true, "{report}");
        for (key, expected) in &contents {
            ensure!(is_sealed(&bare, key).await?, "{key}");
            ensure!(
                fingerprint(&get(&through, BUCKET, key).await?) == *expected,
                "{key}"
            );
        }
        let left = plaintext_left(&rig, &canary)?;
        ensure!(left.is_empty(), "plaintext is left in {left:?}");
        let state = state_bucket(&bare).await?;
        let staged = bare
            .list_objects_v2()
            .bucket(state)
            .prefix("migration/")
            .send()
            .await?;
        ensure!(
            staged.contents().is_empty(),
            "staged copies are left: {:?}",
            staged.contents()
        );
        Ok(())
    })
    .await
}

/// Files of MinIO that hold the canary. What it has deleted waits in a directory of its own until it gets round to it.
fn plaintext_left(rig: &Rig, canary: &Canary) -> Result<Vec<PathBuf>> {
    let found = canary.found_in(&rig.minio.data)?.into_iter();
    let is_deleted = |path: &PathBuf| path.to_string_lossy().contains(".minio.sys/tmp/");
    Ok(found.filter(|path| !is_deleted(path)).collect())
}

async fn state_bucket(bare: &Client) -> Result<String> {
    let buckets = bare.list_buckets().send().await?;
    let mut names = buckets.buckets().iter().filter_map(|bucket| bucket.name());
    let found = names.find(|name| name.starts_with("sealgate-state-"));
    Ok(found.context("no state bucket")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_write_meanwhile_is_never_overwritten() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        for number in 0..20_u64 {
            put(
                &bare,
                BUCKET,
                &format!("object-{number:02}"),
                &pattern(number, 300_000),
            )
            .await?;
        }
        let mut command = rig.gateway.command("migrate")?;
        command.args(["--bucket", BUCKET, "--rate", "2MiB", "--json"]);
        let mut running = Process::start("migrate", &mut command, rig.directory())?;
        let mut written = BTreeMap::new();
        let mut seed = 1_000_u64;
        while !running.has_ended()? {
            seed += 1;
            let key = format!("object-{:02}", seed % 20);
            let body = pattern(seed, 1_000);
            if seed.is_multiple_of(7) {
                through
                    .delete_object()
                    .bucket(BUCKET)
                    .key(&key)
                    .send()
                    .await?;
                written.insert(key, None);
            } else {
                put(&through, BUCKET, &key, &body).await?;
                written.insert(key, Some(body));
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        ensure!(
            written.len() > 5,
            "the migration ended before the writer had done anything"
        );
        for (key, body) in &written {
            match body {
                Some(body) => ensure!(get(&through, BUCKET, key).await? == *body, "{key}"),
                None => ensure!(get(&through, BUCKET, key).await.is_err(), "{key} came back"),
            }
        }
        let (succeeded, report) = migrate(&rig, &["--check"])?;
        ensure!(succeeded, "{report}\n{}", running.last_words());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_with_versions_the_clear_one_goes_and_history_stays_until_it_is_deleted()
-> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, through) = marked_rig().await?;
        put(&bare, BUCKET, "from-before-versioning", b"null version").await?;
        bare.put_bucket_versioning()
            .bucket(BUCKET)
            .versioning_configuration(
                VersioningConfiguration::builder()
                    .status(BucketVersioningStatus::Enabled)
                    .build(),
            )
            .send()
            .await?;
        put(&bare, BUCKET, "object", b"the first").await?;
        put(&bare, BUCKET, "object", b"the second").await?;
        let (succeeded, report) = migrate(&rig, &["--keep-versions"])?;
        ensure!(
            !succeeded && report["sealed"] == 2 && report["clear_versions"] == 1,
            "{report}"
        );
        // Each version by its own header: two in the clear, and the sealed one.
        let versions = through
            .list_object_versions()
            .bucket(BUCKET)
            .prefix("object")
            .send()
            .await?;
        let sizes: Vec<_> = versions
            .versions()
            .iter()
            .map(ObjectVersion::size)
            .collect();
        ensure!(sizes == [Some(10), Some(10), Some(9)], "{sizes:?}");
        for (version, body) in
            versions
                .versions()
                .iter()
                .zip(["the second", "the second", "the first"])
        {
            let answer = through
                .get_object()
                .bucket(BUCKET)
                .key("object")
                .version_id(version.version_id().context("id")?)
                .send()
                .await?;
            ensure!(answer.body.collect().await?.to_vec() == body.as_bytes());
        }
        // What a kill between the two steps leaves, the next run removes; another content stays.
        let (succeeded, report) = migrate(&rig, &[])?;
        ensure!(
            !succeeded && report["removed_versions"] == 2 && report["clear_versions"] == 1,
            "{report}"
        );
        let (succeeded, report) = migrate(&rig, &["--delete-clear-versions"])?;
        ensure!(succeeded && report["complete"] == true, "{report}");
        ensure!(get(&through, BUCKET, "object").await? == b"the second");
        ensure!(get(&through, BUCKET, "from-before-versioning").await? == b"null version");
        let versions = bare.list_object_versions().bucket(BUCKET).send().await?;
        ensure!(versions.versions().len() == 2 && versions.delete_markers().is_empty());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sealed_is_named_with_its_fix() -> Result<()> {
    bounded(LIMIT, async {
        let (rig, bare, _) = marked_rig().await?;
        put(&bare, BUCKET, "fine", b"fine").await?;
        bare.put_object()
            .bucket(BUCKET)
            .key("wordy")
            .metadata("story", "x".repeat(1_900))
            .body(b"wordy".to_vec().into())
            .send()
            .await?;
        for arguments in [&["--dry-run"][..], &[]] {
            let (succeeded, report) = migrate(&rig, arguments)?;
            ensure!(
                !succeeded && report["failed"] == 1 && report["sealed"] == 1,
                "{report}"
            );
            ensure!(report["failures"][0]["key"] == "wordy", "{report}");
            let fix = report["failures"][0]["fix"].as_str().context("fix")?;
            ensure!(fix.contains("shorten"), "{fix}");
        }
        ensure!(
            get(&bare, BUCKET, "wordy").await? == b"wordy",
            "it was left as it is"
        );
        Ok(())
    })
    .await
}
