//! aws-sdk-s3.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier},
};

use crate::steps::{MIB, SETTINGS, content, fetch, make_bucket, same_bytes, step};

/// A client as its users make it: credentials and region come from the environment.
pub async fn client() -> Client {
    let shared = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(&SETTINGS.endpoint)
        .load()
        .await;
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

pub async fn run() -> Result<()> {
    let client = client().await;
    step("make a bucket", make_bucket()).await;
    step(
        "put, head and get an object with its metadata",
        small(&client),
    )
    .await;
    step("read ranges", ranges(&client)).await;
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] {
        step(
            &format!("put and get with {algorithm}"),
            checksum(&client, algorithm),
        )
        .await;
    }
    step("put a file as a stream", stream(&client)).await;
    step("parts by hand, one of them a copy", multipart(&client)).await;
    step("conditional writes", conditions(&client)).await;
    step("copy", copy(&client)).await;
    step(
        "page through a listing, with the sizes of the plaintext, and delete it",
        listing(&client),
    )
    .await;
    step("presigned PUT and GET", presigned(&client)).await;
    step("errors have their types", errors(&client)).await;
    Ok(())
}

async fn get(client: &Client, key: &str) -> Result<Vec<u8>> {
    let answer = client
        .get_object()
        .bucket(&SETTINGS.bucket)
        .key(key)
        .send()
        .await?;
    Ok(answer.body.collect().await?.to_vec())
}

async fn small(client: &Client) -> Result<()> {
    let body = content(200_001);
    let put = client
        .put_object()
        .bucket(&SETTINGS.bucket)
        .key("a letter ü+.txt")
        .content_type("text/plain")
        .metadata("note", &SETTINGS.canary)
        .body(body.clone().into())
        .send()
        .await?;
    let head = client
        .head_object()
        .bucket(&SETTINGS.bucket)
        .key("a letter ü+.txt")
        .send()
        .await?;
    ensure!(
        head.content_length() == Some(200_001),
        "the length is {:?}",
        head.content_length()
    );
    ensure!(
        head.e_tag() == put.e_tag(),
        "the tags are {:?} and {:?}",
        head.e_tag(),
        put.e_tag()
    );
    let answer = client
        .get_object()
        .bucket(&SETTINGS.bucket)
        .key("a letter ü+.txt")
        .send()
        .await?;
    let note = answer.metadata().and_then(|pairs| pairs.get("note"));
    ensure!(
        note == Some(&SETTINGS.canary),
        "the metadata is {:?}",
        answer.metadata()
    );
    ensure!(
        answer.content_type() == Some("text/plain"),
        "the type is {:?}",
        answer.content_type()
    );
    ensure!(
        put.checksum_crc32().is_some() && answer.checksum_crc32() == put.checksum_crc32(),
        "the checksums are {:?} and {:?}",
        put.checksum_crc32(),
        answer.checksum_crc32()
    );
    same_bytes(&answer.body.collect().await?.to_vec(), &body)
}

async fn ranges(client: &Client) -> Result<()> {
    let body = content(200_001);
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=65530-131080", 65_530, 131_081),
        ("bytes=-70000", 130_001, 200_001),
    ] {
        let answer = client
            .get_object()
            .bucket(&SETTINGS.bucket)
            .key("a letter ü+.txt")
            .range(range)
            .send()
            .await?;
        let span = format!("bytes {from}-{}/200001", to - 1);
        ensure!(
            answer.content_range() == Some(&span),
            "{range} is {:?}",
            answer.content_range()
        );
        same_bytes(&answer.body.collect().await?.to_vec(), &body[from..to]).context(range)?;
    }
    Ok(())
}

async fn checksum(client: &Client, algorithm: &str) -> Result<()> {
    let (key, body) = (format!("checksums/{algorithm}"), content(100_000));
    client
        .put_object()
        .bucket(&SETTINGS.bucket)
        .key(&key)
        .checksum_algorithm(ChecksumAlgorithm::from(algorithm))
        .body(body.clone().into())
        .send()
        .await?;
    same_bytes(&get(client, &key).await?, &body)
}

async fn stream(client: &Client) -> Result<()> {
    let body = content(3 * MIB + 7);
    std::fs::write("stream", &body)?;
    client
        .put_object()
        .bucket(&SETTINGS.bucket)
        .key("stream")
        .body(ByteStream::from_path("stream").await?)
        .send()
        .await?;
    same_bytes(&get(client, "stream").await?, &body)
}

async fn multipart(client: &Client) -> Result<()> {
    let (bucket, body) = (&SETTINGS.bucket, content(6 * MIB));
    let upload = client
        .create_multipart_upload()
        .bucket(bucket)
        .key("large")
        .metadata("note", &SETTINGS.canary)
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await?;
    let upload = upload.upload_id().context("no upload id")?;
    let mut parts = Vec::new();
    for number in 1..=3 {
        let part = client
            .upload_part()
            .bucket(bucket)
            .key("large")
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(body.clone().into())
            .send()
            .await?;
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc32(part.checksum_crc32)
                .build(),
        );
    }
    let copied = client
        .upload_part_copy()
        .bucket(bucket)
        .key("large")
        .upload_id(upload)
        .part_number(4)
        .copy_source(format!("{bucket}/stream"))
        .copy_source_range("bytes=5-70004")
        .send()
        .await?;
    let copied = copied.copy_part_result().context("no result of the copy")?;
    parts.push(
        CompletedPart::builder()
            .part_number(4)
            .set_e_tag(copied.e_tag.clone())
            .set_checksum_crc32(copied.checksum_crc32.clone())
            .build(),
    );
    client
        .complete_multipart_upload()
        .bucket(bucket)
        .key("large")
        .upload_id(upload)
        .multipart_upload(
            CompletedMultipartUpload::builder()
                .set_parts(Some(parts))
                .build(),
        )
        .send()
        .await?;
    let mut expected = body.repeat(3);
    expected.extend_from_slice(&content(70_005)[5..]);
    same_bytes(&get(client, "large").await?, &expected)
}

