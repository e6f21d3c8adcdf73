//! Which checksums of the ciphertext the storage verifies: found out with objects of its own in the state bucket, at the start of a gateway and by
//! `sealgate check`.
//!
//! A storage that takes a wrong checksum without a word, stores the framing, or cannot complete an upload whose parts had one, gets none.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, header};

use super::probe::PROBES;
use crate::{
    body::{Algorithm, Checksum, Hasher},
    config::{ChecksumTrailer, Config},
    entity_tag::EntityTag,
    error::S3Error,
    operation::append_query,
    state::StateBucket,
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest, Verification},
    xml::{
        requests::{CompleteMultipartUpload, CompletedPart},
        upstream_answers::{Outcome, parse_completed, parse_initiated},
    },
};

/// The algorithms that are tried, the best first: what AWS recommends, and what older servers know.
const CANDIDATES: [Algorithm; 2] = [Algorithm::Crc64Nvme, Algorithm::Crc32c];

/// How long to wait before a storage that was away is asked again.
const PAUSE: Duration = Duration::from_mins(1);

/// What is uploaded.
const CONTENT: Bytes = Bytes::from_static(b"sealgate asks whether checksums are verified");

/// Sets what each upstream verifies, as configured or as found out. Where the state bucket is away, it is asked again from time to time, and bodies
/// go without a checksum until then.
pub(super) async fn learn(
    config: &Config,
    upstream: &Upstream,
    state: &StateBucket,
    reached: bool,
) {
    let of_state = config.state.upstream.as_ref();
    if let Some(own) = of_state {
        settle(own.checksum_trailer, state.upstream(), Some(state), reached).await;
    }
    // A storage without a bucket of ours cannot be asked.
    let bucket = of_state.is_none().then_some(state);
    settle(config.upstream.checksum_trailer, upstream, bucket, reached).await;
}

async fn settle(
    wish: ChecksumTrailer,
    upstream: &Upstream,
    bucket: Option<&StateBucket>,
    reached: bool,
) {
    let always = |algorithm| Verification {
        objects: Some(algorithm),
        parts: Some(algorithm),
    };
    match (wish, bucket) {
        (ChecksumTrailer::Never, _) => {}
        (ChecksumTrailer::Crc64Nvme, _) => upstream.set_verification(always(Algorithm::Crc64Nvme)),
        (ChecksumTrailer::Crc32c, _) => upstream.set_verification(always(Algorithm::Crc32c)),
        (ChecksumTrailer::Auto, None) => tracing::info!(
            "the storage goes without checksums of the ciphertext: the state bucket is on another one, so nobody can find out what it verifies; set upstream.checksum_trailer"
        ),
        (ChecksumTrailer::Auto, Some(state)) if !reached => {
            // It would keep the start waiting a second time.
            tokio::spawn(ask_again(upstream.clone(), state.clone()));
        }
        (ChecksumTrailer::Auto, Some(state)) => match find_out(state).await {
            Ok(found) => upstream.set_verification(found),
            Err(error) => {
                tracing::warn!(%error, "which checksums the storage verifies could not be found out yet");
                tokio::spawn(ask_again(upstream.clone(), state.clone()));
            }
        },
    }
}

async fn ask_again(upstream: Upstream, state: StateBucket) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Ok(found) = find_out(&state).await {
            upstream.set_verification(found);
            return;
        }
    }
}

/// Asks the storage of the state bucket.
///
/// # Errors
///
/// When it cannot be reached. What was written is removed, as far as that is possible.
pub(super) async fn find_out(state: &StateBucket) -> Result<Verification, S3Error> {
    find_out_unless(state, &AtomicBool::new(false)).await
}

/// As [`find_out`], and asks nothing more once `stopping` is set.
///
/// # Errors
///
/// Also when it was set.
pub(super) async fn find_out_unless(
    state: &StateBucket,
    stopping: &AtomicBool,
) -> Result<Verification, S3Error> {
    let question = Question {
        state,
        prefix: format!("{PROBES}{}", super::new_request_id()),
        stopping,
    };
    let found = question.ask().await;
    question.clean().await;
    let found = found?;
    tracing::info!(objects = ?found.objects, parts = ?found.parts, "checksums of the ciphertext that the storage verifies");
    Ok(found)
}

struct Question<'a> {
    state: &'a StateBucket,
    prefix: String,
    stopping: &'a AtomicBool,
}

