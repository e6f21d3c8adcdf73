//! What became of an upload: whether the live object was made of it.

use http::Method;

use super::{Completed, Exchange, attempts::Attempts};
use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    object::SealedHead,
    operation::{get_object::intent, headers},
    policy,
    state::UploadId,
    upstream::{Answer, UpstreamRequest},
    xml::requests::CompletedPart,
};

/// Whether the live object is the one that this upload makes of these parts: then a Complete has succeeded before, and its answer got lost.
///
/// # Errors
///
/// When nobody can tell now. A client that was told instead that there is no such upload would not ask again.
pub(super) async fn already_completed(
    exchange: &Exchange,
    id: &UploadId,
    parts: &[CompletedPart],
    attempts: &Attempts<'_>,
) -> Result<Option<Completed>, S3Error> {
    unless_away(completed_object(exchange, id, parts, attempts).await)
}

/// Whether the live object was made of this upload, of whatever parts. Its header tells, which is compared and not opened: nothing of the object is
/// released, and a storage that lies here could as well lie about the upload.
///
/// # Errors
///
/// As [`already_completed`].
pub(in crate::operation) async fn was_completed(
    exchange: &Exchange,
    id: &UploadId,
) -> Result<bool, S3Error> {
    Ok(unless_away(live_head(exchange, id).await)?.is_some())
}

/// An object that cannot be looked at is not ours, unless that may change by itself.
fn unless_away<T>(outcome: Result<Option<T>, S3Error>) -> Result<Option<T>, S3Error> {
    match outcome {
        // What does not verify is no passing trouble of the storage.
        Err(error) if error.status.is_server_error() && !error.is_about_stored_data => {
            Err(S3Error::unavailable(
                "Whether this upload was completed cannot be found out now. Please try again.",
                error,
            ))
        }
        outcome => Ok(outcome.ok().flatten()),
    }
}

/// The head of the live object, and what it says of it, if that claims to be made of this upload.
async fn live_head(
    exchange: &Exchange,
    id: &UploadId,
) -> Result<Option<(Answer, SealedHead)>, S3Error> {
    let request = UpstreamRequest::new(Method::HEAD, exchange.target())
        .headers(headers::common(&exchange.headers));
    let answer = exchange.gateway.upstream.call(request).await?;
    let head = SealedHead::read(&answer, None)?;
    Ok((head.header.object_id() == id.object_id).then_some((answer, head)))
}

async fn completed_object(
    exchange: &Exchange,
    id: &UploadId,
    parts: &[CompletedPart],
    attempts: &Attempts<'_>,
) -> Result<Option<Completed>, S3Error> {
    let gateway = &exchange.gateway;
    // Nobody else's object is opened.
    let Some((answer, head)) = live_head(exchange, id).await? else {
        return Ok(None);
    };
    let permit = policy::permit_open(&intent(exchange)).await?;
    let object = head
        .open(gateway, &permit, &exchange.domain(), exchange.key())
        .await?;
    let record = gateway
        .commits
        .record(&gateway.upstream, &exchange.target(), &object)
        .await?;
    let same_upload = record.upload() == Some(id.hash()) && record.object_id() == id.object_id;
    // The attempts too: parts of the same numbers may hold other bytes, and those would be lost without a word.
    let same_parts = record.parts().len() == parts.len()
        && record.parts().iter().zip(parts).all(|(made_of, named)| {
            made_of.id.number() == named.number
                && attempts.may_be(named, *made_of.id.attempt().as_bytes())
        });
    Ok((same_upload && same_parts).then(|| Completed {
        entity_tag: EntityTag::parse(&object.identity.entity_tag).to_client(),
        headers: headers::answer(answer.headers()),
        record,
    }))
}