async fn conditions(client: &Client) -> Result<()> {
    let put = |text: &'static str| {
        client
            .put_object()
            .bucket(&SETTINGS.bucket)
            .key("conditional")
            .body(ByteStream::from_static(text.as_bytes()))
    };
    let made = put("first").if_none_match("*").send().await?;
    let again = put("second").if_none_match("*").send().await;
    ensure!(code(&again) == Some("PreconditionFailed"), "{again:?}");
    let tag = made.e_tag().context("no tag")?;
    put("second").if_match(tag).send().await?;
    let stale = put("third").if_match(tag).send().await;
    ensure!(code(&stale) == Some("PreconditionFailed"), "{stale:?}");
    same_bytes(&get(client, "conditional").await?, b"second")
}

fn code<T, E: ProvideErrorMetadata>(outcome: &Result<T, E>) -> Option<&str> {
    outcome.as_ref().err()?.code()
}

async fn copy(client: &Client) -> Result<()> {
    client
        .copy_object()
        .bucket(&SETTINGS.bucket)
        .key("copy")
        .copy_source(format!("{}/a%20letter%20%C3%BC%2B.txt", SETTINGS.bucket))
        .send()
        .await?;
    let head = client
        .head_object()
        .bucket(&SETTINGS.bucket)
        .key("copy")
        .send()
        .await?;
    let note = head.metadata().and_then(|pairs| pairs.get("note"));
    ensure!(
        note == Some(&SETTINGS.canary),
        "the metadata is {:?}",
        head.metadata()
    );
    same_bytes(&get(client, "copy").await?, &content(200_001))
}

async fn listing(client: &Client) -> Result<()> {
    let bucket = &SETTINGS.bucket;
    for number in 0..12 {
        let (key, body) = (format!("pages/{number:02} ä+&"), content(number * 5_000));
        client
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(body.into())
            .send()
            .await?;
    }
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix("pages/")
        .into_paginator()
        .page_size(5)
        .send();
    let (mut found, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.next().await {
        count += 1;
        found.extend(page?.contents.unwrap_or_default());
    }
    ensure!(
        count == 3 && found.len() == 12,
        "{} objects on {count} pages",
        found.len()
    );
    let mut doomed = Vec::new();
    for (number, object) in found.iter().enumerate() {
        let expected = (
            Some(format!("pages/{number:02} ä+&")),
            i64::try_from(number * 5_000).ok(),
        );
        ensure!(
            (object.key.clone(), object.size) == expected,
            "{object:?} is not {expected:?}"
        );
        doomed.push(
            ObjectIdentifier::builder()
                .set_key(object.key.clone())
                .build()?,
        );
    }
    let delete = Delete::builder().set_objects(Some(doomed)).build()?;
    let deleted = client
        .delete_objects()
        .bucket(bucket)
        .delete(delete)
        .send()
        .await?;
    ensure!(
        deleted.errors().is_empty() && deleted.deleted().len() == 12,
        "{deleted:?}"
    );
    Ok(())
}

async fn presigned(client: &Client) -> Result<()> {
    let (body, http) = (content(100_000), reqwest::Client::new());
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60))?;
    let put = client
        .put_object()
        .bucket(&SETTINGS.bucket)
        .key("presigned ü")
        .presigned(expiry.clone())
        .await?;
    let mut request = http.put(put.uri()).body(body.clone());
    for (name, value) in put.headers() {
        request = request.header(name, value);
    }
    let (status, answer) = fetch(request).await?;
    ensure!(
        status == 200,
        "PUT: {status} {}",
        String::from_utf8_lossy(&answer)
    );
    let get = client
        .get_object()
        .bucket(&SETTINGS.bucket)
        .key("presigned ü")
        .presigned(expiry)
        .await?;
    let mut request = http.get(get.uri());
    for (name, value) in get.headers() {
        request = request.header(name, value);
    }
    let (status, answer) = fetch(request).await?;
    ensure!(
        status == 200,
        "GET: {status} {}",
        String::from_utf8_lossy(&answer)
    );
    same_bytes(&answer, &body)
}

async fn errors(client: &Client) -> Result<()> {
    let bucket = &SETTINGS.bucket;
    let Err(error) = client
        .get_object()
        .bucket(bucket)
        .key("missing")
        .send()
        .await
    else {
        bail!("an object that is missing was found");
    };
    ensure!(error.into_service_error().is_no_such_key(), "no NoSuchKey");
    let Err(error) = client
        .head_object()
        .bucket(bucket)
        .key("missing")
        .send()
        .await
    else {
        bail!("an object that is missing was found");
    };
    ensure!(error.into_service_error().is_not_found(), "no NotFound");
    let missing = client
        .list_objects_v2()
        .bucket(format!("{bucket}-missing"))
        .send()
        .await;
    let Err(error) = missing else {
        bail!("a bucket that is missing was listed");
    };
    ensure!(
        error.into_service_error().is_no_such_bucket(),
        "no NoSuchBucket"
    );
    Ok(())
}
