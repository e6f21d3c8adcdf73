//! PutObject: sealed while it streams, or, if it is small, verified whole before anything is sent (format.md section 4).

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use sealgate_envelope::{
    commit::CommitRecord,
    domain::{Domain, Place},
    header::{self as sealed_header, HEADER_METADATA_NAME, Header, HeaderBuilder, SealedHeader},
    keyring::{SealingKey, SealingPolicy},
    layout,
    metadata::Metadata,
    object::{Body, ObjectSecrets, PartId},
    random::OsRandom,
    sealer::Sealer,
};

use super::{
    Exchange, ResponseBody,
    checksums::{self, ObjectChecksum},
    empty, headers, metadata, multipart, named,
};
use crate::{
    body::{Checksum, ChecksumType, MissingLength},
    error::S3Error,
    gateway::now_in_milliseconds,
    object::SealedHead,
    transfer::{Plaintext, SealingStream, Trailing, VerifiedPlaintext},
    upstream::{Answer, UpstreamRequest},
};

/// The largest object in one request: the upstream takes 5 GiB (S3 API, PutObject), of which our overhead is a part.
pub(super) const MAXIMUM_SINGLE_LENGTH: u64 = (5 << 30) - (3 << 20);

/// The size of a stored object, in the answer to the request that made it.
const OBJECT_SIZE: &str = "x-amz-object-size";

pub(super) async fn put_object(mut exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let metadata = metadata::of_request(&exchange)?;
    let mut upstream_headers = headers::placement(&exchange.headers);
    headers::conditions(&exchange.headers, &mut upstream_headers)?;
    let body = exchange.plaintext(MAXIMUM_SINGLE_LENGTH, MissingLength::Refuse)?;
    let target = exchange.target();
    let put = Put {
        exchange: &exchange,
        request: UpstreamRequest::new(Method::PUT, target).headers(upstream_headers),
        metadata,
    };
    let length = body.length();
    let (answer, checksum) = put.send(Plaintext::of_client(body)).await?;
    let mut answer_headers = headers::answer(answer.headers());
    if answer.headers().contains_key(OBJECT_SIZE) {
        // Some storages say how long the object is that they got; clients sent another one.
        answer_headers.insert(named(OBJECT_SIZE), length.into());
    }
    let checksum = ObjectChecksum {
        checksum,
        checksum_type: ChecksumType::FullObject,
        parts: 1,
    };
    checksums::to_answer(checksum, &mut answer_headers);
    Ok(empty(StatusCode::OK, answer_headers))
}

/// A single PUT in preparation; CopyObject uses it too, where the bytes have to be sealed anew.
pub(super) struct Put<'a> {
    pub(super) exchange: &'a Exchange,
    /// The upstream request so far: target, placement and conditions.
    pub(super) request: UpstreamRequest,
    pub(super) metadata: Metadata,
}

impl Put<'_> {
    /// Seals and sends. Returns the upstream's answer and the checksum that is kept with the object.
    pub(super) async fn send(self, source: Plaintext) -> Result<(Answer, Checksum), S3Error> {
        let gateway = Arc::clone(&self.exchange.gateway);
        let limits = &gateway.config.limits;
        let length = source.length();
        if length <= limits.small_object
            && let Ok(bytes) = u32::try_from(length)
            && let Ok(memory) = gateway.small_object_memory.try_acquire_many(bytes)
        {
            let sent = self.send_small(source).await;
            drop(memory);
            return sent;
        }
        self.send_late(source).await
    }

    /// Everything is verified before the first byte is sent, so readers need no commit record.
    async fn send_small(mut self, mut source: Plaintext) -> Result<(Answer, Checksum), S3Error> {
        let length = source.length();
        let sealed_length = sealed_length(length)?;
        let body = Body::Verified {
            plaintext_length: length,
        };
        let suite = self.exchange.domain().suite.into();
        let secrets = ObjectSecrets::generate(suite, body, &mut OsRandom)?;
        // Sealed as it arrives, so that it is in memory once, and while it is still in the processor's caches.
        let mut body = Vec::with_capacity(usize::try_from(sealed_length).unwrap_or_default());
        let mut sealer = Sealer::new(&secrets, PartId::single(secrets.object_id()))?;
        while let Some(piece) = source.next().await? {
            sealer.push(&piece, &mut body)?;
        }
        let verified = source.verified()?;
        sealer.finish(&mut body)?;
        body.extend_from_slice(&commit_region(&secrets, None)?);
        let checksum = verified.kept();
        self.metadata
            .insert_checksum(&checksums::to_sealed(&checksum)?)?;
        let header = header_for(self.exchange, self.metadata, &secrets).await?;
        let request = with_header(self.request, &header)?
            .bytes(body)
            .repeat_although_conditional();
        let answer = self.exchange.gateway.upstream.send(request).await?;
        if answer.status().is_success() {
            return Ok((answer, checksum));
        }
        if answer.status() == StatusCode::PRECONDITION_FAILED
            && answer.was_repeated()
            && let Some(answer) = written_before(self.exchange, &header).await
        {
            return Ok((answer, checksum));
        }
        Err(answer.into_error().await)
    }

    /// The last segment and the commit region are withheld until everything is verified.
    async fn send_late(mut self, source: Plaintext) -> Result<(Answer, Checksum), S3Error> {
        let length = source.length();
        let sealed_length = sealed_length(length)?;
        let is_unverified = self
            .exchange
            .gateway
            .upstream
            .verification()
            .objects
            .is_none();
        if is_unverified && headers::locks(&self.exchange.headers) {
            if length <= self.exchange.gateway.config.limits.small_object {
                return Err(S3Error::slow_down(
                    "the memory for small objects, limits.small_object_memory, is taken",
                ));
            }
            return Err(without_digest(
                self.exchange.gateway.config.limits.small_object,
            ));
        }
        let sealed = self
            .header(Body::Single {
                plaintext_length: length,
            })
            .await?;
        let secrets = sealed.secrets.clone();
        let trailing: Trailing = Box::new(move |verified: &VerifiedPlaintext| {
            commit_region(&secrets, Some(&verified.kept()))
        });
        let sealer = Sealer::new(&sealed.secrets, PartId::single(sealed.secrets.object_id()))?;
        let (body, outcome) = SealingStream::new(source, sealer, Some(trailing)).into_body();
        let request = with_header(self.request, &sealed.header)?.stream(body, sealed_length);
        let answer = self.exchange.gateway.upstream.call(request).await;
        // What was wrong with the body says more than the connection that we cut because of it.
        let verified = match (outcome.failure(), answer) {
            (Some(failure), _) => return Err(failure),
            (None, Err(error)) if is_unverified && misses_digest(&error) => {
                return Err(
                    without_digest(self.exchange.gateway.config.limits.small_object)
                        .with_detail(error),
                );
            }
            (None, answer) => (answer?, outcome.verified()?),
        };
        Ok((verified.0, verified.1.kept()))
    }

    async fn header(&mut self, body: Body) -> Result<SealedHeader, S3Error> {
        seal_header(self.exchange, std::mem::take(&mut self.metadata), body).await
    }
}

