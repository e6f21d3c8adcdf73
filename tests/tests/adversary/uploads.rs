//! Uploads that never were, and a storage that lies while something is uploaded. What was acknowledged opens as it was sent, or does not
//! open; what was refused opens never.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    content::pattern,
    multipart::{complete, upload_part},
    raw_http::{Payload, RawRequest},
    servers::{Action, Asked, Planted, Reply, meddler::pass},
};

use crate::{
    judgement::Outcome,
    material::{Kind, Material, sealed_length},
    scene::{PART, SUITES, Scene, abort, begin, with_scene},
};

const LIMIT: Duration = Duration::from_mins(4);

/// What a provider makes of the bytes that it kept: an object with the header that came with them, as long as the header says.
fn made_up(like: &Planted, header: &str, mut body: Vec<u8>, plaintext: usize) -> Planted {
    body.resize(sealed_length(plaintext), 0);
    like.with_headers(&[header])
        .with_body(body)
        .tagged("made-up")
}

fn header_of(asked: &Asked) -> Result<String> {
    let header = asked.headers.get("x-amz-meta-sealgate");
    Ok(header.context("no header")?.to_str()?.to_owned())
}

async fn never_opens(scene: &Scene, path: &str, planted: Planted, due: &[u8]) -> Result<()> {
    scene.adversary.plant(path, planted);
    for range in [None, Some("bytes=0-99"), Some("bytes=-10")] {
        let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
        let answer = scene.ask("GET", path, &headers).await?;
        let outcome = Outcome::of(&answer, due)?;
        ensure!(outcome == Outcome::Error, "{path}, {range:?}: {outcome:?}");
    }
    scene.adversary.behave(path);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_refused_or_cut_off_never_becomes_an_object() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        for bucket in SUITES {
            let like = Material::make(scene, bucket, "like", Kind::Single(10)).await?;
            let plaintext = pattern(5, 3 << 20);
            let length = plaintext.len().to_string();
            for (key, cut) in [("refused", false), ("cut-off", true)] {
                let path = format!("/{bucket}/{key}");
                scene.adversary.watch(&path);
                let request = RawRequest::new("PUT", &path)
                    .header("content-length", &length)
                    .sign(
                        &scene.gateway.endpoint,
                        // Signed is another body than is sent, or a longer one.
                        if cut {
                            Payload::Signed(&plaintext)
                        } else {
                            Payload::Signed(b"another")
                        },
                        SystemTime::now(),
                    )?;
                if cut {
                    let half = request.body(&plaintext[..2 << 20]);
                    half.send_and_close(&scene.gateway.endpoint).await.ok();
                } else {
                    let answer = request
                        .body(&plaintext)
                        .send(&scene.gateway.endpoint)
                        .await?;
                    ensure!(answer.status == 400, "{}", answer.status);
                }
                // The storage learns of the end a moment after the client.
                let mut seen = Vec::new();
                for _ in 0..100 {
                    seen = scene.adversary.seen(&path);
                    if !seen.is_empty() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let asked = seen
                    .iter()
                    .find(|asked| asked.method == "PUT")
                    .context("no PUT came")?;
                ensure!(
                    asked.body.len() > 1 << 20,
                    "{key}: only {} bytes came",
                    asked.body.len()
                );
                ensure!(
                    asked.body.len() < sealed_length(plaintext.len()),
                    "{key}: all of it came"
                );
                ensure!(
                    Planted::fetch(&scene.rig.minio.endpoint, &path)
                        .await
                        .is_err(),
                    "{key}: it exists"
                );
                let planted = made_up(
                    &like.object,
                    &header_of(asked)?,
                    asked.body.to_vec(),
                    plaintext.len(),
                );
                never_opens(scene, &path, planted, &plaintext).await?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_aborted_or_is_open_is_completed_by_nobody_else() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        for bucket in SUITES {
            let of =
                Material::make(scene, bucket, "aborted", Kind::Parts(vec![PART, 70_000])).await?;
            let header = of.aborted_header.clone().context("no header")?;
            let body = of.aborted.clone().context("no part")?.to_vec();
            let due = pattern(0, PART);
            never_opens(
                scene,
                &of.path(),
                made_up(&of.object, &header, body.clone(), PART),
                &due,
            )
            .await?;
            // With the commit region of an upload that was completed.
            let mut with_region = body;
            with_region.extend_from_slice(&of.object.body[of.region()..]);
            never_opens(
                scene,
                &of.path(),
                made_up(&of.object, &header, with_region, PART),
                &due,
            )
            .await?;
            // An open one.
            let key = format!("{}-open", of.key);
            let path = format!("/{bucket}/{key}");
            scene.adversary.watch(&path);
            let upload = begin(&scene.client, bucket, &key).await?;
            let plaintext = pattern(9, PART);
            upload_part(&scene.client, (bucket, &key), &upload, 1, &plaintext).await?;
            let seen = scene.adversary.seen(&path);
            let created = seen
                .iter()
                .find(|asked| asked.method == "POST")
                .context("no upload")?;
            let part = seen
                .iter()
                .find(|asked| asked.method == "PUT")
                .context("no part")?;
            let planted = made_up(&of.object, &header_of(created)?, part.body.to_vec(), PART);
            never_opens(scene, &path, planted, &plaintext).await?;
            abort(&scene.client, (bucket, &key), &upload).await?;
        }
        Ok(())
    })
    .await
}

pub(crate) type Lie = fn(&Asked, &mut Reply);

fn is_list(asked: &Asked) -> bool {
    asked.method == "GET" && asked.query.contains("uploadId=")
}

fn is_complete(asked: &Asked) -> bool {
    asked.method == "POST" && asked.query.contains("uploadId=")
}

fn edit(reply: &mut Reply, edit: impl Fn(&str) -> String) {
    let text = edit(&String::from_utf8_lossy(&reply.body));
    reply.remove("content-length");
    reply.body = text.into_bytes().into();
}

fn between(text: &str, before: &str, behind: &str, new: &str) -> String {
    let mut pieces = text.split(before);
    let mut made = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        made.push_str(before);
        match piece.split_once(behind) {
            Some((_, rest)) => {
                made.push_str(new);
                made.push_str(behind);
                made.push_str(rest);
            }
            None => made.push_str(piece),
        }
    }
    made
}

