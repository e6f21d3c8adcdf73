//! What has to be true of a bucket before anything in it is replaced.

use anyhow::{Context as _, ensure};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::store::{Parts, Stored, store};
use crate::{
    error::S3Error,
    object::version_query,
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest, full_body},
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

/// Finds out what a condition is worth here: where it is ignored, what a client writes meanwhile could be overwritten. Returns whether it counts on
/// the completion of an upload in parts; where it does not, [`store`] writes in one request.
///
/// Where the storage is as it should be, nothing is written: there is no object with the tag that is asked for.
///
/// # Errors
///
/// When the storage ignores conditions on PutObject, or cannot be asked.
pub(super) async fn require_conditions(upstream: &Upstream, bucket: &str) -> anyhow::Result<bool> {
    let tag = HeaderValue::from_static("\"00000000000000000000000000000000-0\"");
    let condition = HeaderMap::from_iter([(header::IF_MATCH, tag)]);
    let probe = Probe {
        upstream,
        target: Target::object(bucket, probe_key()?),
    };
    ensure!(
        probe.is_refused(condition.clone(), IN_ONE_REQUEST).await?,
        "the storage ignores If-Match on a write, so what clients write during a migration could be lost; copy the objects through the gateway into a new bucket instead"
    );
    probe.is_refused(condition, IN_PARTS).await
}

/// Finds out whether a bucket that is exported to is what it should be, with an object that is removed again: none of `others` in disguise, and one
/// where `If-None-Match: *` keeps what is there, unless all of that may be replaced. Returns whether that counts on the completion of an upload in
/// parts too.
///
/// # Errors
///
/// When the bucket is one of `others` or the storage ignores the condition on PutObject, or when either cannot be asked.
pub(super) async fn require_target(
    upstream: &Upstream,
    bucket: &str,
    others: &[(&Upstream, &str, &str)],
    may_replace: bool,
) -> anyhow::Result<bool> {
    let key = probe_key()?;
    let probe = Probe {
        upstream,
        target: Target::object(bucket, key.as_str()),
    };
    let there = probe
        .write(HeaderMap::new(), IN_ONE_REQUEST)
        .await
        .with_context(|| format!("nothing can be written to {bucket}"))?;
    let found = async {
        for (other, name, what) in others {
            let request = UpstreamRequest::new(Method::HEAD, Target::object(*name, key.as_str()));
            let status = other.send(request).await?.status();
            ensure!(
                !status.is_success(),
                "{bucket} is the same bucket as {name}, {what}; name another one"
            );
        }
        if may_replace {
            return Ok(true);
        }
        let any = HeaderValue::from_static("*");
        let condition = HeaderMap::from_iter([(header::IF_NONE_MATCH, any)]);
        ensure!(
            probe.is_refused(condition.clone(), IN_ONE_REQUEST).await?,
            "the storage of {bucket} ignores If-None-Match on a write, so what others have there could be overwritten; export to a bucket that nobody else writes to, with --overwrite"
        );
        probe.is_refused(condition, IN_PARTS).await
    };
    let found = found.await;
    probe.remove(&there).await;
    found
}

fn probe_key() -> anyhow::Result<String> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let digits = data_encoding::HEXLOWER.encode(&random);
    Ok(format!(".sealgate-condition-{digits}"))
}

const IN_ONE_REQUEST: Parts = Parts {
    length: u64::MAX,
    conditional: true,
};

/// One byte is longer than a part, so it becomes the only one.
const IN_PARTS: Parts = Parts {
    length: 0,
    conditional: true,
};

/// A small object under a name of its own.
struct Probe<'a> {
    upstream: &'a Upstream,
    target: Target,
}

impl Probe<'_> {
    async fn write(&self, headers: HeaderMap, parts: Parts) -> Result<Stored, S3Error> {
        store(
            self.upstream,
            &self.target,
            headers,
            full_body("?"),
            1,
            parts,
        )
        .await
    }

    /// Whether a write is refused because of its condition. What a storage does not know it does not refuse for the right reason.
    async fn is_refused(&self, condition: HeaderMap, parts: Parts) -> anyhow::Result<bool> {
        match self.write(condition, parts).await {
            Ok(stored) => {
                self.remove(&stored).await;
                Ok(false)
            }
            Err(error) if error.code == "NoSuchUpload" => Ok(false),
            Err(error) => match error.status {
                StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                    Ok(true)
                }
                StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST => Ok(false),
                _ => Err(error)
                    .context("whether the storage knows conditional writes cannot be found out"),
            },
        }
    }

    async fn remove(&self, stored: &Stored) {
        let request = UpstreamRequest::new(Method::DELETE, self.target.clone())
            .query(version_query(stored.version_id.as_deref()));
        if let Err(error) = self.upstream.call(request).await {
            let key = self.target.key.as_deref().unwrap_or_default();
            tracing::warn!(key, %error, "a probe could not be removed: a retention keeps it, perhaps");
        }
    }
}
