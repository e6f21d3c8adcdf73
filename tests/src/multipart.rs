//! Uploads in parts, step by step.

use anyhow::{Context as _, Result};
use aws_sdk_s3::{
    Client,
    operation::complete_multipart_upload::CompleteMultipartUploadOutput,
    types::{CompletedMultipartUpload, CompletedPart},
};

/// Begins an upload of an object without metadata; its id.
///
/// # Errors
/// If it is refused.
pub async fn begin(client: &Client, (bucket, key): (&str, &str)) -> Result<String> {
    let request = client.create_multipart_upload().bucket(bucket).key(key);
    let begun = request.send().await.context("an upload")?;
    begun.upload_id.context("no upload id")
}

/// Uploads a part of an object in a bucket.
///
/// # Errors
/// If it is refused.
pub async fn upload_part(
    client: &Client,
    (bucket, key): (&str, &str),
    upload: &str,
    number: i32,
    bytes: &[u8],
) -> Result<CompletedPart> {
    let answer = client
        .upload_part()
        .bucket(bucket)
        .key(key)
        .upload_id(upload)
        .part_number(number)
        .body(bytes.to_vec().into())
        .send()
        .await
        .with_context(|| format!("part {number}"))?;
    Ok(CompletedPart::builder()
        .part_number(number)
        .e_tag(answer.e_tag().context("no entity tag")?)
        .build())
}

/// Uploads all of an object's content, in parts of `length` bytes and what is left.
///
/// # Errors
/// If a part is refused.
pub async fn upload_parts(
    client: &Client,
    place: (&str, &str),
    upload: &str,
    content: &[u8],
    length: usize,
) -> Result<Vec<CompletedPart>> {
    let mut parts = Vec::new();
    for (number, bytes) in (1..).zip(content.chunks(length)) {
        parts.push(upload_part(client, place, upload, number, bytes).await?);
    }
    Ok(parts)
}

/// Completes an upload of these parts.
///
/// # Errors
/// If it is refused.
pub async fn complete(
    client: &Client,
    (bucket, key): (&str, &str),
    upload: &str,
    parts: Vec<CompletedPart>,
) -> Result<CompleteMultipartUploadOutput> {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
    client
        .complete_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(upload)
        .multipart_upload(parts.build())
        .send()
        .await
        .context("Complete")
}
