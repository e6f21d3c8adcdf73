//! What the storage holds is altered behind the gateway's back. A reader gets an error before any byte, or verified bytes and
//! then a connection that breaks; never a clean end, and never a byte that was not stored.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{get, put, with_rig},
};

use crate::stored::{HEADER, PART, Stored, upload_in_parts};

const BUCKET: &str = "tampered";
const SEGMENT: usize = 65_536 + 28;
const LIMIT: Duration = Duration::from_mins(4);

async fn read(gateway: &Endpoint, key: &str, range: Option<&str>) -> Result<RawAnswer> {
    let mut request = RawRequest::new("GET", &format!("/{BUCKET}/{key}"));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    request
        .sign(gateway, Payload::Signed(b""), SystemTime::now())?
        .send(gateway)
        .await
}

/// The promise: an error, or a strict prefix of the plaintext and a broken connection.
fn check(name: &str, answer: &RawAnswer, plaintext: &[u8]) -> Result<()> {
    if answer.status >= 400 {
        ensure!(
            answer.error_code().is_some(),
            "{name}: {} without an error document",
            answer.status
        );
        return Ok(());
    }
    ensure!(
        !answer.is_complete,
        "{name}: a clean end after {} bytes",
        answer.body.len()
    );
    ensure!(
        plaintext.starts_with(&answer.body),
        "{name}: bytes that were never stored"
    );
    Ok(())
}

/// Everything that can be done to the body of one object, with a name for each.
fn altered_bodies(
    stored: &Stored,
    other: &Stored,
    plaintext: &[u8],
) -> Result<Vec<(String, Stored)>> {
    let length = stored.body.len();
    let mut cases: Vec<(String, Stored)> = Vec::new();
    for (name, place) in [
        ("nonce", 3_isize),
        ("first ciphertext", 20),
        ("middle", isize::try_from(length / 2)?),
        ("record or padding", -200),
        ("sealed record", -20),
        ("length in the tail", -1),
        ("magic of the tail", -8),
    ] {
        cases.push((format!("bit of the {name}"), stored.flipped(place)?));
    }
    for kept in [0, 1, 27, 28, length / 2, length - 8, length - 1] {
        cases.push((
            format!("cut to {kept} bytes"),
            stored.with_body(stored.body.get(..kept).context("cut")?.to_vec()),
        ));
    }
    for added in [1, SEGMENT] {
        let mut body = stored.body.clone();
        body.resize(length + added, 0);
        cases.push((format!("{added} bytes more"), stored.with_body(body)));
    }
    if length > 3 * SEGMENT {
        let (one, two) = (SEGMENT, 2 * SEGMENT);
        cases.push((
            "cut at a segment".to_owned(),
            stored.spliced(&[0..one, one..two])?,
        ));
        cases.push((
            "two segments swapped".to_owned(),
            stored.spliced(&[one..two, 0..one, two..length])?,
        ));
        cases.push((
            "a segment doubled".to_owned(),
            stored.spliced(&[0..one, 0..one, two..length])?,
        ));
        cases.push((
            "a segment left out".to_owned(),
            stored.spliced(&[0..one, two..length])?,
        ));
        let mut body = stored.body.clone();
        body.get_mut(one..two)
            .context("segment")?
            .copy_from_slice(other.body.get(one..two).context("other's segment")?);
        cases.push((
            "a segment of another object".to_owned(),
            stored.with_body(body),
        ));
    }
    cases.push((
        "the body of another object".to_owned(),
        stored.with_body(other.body.clone()),
    ));
    cases.push((
        "the plaintext under the header".to_owned(),
        stored.with_body(plaintext.to_vec()),
    ));
    let mut padded = plaintext.to_vec();
    padded.resize(length, 0);
    cases.push((
        "the plaintext, padded, under the header".to_owned(),
        stored.with_body(padded),
    ));
    Ok(cases)
}

/// Everything that can be done to the header.
fn altered_headers(
    stored: &Stored,
    other: &Stored,
    plaintext: &[u8],
) -> Result<Vec<(String, Stored)>> {
    let header = stored.header()?;
    let mut cases = Vec::new();
    let mut removed = stored.clone();
    removed.metadata.remove(HEADER);
    cases.push(("no header".to_owned(), removed.clone()));
    cases.push((
        "plaintext without a header".to_owned(),
        removed.with_body(plaintext.to_vec()),
    ));
    cases.push((
        "the header of another object".to_owned(),
        stored.with_header(other.header()?),
    ));
    cases.push((
        "half a header".to_owned(),
        stored.with_header(header.get(..header.len() / 2).context("half")?),
    ));
    cases.push((
        "a longer header".to_owned(),
        stored.with_header(&format!("{header}AAAA")),
    ));
    cases.push((
        "two headers in one".to_owned(),
        stored.with_header(&format!("{header},{header}")),
    ));
    cases.push(("an empty header".to_owned(), stored.with_header("")));
    cases.push((
        "a header of other characters".to_owned(),
        stored.with_header(&format!("{header}=")),
    ));
    // Version, suite, flags, exponent, working key, salt, object id, length, sealed key, metadata, MAC.
    let last = header.len() - 3;
    for place in [4, 6, 7, 8, 9, 20, 60, 85, 100, 108, 150, 200, last] {
        let mut bytes = header.as_bytes().to_vec();
        let byte = bytes.get_mut(place).context("place")?;
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes)?;
        if altered != header {
            cases.push((
                format!("character {place} of the header"),
                stored.with_header(&altered),
            ));
        }
    }
    Ok(cases)
}

