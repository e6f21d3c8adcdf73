//! Uploads in parts, step by step.

use anyhow::{Context as _, Result};
use aws_sdk_s3::{Client, types::CompletedPart};

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