/// Whether the storage refused an object because it came without a digest: the bucket locks whatever is put there.
fn misses_digest(error: &S3Error) -> bool {
    error.status.is_client_error() && error.message.contains("Content-MD5")
}

/// An object that is to be locked needs a digest or a checksum (S3 API, PutObject). In front of a body that is streamed there can be none, and
/// the storage verifies none that comes behind.
fn without_digest(small_object: u64) -> S3Error {
    S3Error::invalid_request(format!(
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters. This storage verifies no checksum that follows a body, so objects of more than {small_object} bytes (limits.small_object) that are to be locked have to be uploaded in parts."
    ))
}

/// A 412 to a repeated attempt: the live object may be the one that the first attempt wrote before its answer got lost.
async fn written_before(exchange: &Exchange, header: &Header) -> Option<Answer> {
    let head = UpstreamRequest::new(Method::HEAD, exchange.target());
    let answer = exchange.gateway.upstream.call(head).await.ok()?;
    let found = SealedHead::read(&answer, None).ok()?;
    (found.header == *header).then_some(answer)
}

fn sealed_length(length: u64) -> Result<u64, S3Error> {
    layout::sealed_length(length)
        .ok_or_else(|| S3Error::invalid_argument("The object is too large."))
}

/// The commit region of an object of one part.
pub(crate) fn commit_region(
    secrets: &ObjectSecrets,
    checksum: Option<&Checksum>,
) -> Result<Vec<u8>, S3Error> {
    let checksum = checksum.map(checksums::to_sealed).transpose()?;
    Ok(CommitRecord::single(secrets, checksum)?.seal_region(secrets)?)
}

/// A fresh header for the object that the request is about, under the current working key of its domain.
pub(super) async fn seal_header(
    exchange: &Exchange,
    metadata: Metadata,
    body: Body,
) -> Result<SealedHeader, S3Error> {
    let suite = exchange.domain().suite.into();
    let secrets = ObjectSecrets::generate(suite, body, &mut OsRandom)?;
    let header = header_for(exchange, metadata, &secrets).await?;
    Ok(SealedHeader { header, secrets })
}

/// The same for secrets that were generated for that object.
async fn header_for(
    exchange: &Exchange,
    metadata: Metadata,
    secrets: &ObjectSecrets,
) -> Result<Header, S3Error> {
    let rule = exchange.domain();
    let domain = Domain::new(rule.name.as_str())?;
    let key = sealing_key(exchange, &rule.sealing, &domain).await?;
    let builder = HeaderBuilder::new(
        Place::new(&domain, exchange.key())?,
        of_keyring(&key),
        now_in_milliseconds(),
    )
    .metadata(metadata);
    Ok(builder.seal_for(secrets, &mut OsRandom)?)
}

/// The working key that seals for a domain now. Before one is made, the storage is asked whether the bucket is there: names of buckets
/// that are not would cost calls to key services and registry records, and take the places of domains that are in use.
pub(super) async fn sealing_key(
    exchange: &Exchange,
    policy: &Arc<SealingPolicy>,
    domain: &Domain,
) -> Result<SealingKey, S3Error> {
    let keyring = &exchange.gateway.keyring;
    if !keyring.has_sealing_key(policy, domain)
        && let Some(missing) = multipart::missing_bucket(exchange).await
    {
        return Err(missing);
    }
    let key = keyring.sealing_key_under(policy, domain).await?;
    exchange.trail.used_key(key.id());
    Ok(key)
}

/// A working key of the keyring, as a header takes it.
pub(crate) fn of_keyring(key: &SealingKey) -> sealed_header::HeaderKey<'_> {
    sealed_header::HeaderKey {
        id: key.id(),
        key: key.key(),
        wraps: key.inline_wraps(),
    }
}

/// Adds the sealed header, and the content type that the storage sees.
pub(super) fn with_header(
    request: UpstreamRequest,
    sealed: &Header,
) -> Result<UpstreamRequest, S3Error> {
    let text = HeaderValue::from_str(&sealed.to_text()).map_err(S3Error::internal)?;
    Ok(request.header(named(HEADER_METADATA_NAME), text).header(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    ))
}
