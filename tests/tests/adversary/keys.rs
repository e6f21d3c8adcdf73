//! Wraps and key references as the storage likes them, copies, and what cannot be noticed.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use futures_util::future::try_join_all;
use sealgate_tests::{
    content::pattern,
    raw_http::{Payload, RawRequest},
    servers::{Action, GatewaySettings, Planted, Reply, meddler::pass},
};

use crate::{
    alterations::all,
    judgement::Outcome,
    material::{Kind, Material, store},
    scene::{PART, SUITES, with_scene},
};

const LIMIT: Duration = Duration::from_mins(4);

/// Headers that name working keys which nobody has.
const FORGED: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn forged_headers_do_not_flood_the_key_service_and_other_working_keys_open_nothing()
-> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let of = Material::make(scene, "aes", "keys", Kind::Single(1_000)).await?;
        let there = Material::make(scene, "chacha", "keys", Kind::Single(1_000)).await?;
        let header = BASE64URL_NOPAD.decode(of.object.header()?.as_bytes())?;
        let foreign = BASE64URL_NOPAD.decode(there.object.header()?.as_bytes())?;
        let plant = |bytes: &[u8]| {
            let planted = of.object.with_headers(&[&BASE64URL_NOPAD.encode(bytes)]);
            scene.adversary.plant(&of.path(), planted);
        };
        let refused = async || -> Result<()> {
            let answer = scene.ask("GET", &of.path(), &[]).await?;
            let outcome = Outcome::of(&answer, &of.plaintext)?;
            ensure!(outcome == Outcome::Error, "{outcome:?}");
            Ok(())
        };

        // The wrap of another working key, with its id and without, and the whole other header.
        let wraps = |header: &[u8]| -> Result<usize> {
            let length = header.get(136..138).context("length")?;
            Ok(138 + usize::from(u16::from_be_bytes(length.try_into()?)))
        };
        let tail = foreign
            .get(wraps(&foreign)?..foreign.len() - 32)
            .context("wraps")?;
        let mac = header.get(header.len() - 32..).context("mac")?;
        let mut exchanged = [header.get(..wraps(&header)?).context("start")?, tail, mac].concat();
        plant(&exchanged);
        refused().await?;
        exchanged
            .get_mut(8..24)
            .context("id")?
            .copy_from_slice(foreign.get(8..24).context("id")?);
        plant(&exchanged);
        refused().await?;
        plant(&foreign);
        refused().await?;

        // A key that the configuration does not name is never asked for.
        let before = scene.unwraps().await?;
        let mut unknown = header.clone();
        unknown.get_mut(8..24).context("id")?.fill(9);
        let reference = wraps(&header)? + 2;
        unknown
            .get_mut(reference..reference + 8)
            .context("reference")?
            .fill(7);
        plant(&unknown);
        refused().await?;
        ensure!(
            scene.unwraps().await? == before,
            "an unknown key was asked for"
        );

        // Each costs one question, and none when it is met again.
        let forge = async |number: u64| -> Result<()> {
            let mut forged = header.clone();
            forged
                .get_mut(8..16)
                .context("id")?
                .copy_from_slice(&number.to_be_bytes());
            plant(&forged);
            let answer = scene.ask("HEAD", &of.path(), &[]).await?;
            ensure!(answer.status >= 500, "{}", answer.status);
            Ok(())
        };
        for _ in 0..2 {
            for number in 0..FORGED {
                forge(number).await?;
            }
        }
        let asked = scene.unwraps().await? - before;
        ensure!(
            asked <= FORGED,
            "{asked} questions for {FORGED} forged headers, each read twice"
        );
        // Honest readers are served meanwhile.
        let answer = scene.ask("GET", &there.path(), &[]).await?;
        ensure!(
            Outcome::of(&answer, &there.plaintext)? == Outcome::Right,
            "others suffer"
        );
        scene.adversary.behave(&of.path());
        let answer = scene.ask("GET", &of.path(), &[]).await?;
        ensure!(
            Outcome::of(&answer, &of.plaintext)? == Outcome::Right,
            "it suffers"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_bucket_or_deployment_opens_nowhere_else() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let stranger = scene.rig.gateway_with(GatewaySettings {
            deployment: "another".to_owned(),
            ..GatewaySettings::new(&scene.rig.minio.endpoint, &scene.rig.key_server.endpoint)
        })?;
        let client = stranger.endpoint.s3()?;
        client.create_bucket().bucket("foreign").send().await?;
        let plaintext = pattern(4, 1_000);
        sealgate_tests::rig::put(&client, "foreign", "place", &plaintext).await?;
        store(scene, "chacha", "place", &Kind::Single(1_000), &plaintext).await?;
        store(scene, "aes", "place", &Kind::Single(1_000), &plaintext).await?;
        let storage = &scene.rig.minio.endpoint;
        for (from, to) in [
            ("/foreign/place", "/foreign/place"),
            ("/foreign/place", "/aes/place"),
            ("/chacha/place", "/aes/place"),
            ("/aes/place", "/aes/elsewhere"),
            ("/aes/place", "/chacha/place"),
        ] {
            scene
                .adversary
                .plant(to, Planted::fetch(storage, from).await?);
            for method in ["GET", "HEAD"] {
                let answer = scene.ask(method, to, &[]).await?;
                ensure!(answer.status == 500, "{from} at {to}: {}", answer.status);
            }
            scene.adversary.behave(to);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_what_was_altered_or_replaced_fail_or_do_not_open() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let kinds = [
            Kind::Single(300_000),
            Kind::Single((1 << 20) + 1),
            Kind::Parts(vec![PART, 70_000]),
        ];
        let of_all = SUITES
            .into_iter()
            .flat_map(|bucket| kinds.clone().map(|kind| (bucket, kind)));
        let tasks = of_all.map(|(bucket, kind)| async move {
            let of = Material::make(scene, bucket, "source", kind).await?;
            let other_bucket = SUITES
                .into_iter()
                .find(|other| *other != bucket)
                .context("another")?;
            let names = [
                "a bit of a ciphertext",
                "the commit region of another object",
                "the header of another object",
                "no header",
                "cut by a byte",
                "a segment twice",
                "another object of the bucket",
            ];
            for alteration in all()
                .iter()
                .filter(|alteration| names.contains(&alteration.name))
            {
                for (number, altered) in (alteration.make)(&of)?.into_iter().enumerate() {
                    scene.adversary.plant(
                        &of.path(),
                        altered.tagged(&format!("copied-{number}-{}", alteration.name.len())),
                    );
                    for target in [bucket, other_bucket] {
                        let to = format!("/{target}/copy-of-{}-{bucket}-{number}", of.key);
                        let answer = scene
                            .ask(
                                "PUT",
                                &to,
                                &[("x-amz-copy-source", &of.path()), ("content-length", "0")],
                            )
                            .await?;
                        let read = scene.ask("GET", &to, &[]).await?;
                        let outcome = Outcome::of(&read, &of.plaintext)
                            .with_context(|| format!("{to}: {}", alteration.name))?;
                        ensure!(
                            outcome != Outcome::Right,
                            "{to}: {}: the copy opens",
                            alteration.name
                        );
                        // Across buckets all is read; within one the storage copies what only readers verify.
                        let copied = answer.status == 200 && answer.error_code().is_none();
                        ensure!(
                            !copied
                                || (target == bucket && alteration.name == "a bit of a ciphertext"),
                            "{to}: {}: the copy is acknowledged",
                            alteration.name
                        );
                        scene.ask("DELETE", &to, &[]).await?;
                    }
                }
            }
            scene.adversary.behave(&of.path());
            // Replaced between the look and the copy, by a storage that ignores the condition.
            let to = format!("/{bucket}/late-copy-of-{}", of.key);
            let other = of.other.clone();
            let source = of.path();
            scene.adversary.trick(&to, move |mut asked, storage| {
                let (other, source) = (other.clone(), source.clone());
                async move {
                    if asked.method == "PUT" {
                        let length = other.body.len().to_string();
                        RawRequest::new("PUT", &source)
                            .header("content-length", &length)
                            .header("x-amz-meta-sealgate", other.header()?)
                            .sign(&storage, Payload::Signed(&other.body), SystemTime::now())?
                            .body(&other.body)
                            .send(&storage)
                            .await?;
                        asked.headers.remove("x-amz-copy-source-if-match");
                    }
                    Ok(Action::Reply(without_body_of_head(
                        &asked,
                        Reply::from(pass(&storage, &asked, true).await?),
                    )))
                }
            });
            let answer = scene
                .ask(
                    "PUT",
                    &to,
                    &[("x-amz-copy-source", &of.path()), ("content-length", "0")],
                )
                .await?;
            let copied = answer.status == 200 && answer.error_code().is_none();
            ensure!(!copied, "{to}: a copy of what was replaced is acknowledged");
            scene.adversary.behave(&to);
            let read = scene.ask("GET", &to, &[]).await?;
            ensure!(Outcome::of(&read, &of.plaintext)? == Outcome::Error, "{to}");
            anyhow::Ok(())
        });
        try_join_all(tasks).await?;
        Ok(())
    })
    .await
}