impl Question<'_> {
    async fn ask(&self) -> Result<Verification, S3Error> {
        let mut found = Verification::default();
        for algorithm in CANDIDATES {
            if found.objects.is_none() && self.verifies_objects(algorithm).await? {
                found.objects = Some(algorithm);
            }
            if found.parts.is_none() && self.verifies_parts(algorithm).await? {
                found.parts = Some(algorithm);
            }
        }
        Ok(found)
    }

    fn request(&self, method: Method, name: &str) -> UpstreamRequest {
        UpstreamRequest::new(
            method,
            Target::object(self.state.name(), format!("{}/{name}", self.prefix)),
        )
    }

    /// The upstream's answer where it did what was asked; `None` where it refused.
    async fn accepted(
        &self,
        request: UpstreamRequest,
    ) -> Result<Option<crate::upstream::Answer>, S3Error> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(S3Error::internal("interrupted"));
        }
        let answer = self.state.upstream().send(request).await?;
        let status = answer.status();
        if status == http::StatusCode::FORBIDDEN || status == http::StatusCode::SERVICE_UNAVAILABLE
        {
            return Err(answer.into_error().await);
        }
        Ok(status.is_success().then_some(answer))
    }

    async fn verifies_objects(&self, algorithm: Algorithm) -> Result<bool, S3Error> {
        let (right, wrong) = checksums(algorithm);
        let put = self.request(Method::PUT, "right").trailed(CONTENT, right);
        if self.accepted(put).await?.is_none() {
            return Ok(false);
        }
        let Some(answer) = self.accepted(self.request(Method::GET, "right")).await? else {
            return Ok(false);
        };
        if answer.headers().contains_key(header::CONTENT_ENCODING)
            || answer.document(CONTENT.len() * 4).await?.as_ref() != CONTENT.as_ref()
        {
            return Ok(false);
        }
        let put = self.request(Method::PUT, "wrong").trailed(CONTENT, wrong);
        Ok(self.accepted(put).await?.is_none())
    }

    async fn verifies_parts(&self, algorithm: Algorithm) -> Result<bool, S3Error> {
        let begin = self.request(Method::POST, "upload").query("uploads=");
        let Some(begun) = self.accepted(begin).await? else {
            return Ok(false);
        };
        let upload_id = parse_initiated(&begun.document(MAX_DOCUMENT_LENGTH).await?)?;
        let mut query = String::new();
        append_query(&mut query, "uploadId", &upload_id);
        let outcome = self.verifies_parts_of(algorithm, &query).await;
        if !matches!(outcome, Ok(true)) {
            let abort = self.request(Method::DELETE, "upload").query(query);
            // Also when nothing more is asked.
            self.state.upstream().call(abort).await.ok();
        }
        outcome
    }

    async fn verifies_parts_of(&self, algorithm: Algorithm, upload: &str) -> Result<bool, S3Error> {
        let (right, wrong) = checksums(algorithm);
        let part = |checksum| {
            self.request(Method::PUT, "upload")
                .query(format!("partNumber=1&{upload}"))
                .trailed(CONTENT, checksum)
        };
        if self.accepted(part(wrong)).await?.is_some() {
            return Ok(false);
        }
        let Some(answer) = self.accepted(part(right)).await? else {
            return Ok(false);
        };
        let Some(tag) = answer.text(header::ETAG) else {
            return Ok(false);
        };
        let parts = [CompletedPart {
            number: 1,
            entity_tag: EntityTag::parse(tag),
            checksums: Vec::new(),
        }];
        let complete = self
            .request(Method::POST, "upload")
            .query(upload)
            .bytes(CompleteMultipartUpload::to_document(&parts).into_bytes());
        let Some(answer) = self.accepted(complete).await? else {
            return Ok(false);
        };
        let outcome = parse_completed(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
        Ok(matches!(outcome, Outcome::Done(_)))
    }

    async fn clean(&self) {
        let names = ["right", "wrong", "upload"].map(|name| format!("{}/{name}", self.prefix));
        if let Err(error) = self.state.delete(&names).await {
            tracing::warn!(prefix = %self.prefix, %error, "what the probe wrote could not be removed");
        }
    }
}

/// The checksum of what is uploaded, and another one.
fn checksums(algorithm: Algorithm) -> (Checksum, Checksum) {
    let of = |bytes: &[u8]| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    };
    (of(&CONTENT), of(b"something else"))
}
