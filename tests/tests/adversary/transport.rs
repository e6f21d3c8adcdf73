//! Answers that are not what was asked for, or never end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use sealgate_tests::{
    content::pattern,
    servers::{Action, Asked, Ending, Planted, Reply, meddler::pass},
};
use tokio::net::TcpListener;

use crate::{
    judgement::Outcome,
    material::{Kind, Material, store},
    scene::{PART, SUITES, Scene, with_scene},
};

const LIMIT: Duration = Duration::from_mins(4);

/// Short enough for a test, and longer than a busy machine takes.
const IMPATIENT: &str = "\n[limits]\nidle_timeout = \"3s\"\nupstream_response_timeout = \"3s\"\n";

type Lie = fn(&mut Reply);

/// Lies in every answer to a GET that an altered reply can tell. None of them may end as if all were well.
pub(crate) fn lies() -> Vec<(&'static str, Lie)> {
    vec![
        ("a range that begins elsewhere", |reply| {
            move_range(reply, 1, 0);
        }),
        ("a range of another length", |reply| move_range(reply, 0, 1)),
        ("a range that cannot be read", |reply| {
            if reply.status == 206 {
                reply.set("content-range", "bytes */*");
            } else {
                reply.set("content-range", "bytes 0-18446744073709551615/1");
            }
        }),
        (
            "a whole object where a range was asked for, and the other way round",
            |reply| {
                reply.status = if reply.status == 206 { 200 } else { 206 };
            },
        ),
        ("a longer Content-Length", |reply| lengthen(reply, 1)),
        ("a shorter Content-Length", |reply| lengthen(reply, -1)),
        ("a Content-Length of exabytes", |reply| {
            reply.set("content-length", &(1_u64 << 60).to_string());
        }),
        ("no Content-Length", |reply| reply.remove("content-length")),
        ("a body that breaks off", |reply| {
            reply.body = reply.body.slice(..reply.body.len() / 2);
            reply.ending = Ending::Broken;
        }),
        ("fewer bytes than the range has", |reply| {
            reply.body = reply.body.slice(..reply.body.len() / 2);
            let length = reply.body.len().to_string();
            reply.set("content-length", &length);
        }),
        ("a body without end", |reply| {
            reply.remove("content-length");
            reply.ending = Ending::Endless;
        }),
        ("a body that is said to be compressed", |reply| {
            reply.set("content-encoding", "gzip");
        }),
        ("a body in other letters", |reply| {
            let altered: Vec<u8> = reply.body.iter().map(|byte| byte ^ 0x20).collect();
            reply.body = altered.into();
        }),
        ("an error with a success's body", |reply| reply.status = 503),
        ("a partial success", |reply| reply.status = 203),
        ("no content", |reply| {
            reply.status = 204;
            reply.remove("content-length");
            reply.body = Bytes::new();
        }),
        ("no entity tag", |reply| reply.remove("etag")),
        ("two entity tags", |reply| {
            reply
                .headers
                .push(("etag".to_owned(), "\"another\"".to_owned()));
        }),
    ]
}

fn move_range(reply: &mut Reply, by: u64, longer: u64) {
    let moved = reply
        .headers
        .iter()
        .find(|(name, _)| name == "content-range");
    let moved = moved.and_then(|(_, value)| {
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| text.parse::<u64>().ok();
        Some((
            number(first)? + by,
            number(last)? + by,
            number(total)? + longer,
        ))
    });
    match moved {
        Some((first, last, total)) => {
            reply.set("content-range", &format!("bytes {first}-{last}/{total}"));
        }
        // A whole read is told that it is a range.
        None => reply.set("content-range", &format!("bytes {by}-99/{}", 100 + longer)),
    }
}

fn lengthen(reply: &mut Reply, by: i64) {
    let length = i64::try_from(reply.body.len()).unwrap_or(0) + by;
    reply.set("content-length", &length.to_string());
    if by > 0 {
        reply.ending = Ending::Broken;
    }
}

fn is_get(asked: &Asked) -> bool {
    asked.method == "GET"
}

