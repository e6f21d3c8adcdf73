//! Objects that were stored through the gateway, and what the adversary has beside each to make something else of it.

use std::ops::Range;

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use bytes::Bytes;
use sealgate_tests::{
    content::pattern,
    multipart::{complete, upload_part},
    servers::{Asked, Planted},
};

use crate::scene::{PART, Scene, abort, begin};

/// A segment of plaintext, and what sealing adds.
pub(crate) const SEGMENT: usize = 65_536;
pub(crate) const OVERHEAD: usize = 28;

/// How an object is made.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A single PUT: small, so verified before it is sent, or larger, and then with what ends it withheld.
    Single(usize),
    /// In parts of these lengths.
    Parts(Vec<usize>),
}

impl Kind {
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Single(length) => *length,
            Self::Parts(parts) => parts.iter().sum(),
        }
    }

    pub(crate) fn parts(&self) -> Vec<usize> {
        match self {
            Self::Single(length) => vec![*length],
            Self::Parts(parts) => parts.clone(),
        }
    }

    pub(crate) fn is_multipart(&self) -> bool {
        matches!(self, Self::Parts(_))
    }

    /// Whether readers need the commit record: all but those that were verified before they were sent.
    pub(crate) fn needs_record(&self) -> bool {
        self.is_multipart() || self.length() > 1 << 20
    }
}

/// One segment: where it lies in the stored body, and which plaintext it holds.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) sealed: Range<usize>,
    pub(crate) plaintext: Range<usize>,
    pub(crate) part: usize,
}

/// An object, and what lies about at the storage.
pub(crate) struct Material {
    pub(crate) bucket: &'static str,
    pub(crate) key: String,
    pub(crate) kind: Kind,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) object: Planted,
    /// An object of the same kind and length under another key.
    pub(crate) other: Planted,
    /// The sealed bytes of an attempt at the first part that was replaced; and of one of an upload that was aborted. Only of objects in parts.
    pub(crate) replaced: Option<Bytes>,
    pub(crate) aborted: Option<Bytes>,
    /// The header of the aborted upload.
    pub(crate) aborted_header: Option<String>,
    pub(crate) segments: Vec<Segment>,
}

impl Material {
    pub(crate) async fn make(
        scene: &Scene,
        bucket: &'static str,
        name: &str,
        kind: Kind,
    ) -> Result<Self> {
        let shape = if kind.is_multipart() {
            "parts"
        } else {
            "single"
        };
        let key = format!("{name}-{shape}-{}", kind.length());
        let seed = key.len() as u64 + kind.length() as u64;
        let plaintext = pattern(seed, kind.length());
        let second = format!("{key}-other");
        let path = format!("/{bucket}/{key}");
        scene.adversary.watch(&path);
        store(
            scene,
            bucket,
            &second,
            &kind,
            &pattern(seed ^ 1, kind.length()),
        )
        .await?;
        let (mut replaced, mut aborted, mut aborted_header) = (None, None, None);
        if kind.is_multipart() {
            let first = kind.parts().first().copied().context("no part")?;
            let client = &scene.client;
            let given_up = begin(client, bucket, &key).await?;
            upload_part(
                client,
                (bucket, &key),
                &given_up,
                1,
                &pattern(seed ^ 2, first),
            )
            .await?;
            abort(client, (bucket, &key), &given_up).await?;
            let upload = begin(client, bucket, &key).await?;
            let place = (bucket, key.as_str());
            upload_part(client, place, &upload, 1, &pattern(seed ^ 3, first)).await?;
            let parts = send_all(client, place, &upload, &kind, &plaintext).await?;
            complete(client, place, &upload, parts).await?;
            let seen = scene.adversary.seen(&path);
            let mut firsts = seen.iter().filter(|asked| is_first_part(asked));
            // Parts below the least length are held back, and these never came here.
            aborted = firsts.next().map(|asked| asked.body.clone());
            replaced = firsts.next().map(|asked| asked.body.clone());
            aborted_header = seen
                .iter()
                .find(|asked| asked.query.starts_with("uploads"))
                .and_then(|asked| asked.headers.get("x-amz-meta-sealgate")?.to_str().ok())
                .map(str::to_owned);
        } else {
            store(scene, bucket, &key, &kind, &plaintext).await?;
        }
        let storage = &scene.rig.minio.endpoint;
        Ok(Self {
            object: Planted::fetch(storage, &path).await?,
            other: Planted::fetch(storage, &format!("/{bucket}/{second}")).await?,
            segments: segments(&kind.parts()),
            bucket,
            key,
            kind,
            plaintext,
            replaced,
            aborted,
            aborted_header,
        })
    }