/// Lies while an upload is completed.
pub(crate) fn lies() -> Vec<(&'static str, Lie)> {
    vec![
        ("other sizes of parts", |asked, reply| {
            if is_list(asked) {
                edit(reply, |text| between(text, "<Size>", "<", "1"));
            }
        }),
        ("other entity tags of parts", |asked, reply| {
            if is_list(asked) {
                edit(reply, |text| {
                    between(
                        text,
                        "<ETag>",
                        "<",
                        "&#34;d41d8cd98f00b204e9800998ecf8427e&#34;",
                    )
                });
            }
        }),
        ("other numbers of parts", |asked, reply| {
            if is_list(asked) {
                edit(reply, |text| between(text, "<PartNumber>", "<", "7"));
            }
        }),
        ("no parts", |asked, reply| {
            if is_list(asked) {
                edit(reply, |text| {
                    let start = text.split("<Part>").next().unwrap_or_default();
                    format!("{start}</ListPartsResult>")
                });
            }
        }),
        ("parts without end", |asked, reply| {
            if is_list(asked) {
                edit(reply, |text| {
                    text.replace(
                        "<IsTruncated>false",
                        "<NextPartNumberMarker>1</NextPartNumberMarker><IsTruncated>true",
                    )
                });
            }
        }),
        ("half a document", |asked, reply| {
            if is_list(asked) {
                reply.remove("content-length");
                reply.body = reply.body.slice(..reply.body.len() / 2);
            }
        }),
        ("a completion that is an error", |asked, reply| {
            if is_complete(asked) {
                reply.status = 200;
                edit(reply, |_| {
                    "<Error><Code>InternalError</Code><Message>no</Message></Error>".to_owned()
                });
            }
        }),
        ("a completion that is nothing", |asked, reply| {
            if is_complete(asked) {
                edit(reply, |_| String::new());
            }
        }),
        ("a part without an entity tag", |asked, reply| {
            if asked.method == "PUT" {
                reply.remove("etag");
            }
        }),
        ("a part with another entity tag", |asked, reply| {
            if asked.method == "PUT" {
                reply.set("etag", "\"d41d8cd98f00b204e9800998ecf8427e\"");
            }
        }),
    ]
}

