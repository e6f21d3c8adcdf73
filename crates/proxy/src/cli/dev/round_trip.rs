//! One object stored and fetched through the gateway, and looked at from behind.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use super::super::random::random_hex;
use crate::cli::kms::DEFAULT_REGION;
use crate::config::{
    Addressing, ChecksumTrailer, Config, CredentialSource, DEFAULT_LARGEST_COPY, Endpoint,
    StaticCredentials, UpstreamConfig,
};
use crate::error::S3Error;
use crate::gateway;
use crate::upstream::{DocumentMemory, Target, Upstream, UpstreamRequest};

/// What the client stores.
const PLAINTEXT: &str = "Hello! Whoever runs the storage can't read this line.\n";

/// The object's key.
const KEY: &str = "hello.txt";

/// The longest answer that is read, in bytes: far more than the object comes to on either side.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Both sides of one object.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What the client sent and got back.
    pub(super) plaintext: Bytes,
    /// What the storage holds.
    pub(super) stored: Bytes,
}

/// Why there is no [`Exchange`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The storage does not let us make a bucket for it.
    #[error("no bucket could be made for it: {0}")]
    NotPossible(String),
    /// Something does not work that has to.
    #[error(transparent)]
    Broken(#[from] anyhow::Error),
}

/// Stores an object through the gateway at `url`, looks at it in the storage, fetches it through the gateway, and removes
/// it and its bucket.
pub(super) async fn run(url: &str, config: &Config) -> Result<Exchange, Failure> {
    let memory = DocumentMemory::new(config.limits.document_memory);
    let front = gateway::upstream(&front_door(url, config)?, &config.limits, &memory).await?;
    let back = gateway::upstream(&config.upstream, &config.limits, &memory).await?;
    // A name of its own for each start: another gateway may be doing the same on the same storage.
    let bucket = format!("sealgate-hello-{}", random_hex::<6>()?);
    let region = config.upstream.region.as_str();
    front
        .call(create_bucket(&bucket, region))
        .await
        .map_err(|error| no_bucket(&error))?;
    let outcome = exchange(&front, &back, &bucket).await;
    let object = Target::object(bucket.as_str(), KEY);
    for target in [object, Target::bucket(bucket.as_str())] {
        if let Err(error) = front
            .call(UpstreamRequest::new(Method::DELETE, target))
            .await
        {
            tracing::warn!(bucket, %error, "what the round trip stored could not be removed");
        }
    }
    Ok(outcome?)
}

/// Credentials that may not make buckets are fine for buckets that exist; a storage that cannot be used at all is not.
fn no_bucket(error: &S3Error) -> Failure {
    if error.status == StatusCode::FORBIDDEN {
        return Failure::NotPossible(error.to_string());
    }
    Failure::Broken(anyhow::anyhow!(
        "the storage cannot be used, see the log above for the cause: {error}"
    ))
}

async fn exchange(front: &Upstream, back: &Upstream, bucket: &str) -> anyhow::Result<Exchange> {
    let target = || Target::object(bucket, KEY);
    let put = UpstreamRequest::new(Method::PUT, target())
        .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
        .bytes(PLAINTEXT);
    front.call(put).await?;
    let get = || UpstreamRequest::new(Method::GET, target());
    let stored = back
        .call(get())
        .await?
        .document(ANSWER_LIMIT)
        .await?
        .into_bytes();
    let plaintext = front
        .call(get())
        .await?
        .document(ANSWER_LIMIT)
        .await?
        .into_bytes();
    anyhow::ensure!(
        plaintext == PLAINTEXT,
        "what came back is not what was stored"
    );
    anyhow::ensure!(
        !contains(&stored, PLAINTEXT.trim_end().as_bytes()),
        "the storage holds plaintext"
    );
    Ok(Exchange { plaintext, stored })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The gateway, seen as any S3 server by its client.
fn front_door(url: &str, config: &Config) -> anyhow::Result<UpstreamConfig> {
    let credential = config
        .identities
        .iter()
        .flat_map(|identity| &identity.credentials)
        .next();
    let credential = credential.ok_or_else(|| anyhow::anyhow!("there is no client"))?;
    Ok(UpstreamConfig {
        endpoint: Endpoint::parse(url)
            .ok_or_else(|| anyhow::anyhow!("{url} is no server's address"))?,
        region: config.upstream.region.clone(),
        addressing: Addressing::Path,
        ca_file: None,
        client_certificate: None,
        largest_copy: DEFAULT_LARGEST_COPY,
        checksum_trailer: ChecksumTrailer::Never,
        credentials: CredentialSource::Static(StaticCredentials {
            access_key_id: credential.access_key_id.clone(),
            secret_access_key: credential.secret_access_key.clone(),
            session_token: None,
        }),
    })
}

/// CreateBucket; outside of us-east-1 AWS wants to be told the region in the body, and there it must not be.
fn create_bucket(bucket: &str, region: &str) -> UpstreamRequest {
    let request = UpstreamRequest::new(Method::PUT, Target::bucket(bucket));
    if region == DEFAULT_REGION {
        return request;
    }
    request.bytes(format!(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    ))
}
