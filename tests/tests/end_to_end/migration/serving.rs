//! What a gateway serves of a bucket that is marked migrating, while it is half sealed.

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{CompletedMultipartUpload, CompletedPart, ObjectAttributes, Tag},
};
use sealgate_tests::{
    content::pattern,
    rig::{bounded, get, put},
};

use crate::stored::upload_in_parts;

use super::{BUCKET, LIMIT, PART, is_sealed, listed, marked_rig};

const OTHER: &str = "not-migrating";

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
        upload_in_parts(&bare, BUCKET, "clear-in-parts", &large).await?;
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