    /// An object that takes long to store, without anything beside it, and stored past the adversary.
    pub(crate) async fn alone(scene: &Scene, bucket: &'static str, kind: Kind) -> Result<Self> {
        let key = "large".to_owned();
        let plaintext = pattern(1, kind.length());
        let client = scene.rig.gateway.endpoint.s3()?;
        store_with(&client, bucket, &key, &kind, &plaintext).await?;
        let path = format!("/{bucket}/{key}");
        let object = Planted::fetch(&scene.rig.minio.endpoint, &path).await?;
        Ok(Self {
            other: object.clone(),
            object,
            segments: segments(&kind.parts()),
            bucket,
            key,
            kind,
            plaintext,
            replaced: None,
            aborted: None,
            aborted_header: None,
        })
    }

    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.bucket, self.key)
    }

    /// Where the segments end and the commit region begins.
    pub(crate) fn region(&self) -> usize {
        self.segments.last().map_or(0, |last| last.sealed.end)
    }

    /// The sealed bytes of the n-th part, from 0.
    pub(crate) fn part(&self, number: usize) -> Range<usize> {
        let mut of_part = self
            .segments
            .iter()
            .filter(|segment| segment.part == number);
        let start = of_part.next().map_or(0, |first| first.sealed.start);
        let end = self.segments.iter().rfind(|segment| segment.part == number);
        start..end.map_or(start, |last| last.sealed.end)
    }
}

fn is_first_part(asked: &Asked) -> bool {
    asked.method == "PUT" && asked.query.split('&').any(|one| one == "partNumber=1")
}

/// FORMAT.md, sections 4 and 5, once more.
fn segments(parts: &[usize]) -> Vec<Segment> {
    let (mut sealed, mut plaintext, mut found) = (0, 0, Vec::new());
    for (part, length) in parts.iter().enumerate() {
        let end = plaintext + length;
        while plaintext < end {
            let taken = SEGMENT.min(end - plaintext);
            found.push(Segment {
                sealed: sealed..sealed + taken + OVERHEAD,
                plaintext: plaintext..plaintext + taken,
                part,
            });
            sealed += taken + OVERHEAD;
            plaintext += taken;
        }
    }
    found
}

/// The sealed length of this much plaintext: C(P) of FORMAT.md, section 5.
pub(crate) fn sealed_length(plaintext: usize) -> usize {
    plaintext
        + OVERHEAD * plaintext.div_ceil(SEGMENT)
        + 256
        + 128 * (plaintext / PART + 1).min(10_000)
}

async fn send_all(
    client: &Client,
    place: (&str, &str),
    upload: &str,
    kind: &Kind,
    plaintext: &[u8],
) -> Result<Vec<aws_sdk_s3::types::CompletedPart>> {
    let (mut rest, mut sent) = (plaintext, Vec::new());
    for (number, length) in (1..).zip(kind.parts()) {
        let (bytes, behind) = rest.split_at(length);
        sent.push(upload_part(client, place, upload, number, bytes).await?);
        rest = behind;
    }
    Ok(sent)
}

/// Stores an object with the labels that every object here has.
pub(crate) async fn store(
    scene: &Scene,
    bucket: &str,
    key: &str,
    kind: &Kind,
    plaintext: &[u8],
) -> Result<()> {
    store_with(&scene.client, bucket, key, kind, plaintext).await
}

async fn store_with(
    client: &Client,
    bucket: &str,
    key: &str,
    kind: &Kind,
    plaintext: &[u8],
) -> Result<()> {
    if kind.is_multipart() {
        let upload = begin(client, bucket, key).await?;
        let parts = send_all(client, (bucket, key), &upload, kind, plaintext).await?;
        complete(client, (bucket, key), &upload, parts).await?;
        return Ok(());
    }
    client
        .put_object()
        .bucket(bucket)
        .key(key)
        .content_type("text/plain")
        .metadata("owner", "alice")
        .body(plaintext.to_vec().into())
        .send()
        .await?;
    Ok(())
}