/// Stores two objects of this length and alters the first in every way.
async fn tamper_with(length: usize, is_multipart: bool) -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let gateway = &rig.gateway.endpoint;
        let (plaintext, foreign) = (pattern(1, length), pattern(2, length));
        for (key, body) in [("object", &plaintext), ("other", &foreign)] {
            if is_multipart {
                upload_in_parts(&through, BUCKET, key, body).await?;
            } else {
                put(&through, BUCKET, key, body).await?;
            }
        }
        let stored = Stored::fetch(&bare, BUCKET, "object").await?;
        let other = Stored::fetch(&bare, BUCKET, "other").await?;
        ensure!(stored.body.len() == other.body.len(), "two lengths");

        // As a control: put back by the same means as the alterations, it opens.
        stored.replace(&bare, BUCKET, "object").await?;
        ensure!(
            get(&through, BUCKET, "object").await? == plaintext,
            "the object does not open as it was"
        );

        let mut failures = Vec::new();
        let mut cases = altered_bodies(&stored, &other, &plaintext)?;
        cases.extend(altered_headers(&stored, &other, &plaintext)?);
        cases.push(("another object whole".to_owned(), other.clone()));
        for (name, altered) in &cases {
            altered.replace(&bare, BUCKET, "object").await?;
            let answer = read(gateway, "object", None)
                .await
                .with_context(|| name.clone())?;
            if let Err(failure) = check(name, &answer, &plaintext) {
                failures.push(failure.to_string());
            }
        }
        // A range sees what it covers: the altered segment, or a header that is not its own.
        for (name, altered) in [
            ("range over an altered bit", stored.flipped(40)?),
            (
                "range under another header",
                stored.with_header(other.header()?),
            ),
            ("range of another object", other.clone()),
        ] {
            altered.replace(&bare, BUCKET, "object").await?;
            let answer = read(gateway, "object", Some("bytes=0-99")).await?;
            let expected = plaintext.get(..100).context("100 bytes")?;
            if let Err(failure) = check(name, &answer, expected) {
                failures.push(failure.to_string());
            }
        }
        ensure!(
            failures.is_empty(),
            "{} of {} alterations were not noticed:\n{}",
            failures.len(),
            cases.len(),
            failures.join("\n")
        );

        // And as it was, it opens again: nothing was remembered wrongly.
        stored.replace(&bare, BUCKET, "object").await?;
        ensure!(
            get(&through, BUCKET, "object").await? == plaintext,
            "the object does not open any more"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_small_objects() -> Result<()> {
    tamper_with(300_000, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_large_objects() -> Result<()> {
    tamper_with(3 * 1024 * 1024 + 5, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_multipart_objects() -> Result<()> {
    tamper_with(PART + 70_000, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_moved_elsewhere_does_not_open() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let (second_through, _) = rig.clients("another-bucket").await?;
        put(&through, BUCKET, "here", b"bound to its place").await?;
        let stored = Stored::fetch(&bare, BUCKET, "here").await?;
        stored.replace(&bare, BUCKET, "there").await?;
        bare.copy_object()
            .bucket("another-bucket")
            .key("here")
            .copy_source(format!("{BUCKET}/here"))
            .send()
            .await?;
        ensure!(
            get(&through, BUCKET, "here").await? == b"bound to its place",
            "here"
        );
        ensure!(
            get(&through, BUCKET, "there").await.is_err(),
            "it opens under another key"
        );
        ensure!(
            get(&second_through, "another-bucket", "here")
                .await
                .is_err(),
            "it opens in another bucket"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_metadata_altered_at_the_storage_are_not_believed() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        through
            .put_object()
            .bucket(BUCKET)
            .key("described")
            .content_type("text/plain")
            .metadata("owner", "alice")
            .body(b"described".to_vec().into())
            .send()
            .await?;
        let mut stored = Stored::fetch(&bare, BUCKET, "described").await?;
        stored.content_type = "text/html".to_owned();
        stored
            .metadata
            .insert("owner".to_owned(), "mallory".to_owned());
        stored.metadata.insert("planted".to_owned(), "1".to_owned());
        bare.put_object()
            .bucket(BUCKET)
            .key("described")
            .set_metadata(Some(stored.metadata.clone()))
            .content_type(&stored.content_type)
            .content_disposition("attachment; filename=evil.exe")
            .content_encoding("gzip")
            .body(stored.body.clone().into())
            .send()
            .await?;
        let found = match through
            .get_object()
            .bucket(BUCKET)
            .key("described")
            .send()
            .await
        {
            Ok(found) => found,
            // Refusing it is as good.
            Err(error) if error.raw_response().is_some() => return Ok(()),
            Err(error) => bail!("no answer: {error:?}"),
        };
        ensure!(found.content_type() == Some("text/plain"), "{found:?}");
        ensure!(found.content_disposition().is_none(), "{found:?}");
        ensure!(found.content_encoding().is_none(), "{found:?}");
        let metadata = found.metadata().cloned().unwrap_or_default();
        ensure!(
            metadata == std::collections::HashMap::from([("owner".to_owned(), "alice".to_owned())]),
            "{metadata:?}"
        );
        Ok(())
    })
    .await
}