fn without_body_of_head(asked: &sealgate_tests::servers::Asked, mut reply: Reply) -> Reply {
    if asked.method == "HEAD" {
        reply.body = bytes::Bytes::new();
    }
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_older_version_a_missing_object_and_a_listing_are_the_storages_word()
-> Result<()> {
    with_scene("", LIMIT, async |scene| {
        for kind in [Kind::Single(1_000), Kind::Single((1 << 20) + 1), Kind::Parts(vec![70_000])] {
            let of = Material::make(scene, "aes", "fresh", kind.clone()).await?;
            let newer = pattern(99, kind.length());
            store(scene, "aes", &of.key, &kind, &newer).await?;
            let answer = scene.ask("GET", &of.path(), &[]).await?;
            ensure!(Outcome::of(&answer, &newer)? == Outcome::Right, "the newer version");
            // Rolled back, whole: that is what SECURITY.md says cannot be noticed.
            scene.adversary.plant(&of.path(), of.object.clone());
            let answer = scene.ask("GET", &of.path(), &[]).await?;
            ensure!(Outcome::of(&answer, &of.plaintext)? == Outcome::Right, "the older version");
            // Denied.
            scene.adversary.trick(&of.path(), |asked, _| async move {
                let body = if asked.method == "HEAD" { "" } else { "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>" };
                Ok(Action::Answer(404, body.as_bytes().to_vec()))
            });
            let answer = scene.ask("GET", &of.path(), &[]).await?;
            ensure!(answer.status == 404 && answer.error_code().as_deref() == Some("NoSuchKey"), "{}", answer.status);
            scene.adversary.behave(&of.path());
        }
        // Hidden, and with another size.
        scene.adversary.alter("/aes", |asked| asked.query.contains("list-type"), |reply| {
            reply.remove("content-length");
            reply.body = b"<ListBucketResult><Name>aes</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>risen</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag><Size>413</Size></Contents></ListBucketResult>".as_slice().into();
        });
        let answer = scene.ask("GET", "/aes?list-type=2", &[]).await?;
        ensure!(answer.status == 200, "{}", answer.status);
        let text = answer.text();
        ensure!(text.contains("<Key>risen</Key>") && text.contains("<Size>1</Size>") && !text.contains("fresh"), "{text}");
        Ok(())
    })
    .await
}
