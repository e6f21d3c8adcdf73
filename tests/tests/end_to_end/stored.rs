//! Objects as they lie at the storage, and what can be done to them there.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use sealgate_tests::multipart::{begin, complete, upload_parts};

/// The metadata that holds the sealed header.
pub(crate) const HEADER: &str = "sealgate";

/// The least length of every part but the last.
pub(crate) const PART: usize = 5 * 1024 * 1024;

/// An object as it lies at the storage.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) body: Vec<u8>,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) content_type: String,
}

impl Stored {
    pub(crate) async fn fetch(bare: &Client, bucket: &str, key: &str) -> Result<Self> {
        let answer = bare.get_object().bucket(bucket).key(key).send().await?;
        Ok(Self {
            metadata: answer.metadata().context("no metadata")?.clone(),
            content_type: answer.content_type().unwrap_or_default().to_owned(),
            body: answer.body.collect().await?.to_vec(),
        })
    }

    pub(crate) async fn replace(&self, bare: &Client, bucket: &str, key: &str) -> Result<()> {
        bare.put_object()
            .bucket(bucket)
            .key(key)
            .set_metadata(Some(self.metadata.clone()))
            .content_type(&self.content_type)
            .body(self.body.clone().into())
            .send()
            .await?;
        Ok(())
    }

    pub(crate) fn header(&self) -> Result<&str> {
        Ok(self.metadata.get(HEADER).context("no header")?)
    }

    pub(crate) fn with_header(&self, header: &str) -> Self {
        let mut altered = self.clone();
        altered
            .metadata
            .insert(HEADER.to_owned(), header.to_owned());
        altered
    }

    pub(crate) fn with_body(&self, body: Vec<u8>) -> Self {
        Self {
            body,
            ..self.clone()
        }
    }

    /// One bit at a place, counted from the end where it is negative.
    pub(crate) fn flipped(&self, place: isize) -> Result<Self> {
        let mut body = self.body.clone();
        let index = if place < 0 {
            body.len().checked_add_signed(place)
        } else {
            usize::try_from(place).ok()
        };
        let byte = index
            .and_then(|index| body.get_mut(index))
            .context("the place is outside of the body")?;
        *byte ^= 0x10;
        Ok(self.with_body(body))
    }

    /// The bytes in another order or number, by the ranges that remain.
    pub(crate) fn spliced(&self, ranges: &[std::ops::Range<usize>]) -> Result<Self> {
        let mut body = Vec::new();
        for range in ranges {
            body.extend_from_slice(self.body.get(range.clone()).context("a range")?);
        }
        Ok(self.with_body(body))
    }
}

/// Uploads an object in parts of [`PART`] bytes.
pub(crate) async fn upload_in_parts(
    client: &Client,
    bucket: &str,
    key: &str,
    body: &[u8],
) -> Result<()> {
    let place = (bucket, key);
    let upload = begin(client, place).await?;
    let parts = upload_parts(client, place, &upload, body, PART).await?;
    complete(client, place, &upload, parts).await?;
    Ok(())
}
