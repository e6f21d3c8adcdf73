//! What has to be true of a bucket before anything in it is replaced.

use anyhow::{Context as _, bail};
use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    error::S3Error,
    operation::{append_query, named},
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest},
    xml::labels::parse_versioning,
};

/// Whether a bucket keeps what is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// Never had versions.
    Off,
    /// Every write makes a version.
    Enabled,
    /// A write may replace the version `null` and keep others: the bucket had versions and they are suspended, or it has them and some of its
    /// keys are excluded.
    Suspended,
}

/// Asks for a bucket's versioning, which also shows that the bucket is there.
///
/// # Errors
///
/// The storage's.
pub(crate) async fn versioning(upstream: &Upstream, bucket: &str) -> Result<Versioning, S3Error> {
    let request = UpstreamRequest::new(Method::GET, Target::bucket(bucket)).query("versioning=");
    let answer = match upstream.call(request).await {
        Err(error) if error.status == StatusCode::NOT_IMPLEMENTED => return Ok(Versioning::Off),
        answer => answer?,
    };
    let found = parse_versioning(&answer.document(MAX_DOCUMENT_LENGTH).await?)?;
    Ok(match found.status.as_str() {
        "Enabled" if !found.has_exclusions => Versioning::Enabled,
        "" if !found.has_exclusions => Versioning::Off,
        _ => Versioning::Suspended,
    })
}

/// Makes sure that a conditional write is one here: otherwise what a client writes meanwhile could be overwritten.
///
/// Where the storage is as it should be, nothing is written: there is no object with the tag that is asked for.
///
/// # Errors
///
/// When the storage ignores conditions, or cannot be asked.
pub(super) async fn require_conditions(upstream: &Upstream, bucket: &str) -> anyhow::Result<()> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let key = format!(
        ".sealgate-condition-{}",
        data_encoding::HEXLOWER.encode(&random)
    );
    let target = Target::object(bucket, key);
    let tag = HeaderValue::from_static("\"00000000000000000000000000000000-0\"");
    let request = UpstreamRequest::new(Method::PUT, target.clone())
        .header(header::IF_MATCH, tag)
        .repeat_although_conditional();
    let answer = upstream.send(request).await?;
    match answer.status() {
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(()),
        status if status.is_success() => {
            let mut query = String::new();
            if let Some(version_id) = answer.text(named("x-amz-version-id")) {
                append_query(&mut query, "versionId", version_id);
            }
            let delete = UpstreamRequest::new(Method::DELETE, target).query(query);
            upstream
                .call(delete)
                .await
                .context("a probe could not be removed")?;
            bail!(
                "the storage ignores If-Match on a write, so what clients write during a migration could be lost; copy the objects through the gateway into a new bucket instead"
            )
        }
        _ => Err(answer.into_error().await)
            .context("whether the storage knows conditional writes cannot be found out"),
    }
}
