//! XML that is made to cost: bombs, lists of 10,000 parts, and listings that are as long as listings get.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealgate_tests::{
    endpoint::Endpoint,
    multipart::{begin, upload_part},
    raw_connection::RawConnection,
    raw_http::RawRequest,
    rig::{bounded, put},
};
use tokio::task::JoinSet;

use crate::{
    bounds::Bounds,
    judgement::named,
    load::{IMPATIENCE, Load, lasting, press},
    scene::{BUCKET, Scene, Storage, UNSIGNED, on_scene},
    sizes::ended,
};

/// The longest document that is read of a client.
const LONGEST: usize = 8 << 20;

/// The length of most bombs: the others would only cost the machine more.
const LONG: usize = 1 << 20;

/// Parts of an upload at most.
const PARTS: i32 = 10_000;

/// Keys in a bucket whose listing is long.
const KEYS: usize = 300;

/// The longest key.
const KEY: usize = 1_024;

/// Within what time a load is as heavy as it will be.
const WAIT: Duration = Duration::from_mins(1);

/// Requests with documents.
const TARGETS: [(&str, &str); 4] = [
    ("POST", "?delete"),
    ("PUT", "?tagging"),
    ("PUT", "?lifecycle"),
    ("POST", "/bomb?uploadId=MDEyMzQ1Njc4OWFiY2RlZjAx"),
];