/// Uploads, with the storage lying, and says whether that was acknowledged.
async fn upload(scene: &Scene, bucket: &str, key: &str, plaintext: &[u8]) -> Result<()> {
    let place = (bucket, key);
    let upload = begin(&scene.client, bucket, key).await?;
    let (first, second) = plaintext.split_at(PART);
    let parts = vec![
        upload_part(&scene.client, place, &upload, 1, first).await?,
        upload_part(&scene.client, place, &upload, 2, second).await?,
    ];
    complete(&scene.client, place, &upload, parts).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_parts_and_completions_fail_the_upload_or_change_nothing() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        for (number, (name, lie)) in lies().into_iter().enumerate() {
            let bucket = SUITES.get(number % 2).copied().context("suite")?;
            let key = format!("lied-{number}");
            let path = format!("/{bucket}/{key}");
            let plaintext = pattern(number as u64, PART + 1_000);
            scene
                .adversary
                .trick(&path, move |asked, storage| async move {
                    let mut reply = Reply::from(pass(&storage, &asked, true).await?);
                    if asked.method == "HEAD" {
                        return Ok(Action::Pass);
                    }
                    lie(&asked, &mut reply);
                    Ok(Action::Reply(reply))
                });
            let acknowledged = upload(scene, bucket, &key, &plaintext).await.is_ok();
            scene.adversary.behave(&path);
            let answer = scene.ask("GET", &path, &[]).await?;
            let outcome = Outcome::of(&answer, &plaintext).with_context(|| name.to_owned())?;
            ensure!(
                outcome == Outcome::Right || !acknowledged,
                "{name}: acknowledged, and {outcome:?}"
            );
            let harmless = ["other sizes of parts", "parts without end"].contains(&name);
            ensure!(
                harmless == acknowledged || name == "parts without end",
                "{name}: acknowledged: {acknowledged}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_upload_id_for_two_uploads_and_one_entity_tag_for_two_attempts() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        // The second Create is answered as the first was.
        let path = "/aes/one-id";
        let kept = std::sync::Arc::new(std::sync::Mutex::new(None::<Reply>));
        scene.adversary.trick(path, move |asked, storage| {
            let kept = std::sync::Arc::clone(&kept);
            async move {
                if asked.method != "POST" || !asked.query.starts_with("uploads") {
                    return Ok(Action::Pass);
                }
                let reply = Reply::from(pass(&storage, &asked, true).await?);
                let first = kept
                    .lock()
                    .ok()
                    .and_then(|mut kept| kept.replace(reply.clone()));
                Ok(Action::Reply(first.unwrap_or(reply)))
            }
        });
        let first = begin(&scene.client, "aes", "one-id").await?;
        ensure!(
            begin(&scene.client, "aes", "one-id").await.is_err(),
            "two uploads have one id"
        );
        let plaintext = pattern(3, 1_000);
        let place = ("aes", "one-id");
        let part = upload_part(&scene.client, place, &first, 1, &plaintext).await?;
        complete(&scene.client, place, &first, vec![part]).await?;
        let answer = scene.ask("GET", path, &[]).await?;
        ensure!(
            Outcome::of(&answer, &plaintext)? == Outcome::Right,
            "the first upload suffers"
        );

        // Two attempts at one part, and the storage says that both are the same; it completes with what it has.
        let path = "/aes/one-tag";
        scene
            .adversary
            .trick(path, move |mut asked, storage| async move {
                const SAME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
                if is_complete(&asked) {
                    let listing = Asked {
                        method: "GET".to_owned(),
                        body: bytes::Bytes::new(),
                        ..asked.clone()
                    };
                    let listing = pass(&storage, &listing, true).await?.text();
                    let tag = listing
                        .split("<ETag>")
                        .nth(1)
                        .and_then(|rest| rest.split("</ETag>").next())
                        .context("no tag")?;
                    let tag = tag.replace("&#34;", "").replace("&quot;", "");
                    asked.body = String::from_utf8_lossy(&asked.body)
                        .replace(SAME, &tag)
                        .into_bytes()
                        .into();
                    return Ok(Action::Reply(Reply::from(
                        pass(&storage, &asked, true).await?,
                    )));
                }
                let mut reply = Reply::from(pass(&storage, &asked, true).await?);
                if asked.method == "PUT" && asked.query.contains("partNumber=1") {
                    reply.set("etag", &format!("\"{SAME}\""));
                } else if is_list(&asked) {
                    edit(&mut reply, |text| {
                        let (before, rest) = text.split_once("<ETag>").unwrap_or((text, ""));
                        let (_, rest) = rest.split_once("</ETag>").unwrap_or(("", rest));
                        format!("{before}<ETag>&#34;{SAME}&#34;</ETag>{rest}")
                    });
                } else if asked.method == "HEAD" {
                    return Ok(Action::Pass);
                }
                Ok(Action::Reply(reply))
            });
        let place = ("aes", "one-tag");
        let upload = begin(&scene.client, "aes", "one-tag").await?;
        let (old, new) = (pattern(11, PART), pattern(12, PART));
        let first = upload_part(&scene.client, place, &upload, 1, &old).await?;
        upload_part(&scene.client, place, &upload, 1, &new).await?;
        // The client means the first attempt, and the storage has the second.
        let acknowledged = complete(&scene.client, place, &upload, vec![first])
            .await
            .is_ok();
        scene.adversary.behave(path);
        let answer = scene.ask("GET", path, &[]).await?;
        let outcome = Outcome::of(&answer, &old)?;
        ensure!(
            outcome != Outcome::Right,
            "the storage has not what it is said to have"
        );
        ensure!(acknowledged || answer.status == 404, "{}", answer.status);
        Ok(())
    })
    .await
}
