//! Two versions at work on one storage, as during every update: whatever one has written, the other reads and goes on with.
//!
//! The other one is the program that `SEALGATE_OTHER_VERSION` names, which `tools/mixed-versions` sets; without it, this version once more.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{Client, types::Part};
use sealgate_tests::{
    content::pattern,
    multipart::{begin, complete, upload_part},
    python::run_aws,
    rig::{Rig, get, put, with_rig, with_rig_of},
    servers::{Gateway, report},
    session::SessionCredentials,
};

const BUCKET: &str = "mixed";
const LIMIT: Duration = Duration::from_mins(4);
const PART: usize = 5 << 20;

/// Nothing, one segment and more, what is verified before it is sent, and what is not.
const LENGTHS: [usize; 6] = [0, 1, 65_536, 65_537, (1 << 20) + 7, (9 << 20) + 5];

/// The storage with a gateway of each version, and who writes for whom.
async fn both(rig: &Rig, more: &str) -> Result<(Gateway, [(&'static str, Client, Client); 2])> {
    let other = rig.gateway_of_other_version(more)?;
    let (this, _) = rig.clients(BUCKET).await?;
    let that = other.endpoint.s3()?;
    let turns = [("this", this.clone(), that.clone()), ("other", that, this)];
    Ok((other, turns))
}

fn content(key: &str, length: usize) -> Vec<u8> {
    pattern(key.bytes().map(u64::from).sum(), length)
}

async fn write(client: &Client, key: &str, length: usize) -> Result<()> {
    client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .content_type("application/x-of-a-test")
        .metadata("key", key)
        .body(content(key, length).into())
        .send()
        .await
        .with_context(|| format!("PUT {key}"))?;
    Ok(())
}

async fn copy(client: &Client, from: &str, to: &str) -> Result<()> {
    client
        .copy_object()
        .copy_source(format!("{BUCKET}/{from}"))
        .bucket(BUCKET)
        .key(to)
        .send()
        .await
        .with_context(|| format!("a copy to {to}"))?;
    Ok(())
}

/// Reads all of an object, its headers and a range, and compares them with what was written under the name `source`.
async fn check(client: &Client, key: &str, source: &str, length: usize) -> Result<()> {
    let due = content(source, length);
    ensure!(
        get(client, BUCKET, key).await? == due,
        "{key} comes back otherwise"
    );
    let head = client.head_object().bucket(BUCKET).key(key).send().await?;
    ensure!(
        head.content_length() == Some(i64::try_from(length)?)
            && head.content_type() == Some("application/x-of-a-test")
            && head.metadata().and_then(|metadata| metadata.get("key")) == Some(&source.to_owned()),
        "{key}: {head:?}"
    );
    if length > 1 {
        let (first, last) = (length / 2, length - 1);
        let range = format!("bytes={first}-{last}");
        let request = client.get_object().bucket(BUCKET).key(key).range(&range);
        let part = request.send().await?.body.collect().await?.to_vec();
        let due = due.get(first..).unwrap_or_default();
        ensure!(part == due, "{range} of {key} comes otherwise");
    }
    Ok(())
}

/// An upload of two parts and a bit by two clients in turn, which the second completes.
async fn upload_by_both(one: &Client, two: &Client, key: &str) -> Result<Vec<u8>> {
    let body = content(key, 2 * PART + 77);
    let upload = begin(one, (BUCKET, key)).await?;
    let mut parts = Vec::new();
    for (number, bytes) in (1..).zip(body.chunks(PART)) {
        let client = if number == 2 { two } else { one };
        parts.push(upload_part(client, (BUCKET, key), &upload, number, bytes).await?);
    }
    for client in [one, two] {
        let request = client.list_parts().bucket(BUCKET).key(key);
        let listed = request.upload_id(&upload).max_parts(2).send().await?;
        let marker = listed.next_part_number_marker().context("a marker")?;
        // The rest is asked of the other one.
        let rest = two.list_parts().bucket(BUCKET).key(key).upload_id(&upload);
        let rest = rest.part_number_marker(marker).send().await?;
        let sizes: Vec<_> = listed
            .parts()
            .iter()
            .chain(rest.parts())
            .map(Part::size)
            .collect();
        let part = i64::try_from(PART)?;
        ensure!(sizes == [part, part, 77].map(Some), "{key}: {sizes:?}");
    }
    complete(two, (BUCKET, key), &upload, parts).await?;
    Ok(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_one_version_are_read_and_copied_by_the_other() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_other, turns) = both(rig, "").await?;
        for (name, writer, reader) in &turns {
            for length in LENGTHS {
                let key = format!("{name}-{length}");
                write(writer, &key, length).await?;
                check(reader, &key, &key, length).await?;
                let (own, others) = (format!("{key}-copied"), format!("{key}-by-the-other"));
                copy(writer, &key, &own).await?;
                check(reader, &own, &key, length).await?;
                copy(reader, &key, &others).await?;
                check(writer, &others, &key, length).await?;
            }
            let key = format!("{name}-deleted");
            write(writer, &key, 1).await?;
            reader
                .delete_object()
                .bucket(BUCKET)
                .key(&key)
                .send()
                .await?;
            ensure!(
                get(writer, BUCKET, &key).await.is_err(),
                "{key} is still there"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_version_are_gone_on_with_and_completed_by_the_other() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_other, turns) = both(rig, "").await?;
        for (name, one, two) in &turns {
            let key = format!("{name}-in-parts");
            let body = upload_by_both(one, two, &key).await?;
            for client in [one, two] {
                ensure!(
                    get(client, BUCKET, &key).await? == body,
                    "{key} comes back otherwise"
                );
            }
            let aborted = format!("{name}-aborted");
            let upload = begin(one, (BUCKET, &aborted)).await?;
            let uploads = two.list_multipart_uploads().bucket(BUCKET).send().await?;
            let listed: Vec<_> = uploads
                .uploads()
                .iter()
                .filter_map(|upload| upload.key())
                .collect();
            ensure!(listed == [aborted.as_str()], "{listed:?}");
            let abort = two.abort_multipart_upload().bucket(BUCKET).key(&aborted);
            abort.upload_id(&upload).send().await?;
            let late = upload_part(one, (BUCKET, &aborted), &upload, 1, b"late").await;
            ensure!(late.is_err(), "{aborted} takes a part");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_that_one_version_began_the_other_goes_on_with() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_other, turns) = both(rig, "").await?;
        let [(_, this, _), _] = &turns;
        let keys: BTreeSet<_> = (0..7).map(|number| format!("listed/{number}")).collect();
        for key in &keys {
            put(this, BUCKET, key, key.as_bytes()).await?;
        }
        for (_, one, two) in &turns {
            let (mut listed, mut token) = (Vec::new(), None);
            for client in [one, two].into_iter().cycle() {
                let page = client.list_objects_v2().bucket(BUCKET).max_keys(2);
                let page = page.set_continuation_token(token.take()).send().await?;
                for object in page.contents() {
                    let key = object.key().context("a key")?;
                    ensure!(
                        object.size() == Some(i64::try_from(key.len())?),
                        "{object:?}"
                    );
                    listed.push(key.to_owned());
                }
                token = page.next_continuation_token().map(str::to_owned);
                if token.is_none() {
                    break;
                }
            }
            ensure!(listed.iter().eq(&keys), "{listed:?}");
            let page = one
                .list_object_versions()
                .bucket(BUCKET)
                .max_keys(3)
                .send()
                .await?;
            let (key, version) = (page.next_key_marker(), page.next_version_id_marker());
            let rest = two.list_object_versions().bucket(BUCKET);
            let rest = rest.set_key_marker(key.map(str::to_owned));
            let rest = rest
                .set_version_id_marker(version.map(str::to_owned))
                .send()
                .await?;
            let listed = page.versions().len() + rest.versions().len();
            ensure!(listed == keys.len(), "{listed} versions");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_one_version_count_for_the_other() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "a secret of sessions, the same on every replica")?;
    let more = format!("[sessions]\nsecrets = [\"file:{}\"]\n", secret.display());
    with_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let (other, _) = both(rig, &more).await?;
        let listing = format!("/{BUCKET}?list-type=2");
        for (made, used) in [(&rig.gateway, &other), (&other, &rig.gateway)] {
            let printed = run_aws(&made.endpoint, ["sts", "get-session-token"])?;
            let session = SessionCredentials::of_sts(&printed)?;
            for gateway in [made, used] {
                let code = session.error_code(gateway, "GET", &listing).await?;
                ensure!(code.is_none(), "{code:?}");
            }
            let changed =
                session.with_token(&session.token.replacen('A', "B", 1).replacen('a', "b", 1));
            let code = changed.error_code(used, "GET", &listing).await?;
            ensure!(code.as_deref() == Some("InvalidToken"), "{code:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_version_wrapped_anew_and_verified_the_other_reads() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (other, turns) = both(rig, "").await?;
        for (name, writer, _) in &turns {
            write(writer, &format!("{name}-late"), 9 << 20).await?;
            upload_by_both(writer, writer, &format!("{name}-in-parts")).await?;
        }
        for gateway in [&rig.gateway, &other] {
            let mut command = gateway.command("keys rewrap")?;
            let (succeeded, rewrapped, said) = report(command.arg("--renew"), LIMIT)?;
            ensure!(
                succeeded && rewrapped["rewrapped"].as_u64() >= Some(2),
                "{rewrapped} {said}"
            );
            // Gateways that were there before have the keys in memory; these ask for them by their new wraps.
            for fresh in [rig.another_gateway()?, rig.gateway_of_other_version("")?] {
                let client = fresh.endpoint.s3()?;
                for (name, ..) in &turns {
                    let key = format!("{name}-late");
                    check(&client, &key, &key, 9 << 20).await?;
                }
                let mut command = fresh.command("verify")?;
                let (succeeded, verified, said) = report(command.arg("--deep"), LIMIT)?;
                ensure!(succeeded, "{verified} {said}");
            }
        }
        Ok(())
    })
    .await
}