/// Documents that cost whoever reads them without care.
fn bombs() -> Vec<String> {
    let mut laughs = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a0 \"ha\">".to_owned();
    for level in 1..=10 {
        let references = format!("&a{};", level - 1).repeat(10);
        write!(laughs, "<!ENTITY a{level} \"{references}\">").ok();
    }
    laughs.push_str("]><a>&a10;</a>");
    let fill_to = |length: usize, piece: &str| piece.repeat((length - 100) / piece.len());
    let fill = |piece: &str| fill_to(LONG, piece);
    vec![
        laughs,
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>".to_owned(),
        fill("<a>"),
        format!("<Delete>{}</Delete>", fill_to(LONGEST, "<a/>")),
        format!("<Delete>{}</Delete>", fill("<Object><Key>k</Key></Object>")),
        format!("<a b=\"{}\"/>", fill("a")),
        format!("<a {}/>", fill("b='' ")),
        format!("<a>{}</a>", fill("&lt;")),
        format!("<a>{}</a>", fill("<!---->")),
        format!("<a>{}</a>", fill("<![CDATA[]]>")),
        format!("<a>{}", fill("<?b?>")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_bombs() -> Result<()> {
    on_scene(Storage::Devstore, Bounds::default(), async |scene| {
        let bombs: Vec<Arc<[u8]>> = bombs()
            .into_iter()
            .map(|bomb| bomb.into_bytes().into())
            .collect();
        let refusals = ["400 MalformedXML", "503 SlowDown"];
        press(scene, "XML bombs", &refusals, async |load| {
            let mut clients = JoinSet::new();
            for number in 0..usize::try_from(scene.bounds.tenfold())? {
                let (method, target) = TARGETS[number % TARGETS.len()];
                let body = Arc::clone(&bombs[number % bombs.len()]);
                let target = format!("/{BUCKET}{target}");
                let (crowd, load) = (scene.crowd.clone(), Arc::clone(load));
                clients.spawn(async move {
                    let request = with_document(method, &target, &body);
                    while !load.is_over() {
                        let is_refused = ask(&crowd, &request, &load).await?;
                        ensure!(is_refused, "a bomb was taken: {method} {target}");
                    }
                    Ok(())
                });
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

fn with_document(method: &str, target: &str, body: &[u8]) -> RawRequest {
    let digest = data_encoding::BASE64
        .encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body).as_ref());
    RawRequest::new(method, target)
        .header("content-length", &body.len().to_string())
        .header("x-amz-checksum-sha256", &digest)
        .body(body)
}

/// Sends a request over a connection of its own, and waits a little if it was refused. Whether it was.
async fn ask(crowd: &Endpoint, request: &RawRequest, load: &Load) -> Result<bool> {
    let request = request.clone().sign(crowd, UNSIGNED, SystemTime::now())?;
    let answer = request.send(crowd).await?;
    let is_refused = load.answered(&answer)?;
    if is_refused {
        tokio::time::sleep(IMPATIENCE).await;
    }
    Ok(is_refused)
}

/// A Complete of 10,000 parts that the upload does not have, each with all that a client may say of a part.
fn complete_document() -> String {
    let mut document = "<CompleteMultipartUpload>".to_owned();
    for number in 1..=PARTS {
        write!(
            document,
            "<Part><PartNumber>{number}</PartNumber><ETag>\"{number:032x}\"</ETag><ChecksumSHA256>{}</ChecksumSHA256></Part>",
            data_encoding::BASE64.encode(&[7; 32])
        )
        .ok();
    }
    document.push_str("</CompleteMultipartUpload>");
    document
}

/// An upload of the object `parts` whose parts are all too small to be completed, and all have records that a Complete looks at.
async fn upload_of_parts(scene: &Scene) -> Result<String> {
    let through = scene.gateway.endpoint.s3()?;
    let id = begin(&through, (BUCKET, "parts")).await?;
    let (_, is_long) = lasting()?;
    let numbers: Vec<i32> = (1..=if is_long { PARTS } else { 200 }).collect();
    stream::iter(numbers.into_iter().map(|number| {
        let (through, id) = (&through, &id);
        async move { upload_part(through, (BUCKET, "parts"), id, number, b"part").await }
    }))
    .buffer_unordered(16)
    .try_collect::<Vec<_>>()
    .await?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn completes_of_ten_thousand_parts() -> Result<()> {
    on_scene(Storage::Devstore, Bounds::default(), async |scene| {
        let through = scene.gateway.endpoint.s3()?;
        let id = upload_of_parts(scene).await?;
        let document = complete_document();
        press(
            scene,
            "Completes of 10,000 parts",
            &["503 SlowDown"],
            async |load| {
                let target = format!("/{BUCKET}/parts?uploadId={id}");
                let request = RawRequest::new("POST", &target)
                    .header("content-length", &document.len().to_string())
                    .body(document.as_bytes());
                crowded(scene, load, &request, true).await
            },
        )
        .await?;
        // What they all tried to complete is still there.
        let last = upload_part(&through, (BUCKET, "parts"), &id, 1, b"part").await?;
        let tag = last.e_tag().unwrap_or_default();
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
        );
        // Not by an SDK, which takes an answer that is long in coming for one that never comes.
        let request = RawRequest::new("POST", &format!("/{BUCKET}/parts?uploadId={id}"))
            .header("content-length", &document.len().to_string())
            .body(document.as_bytes());
        let answer = scene.signed(request)?.send(&scene.crowd).await?;
        ensure!(
            answer.is_complete && answer.text().contains("<CompleteMultipartUploadResult"),
            "the upload that the load was about: {} {}",
            answer.status,
            answer.text()
        );
        Ok(())
    })
    .await
}

/// Ten times as many clients as there are places send one request again and again.
async fn crowded(
    scene: &Scene,
    load: &Arc<Load>,
    request: &RawRequest,
    must_fail: bool,
) -> Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..scene.bounds.tenfold() {
        let (crowd, load) = (scene.crowd.clone(), Arc::clone(load));
        let request = request.clone();
        clients.spawn(async move {
            while !load.is_over() {
                let is_refused = ask(&crowd, &request, &load).await?;
                ensure!(is_refused || !must_fail, "it was done");
            }
            Ok(())
        });
    }
    load.is_pressing();
    ended(&mut clients).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_listings() -> Result<()> {
    on_scene(Storage::Devstore, Bounds::default(), async |scene| {
        let through = scene.gateway.endpoint.s3()?;
        // Each character of these is five in XML, and each second one is a level.
        let fill = "&/".repeat((KEY - 8) / 2);
        let keys: Vec<String> = (0..KEYS)
            .map(|number| format!("{fill}{number:08}"))
            .collect();
        stream::iter(keys.iter().map(|key| put(&through, BUCKET, key, b"")))
            .buffer_unordered(16)
            .try_collect::<()>()
            .await?;
        let prefix = "%26%2F".repeat((KEY - 8) / 2);
        for (kind, query) in [
            (
                "deep listings, flat",
                "list-type=2&max-keys=1000".to_owned(),
            ),
            (
                "deep listings, by level",
                format!("list-type=2&max-keys=1000&delimiter=%2F&prefix={prefix}"),
            ),
        ] {
            press(scene, kind, &["200", "503 SlowDown"], async |load| {
                let request = RawRequest::new("GET", &format!("/{BUCKET}?{query}"));
                crowded(scene, load, &request, false).await
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// The length of a small document of many, and how many clients have one: three times as many as the memory of documents holds.
const SMALL: usize = 3 * (83 << 10);
const SMALL_ONES: u64 = 200;

/// For how long a small one is there, at least; a little longer by its number.
const HELD: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_has_its_turn_among_small_ones() -> Result<()> {
    let bounds = Bounds {
        requests: SMALL_ONES + 16,
        crowd: SMALL_ONES,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        let id = upload_of_parts(scene).await?;
        let document = complete_document();
        let large = RawRequest::new("POST", &format!("/{BUCKET}/parts?uploadId={id}"))
            .header("content-length", &document.len().to_string())
            .body(document.as_bytes());
        let wanted = ["400 MalformedXML", "a large one: 400 InvalidPart"];
        let kind = "a large document among small ones";
        press(scene, kind, &wanted, async |load| {
            let mut clients = JoinSet::new();
            let small: Arc<[u8]> = "<a>".repeat(SMALL / 3).into_bytes().into();
            for number in 0..SMALL_ONES {
                let (crowd, small) = (scene.crowd.clone(), Arc::clone(&small));
                let held = Duration::from_millis(HELD + number);
                clients.spawn(send_small(crowd, small, held, Arc::clone(load)));
            }
            // Until they have all of the memory.
            bounded(WAIT, async {
                while load.counted("400 MalformedXML") < SMALL_ONES {
                    tokio::time::sleep(IMPATIENCE).await;
                }
                Ok(())
            })
            .await?;
            let (gateway, load) = (scene.gateway.endpoint.clone(), Arc::clone(load));
            load.is_pressing();
            clients.spawn(async move {
                while !load.is_over() {
                    let request = large.clone().sign(&gateway, UNSIGNED, SystemTime::now())?;
                    let answer = request.send(&gateway).await?;
                    // It came before those that come now, and is not refused for their sake.
                    let outcome = named(&answer)?;
                    ensure!(outcome == "400 InvalidPart", "{outcome}");
                    load.count(&format!("a large one: {outcome}"));
                    tokio::time::sleep(IMPATIENCE).await;
                }
                Ok(())
            });
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Sends a document that is none, its body after a moment, again and again.
async fn send_small(
    crowd: Endpoint,
    document: Arc<[u8]>,
    held: Duration,
    load: Arc<Load>,
) -> Result<()> {
    let request = with_document("POST", &format!("/{BUCKET}?delete"), &document);
    while !load.is_over() {
        let request = request.clone().sign(&crowd, UNSIGNED, SystemTime::now())?;
        let bytes = request.to_bytes(&crowd);
        let (head, body) = bytes.split_at(bytes.len() - SMALL);
        let mut connection = RawConnection::open(&crowd).await?;
        connection.write(head).await?;
        // Whoever is refused learns it at once.
        let early = tokio::time::timeout(held, connection.answer(false)).await;
        let answer = if let Ok(answer) = early {
            answer?
        } else {
            connection.write(body).await?;
            connection.answer(false).await?
        };
        ensure!(load.answered(&answer)?, "{}", answer.text());
        if answer.status == 503 {
            tokio::time::sleep(IMPATIENCE).await;
        }
    }
    Ok(())
}