/// Each kind of object by each lie: of all answers, and only of those to requests for ranges.
async fn lie_about(scene: &Scene, of: &Material) -> Result<()> {
    let whole = &of.plaintext;
    let part = whole.get(70_000..70_100).context("a range")?;
    for (name, lie) in lies() {
        for only_ranges in [false, true] {
            scene.adversary.alter(
                &of.path(),
                move |asked| is_get(asked) && (!only_ranges || asked.headers.contains_key("range")),
                lie,
            );
            for (range, due) in [(None, whole.as_slice()), (Some("bytes=70000-70099"), part)] {
                let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
                let answer = scene.ask("GET", &of.path(), &headers).await;
                let answer = answer.with_context(|| format!("{}: {name}", of.path()))?;
                let outcome = Outcome::of(&answer, due)
                    .with_context(|| format!("{}: {name}: {range:?}", of.path()))?;
                let asks_for_ranges = range.is_some() || of.kind.needs_record();
                let lied = !only_ranges || asks_for_ranges;
                // Another status that means success, and all of the right bytes: nothing that has to be refused.
                let may_pass = name == "a partial success";
                ensure!(
                    may_pass || lied == (outcome != Outcome::Right),
                    "{}: {name}, only ranges {only_ranges}: {range:?}: {outcome:?}",
                    of.path()
                );
            }
        }
    }
    scene.adversary.behave(&of.path());
    let answer = scene.ask("GET", &of.path(), &[]).await?;
    ensure!(Outcome::of(&answer, whole)? == Outcome::Right, "afterwards");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_what_was_asked_for_is_never_taken_for_it() -> Result<()> {
    with_scene(IMPATIENT, LIMIT, async |scene| {
        let kinds = [
            Kind::Single(300_000),
            Kind::Single((1 << 20) + 1),
            Kind::Parts(vec![PART, 70_000]),
        ];
        let all = SUITES.into_iter().flat_map(|bucket| {
            kinds.clone().into_iter().map(move |kind| async move {
                let of = Material::make(scene, bucket, "transport", kind).await?;
                lie_about(scene, &of).await
            })
        });
        try_join_all(all).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_changes_between_two_requests_is_noticed() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        for kind in [Kind::Single((1 << 20) + 1), Kind::Parts(vec![PART, 70_000])] {
            let of = Material::make(scene, "aes", "changing", kind).await?;
            let mut other = of.other.clone();
            for same_tag in [false, true] {
                if same_tag {
                    other.entity_tag.clone_from(&of.object.entity_tag);
                }
                let (first, second) = (of.object.clone(), other.clone());
                for ranges_are_another in [true, false] {
                    let (plain, ranged) = if ranges_are_another {
                        (&first, &second)
                    } else {
                        (&second, &first)
                    };
                    let (plain, ranged) = (plain.clone(), ranged.clone());
                    scene.adversary.trick(&of.path(), move |asked, _| {
                        let chosen = if asked.headers.contains_key("range") {
                            &ranged
                        } else {
                            &plain
                        };
                        let chosen: Planted = chosen.clone();
                        async move { Ok(answer_with(&chosen, &asked)) }
                    });
                    let queries = if of.kind.is_multipart() {
                        vec!["", "?partNumber=2"]
                    } else {
                        vec![""]
                    };
                    for query in queries {
                        let due = if query.is_empty() {
                            of.plaintext.as_slice()
                        } else {
                            &of.plaintext[PART..]
                        };
                        let answer = scene
                            .ask("GET", &format!("{}{query}", of.path()), &[])
                            .await?;
                        let outcome = Outcome::of(&answer, due)?;
                        // What was remembered of the true version may serve it; the other one never opens here.
                        ensure!(
                            outcome != Outcome::Right || ranges_are_another || !query.is_empty(),
                            "{query}: {outcome:?}"
                        );
                    }
                }
            }
            scene.adversary.behave(&of.path());
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_under_one_entity_tag_are_never_put_together() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        for kind in [
            Kind::Single(300_000),
            Kind::Single((1 << 20) + 1),
            Kind::Parts(vec![PART, 70_000]),
        ] {
            let of = Material::make(scene, "aes", "pieces", kind.clone()).await?;
            let newer = pattern(98, kind.length());
            store(scene, "aes", &of.key, &kind, &newer).await?;
            let mut second = Planted::fetch(&scene.rig.minio.endpoint, &of.path()).await?;
            // The same to clients, and written otherwise.
            of.object
                .entity_tag
                .trim_matches('"')
                .clone_into(&mut second.entity_tag);

            scene.adversary.plant(&of.path(), of.object.clone());
            let range = [("range", "bytes=0-99999")];
            let answer = scene.ask("GET", &of.path(), &range).await?;
            ensure!(Outcome::of(&answer, &of.plaintext[..100_000])? == Outcome::Right);
            let tag = answer.header("etag").context("an entity tag")?.to_owned();
            let rest = ("range", "bytes=100000-199999");
            let go_on = [rest, ("if-match", tag.as_str())];
            let answer = scene.ask("GET", &of.path(), &go_on).await?;
            let due = &of.plaintext[100_000..200_000];
            ensure!(
                Outcome::of(&answer, due)? == Outcome::Right,
                "the same version"
            );

            for planted in [second, of.object.clone()] {
                let served = planted.clone();
                scene.adversary.trick(&of.path(), move |asked, _| {
                    let served = served.clone();
                    async move { Ok(answer_with(&served, &asked)) }
                });
                let due = if planted.body == of.object.body {
                    &of.plaintext
                } else {
                    &newer
                };
                for (method, headers) in [
                    ("GET", go_on.as_slice()),
                    ("GET", &go_on[1..]),
                    ("HEAD", &go_on[1..]),
                ] {
                    let answer = scene.ask(method, &of.path(), headers).await?;
                    ensure!(
                        answer.status == 500,
                        "{method} {headers:?}: {}",
                        answer.status
                    );
                }
                // Who wants a piece only of what they have gets all of it.
                let whole = [rest, ("if-range", tag.as_str())];
                for headers in [whole.as_slice(), &[]] {
                    let answer = scene.ask("GET", &of.path(), headers).await?;
                    ensure!(answer.status == 200, "{headers:?}: {}", answer.status);
                    ensure!(Outcome::of(&answer, due)? == Outcome::Right, "{headers:?}");
                }
                // Without a condition, each piece is the storage's word.
                let answer = scene.ask("GET", &of.path(), &[rest]).await?;
                ensure!(Outcome::of(&answer, &due[100_000..200_000])? == Outcome::Right);
            }
            scene.adversary.behave(&of.path());
        }
        Ok(())
    })
    .await
}

/// Answers about another object through the adversary's own way of serving what is planted.
fn answer_with(planted: &Planted, asked: &Asked) -> Action {
    // Conditions are ignored: a storage that lies does not say so.
    let mut unconditional = asked.clone();
    unconditional.headers.remove("if-match");
    Action::Reply(planted.answer(&unconditional))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_refused_and_nobody_follows_it() -> Result<()> {
    with_scene("", LIMIT, async |scene| {
        let of = Material::make(scene, "aes", "redirected", Kind::Single(1_000)).await?;
        let elsewhere = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/aes/redirected", elsewhere.local_addr()?);
        for status in [301, 302, 303, 307, 308] {
            let url = url.clone();
            scene.adversary.alter(
                &of.path(),
                |_| true,
                move |reply| {
                    reply.status = status;
                    reply.set("location", &url);
                },
            );
            for method in ["GET", "HEAD", "DELETE"] {
                let answer = scene.ask(method, &of.path(), &[]).await?;
                ensure!(
                    answer.status >= 400,
                    "{method}, {status}: {}",
                    answer.status
                );
                ensure!(
                    answer.header("location").is_none(),
                    "{method}, {status}: the client is sent on"
                );
            }
        }
        let visit = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
        ensure!(visit.is_err(), "the gateway followed a redirect");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_answers_a_byte_a_second_is_given_up_and_others_are_served() -> Result<()> {
    with_scene(IMPATIENT, LIMIT, async |scene| {
        let slow = Material::make(scene, "aes", "slow", Kind::Single(300_000)).await?;
        let quick = Material::make(scene, "chacha", "quick", Kind::Single(100_000)).await?;
        scene.adversary.alter(&slow.path(), is_get, |reply| {
            reply.ending = Ending::Dripping {
                after: 0,
                pause: Duration::from_secs(1),
            };
        });
        let started = Instant::now();
        let waiting = async {
            let answer = scene.ask("GET", &slow.path(), &[]).await?;
            ensure!(answer.status == 503, "{}", answer.status);
            ensure!(
                started.elapsed() < Duration::from_secs(20),
                "it took {:?}",
                started.elapsed()
            );
            anyhow::Ok(())
        };
        let served = async {
            for _ in 0..20 {
                let answer = scene.ask("GET", &quick.path(), &[]).await?;
                ensure!(
                    Outcome::of(&answer, &quick.plaintext)? == Outcome::Right,
                    "others suffer"
                );
            }
            ensure!(
                started.elapsed() < Duration::from_secs(15),
                "others wait: {:?}",
                started.elapsed()
            );
            anyhow::Ok(())
        };
        tokio::try_join!(waiting, served)?;
        // Documents and errors without an end, too.
        scene.adversary.trick("/aes", |asked, storage| async move {
            let mut reply = Reply::from(pass(&storage, &asked, true).await?);
            reply.remove("content-length");
            reply.ending = Ending::Endless;
            Ok(Action::Reply(reply))
        });
        let answer = scene.ask("GET", "/aes?list-type=2", &[]).await?;
        ensure!(
            answer.status >= 500 || !answer.is_complete,
            "{}",
            answer.status
        );
        scene.adversary.alter(
            &slow.path(),
            |_| true,
            |reply| {
                reply.status = 500;
                reply.remove("content-length");
                reply.ending = Ending::Endless;
            },
        );
        let answer = scene.ask("GET", &slow.path(), &[]).await?;
        ensure!(answer.status >= 500, "{}", answer.status);
        Ok(())
    })
    .await
}
