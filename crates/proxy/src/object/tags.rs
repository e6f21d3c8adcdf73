//! The tags of an object. The storage keeps them beside it, and sees them by design; a copy that the storage makes itself takes them along, and
//! one whose bytes pass here has to be given them.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{
    error::S3Error,
    operation::append_query,
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest},
    xml::labels::{Tag, parse_tags},
};

/// Asks for the tags of an object that is to be replaced or taken elsewhere: where somebody may not see them, it fails, because they would be lost.
/// A storage without tags has none.
///
/// # Errors
///
/// What the upstream says, and an answer that is none.
pub(crate) async fn require(
    upstream: &Upstream,
    target: &Target,
    version_id: Option<&str>,
    head: &HeaderMap,
) -> Result<Vec<Tag>, S3Error> {
    match ask(upstream, target, version_id).await {
        Err(error)
            if !are_told(head)
                && error.status != StatusCode::FORBIDDEN
                && are_not_shown(error.status) =>
        {
            Ok(Vec::new())
        }
        found => found,
    }
}

/// Asks for the tags of an object, also if its head does not say how many there are: not every storage tells it, and none to whom it does not
/// show them. An object whose head tells of none, and whose tags are not shown, has none.
///
/// # Errors
///
/// As [`require`].
pub(crate) async fn find(
    upstream: &Upstream,
    target: &Target,
    version_id: Option<&str>,
    head: &HeaderMap,
) -> Result<Vec<Tag>, S3Error> {
    match ask(upstream, target, version_id).await {
        Err(error) if !are_told(head) && are_not_shown(error.status) => Ok(Vec::new()),
        found => found,
    }
}

fn are_told(head: &HeaderMap) -> bool {
    head.get("x-amz-tagging-count")
        .is_some_and(|count| count != "0")
}

fn are_not_shown(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED
    )
}

async fn ask(
    upstream: &Upstream,
    target: &Target,
    version_id: Option<&str>,
) -> Result<Vec<Tag>, S3Error> {
    let mut query = "tagging=".to_owned();
    if let Some(version_id) = version_id {
        append_query(&mut query, "versionId", version_id);
    }
    let request = UpstreamRequest::new(Method::GET, target.clone()).query(query);
    let answer = upstream.call(request).await?;
    Ok(parse_tags(&answer.document(MAX_DOCUMENT_LENGTH).await?)?)
}

/// Tags as a request that makes an object carries them: the value of `x-amz-tagging`. None where there are none.
///
/// # Errors
///
/// Never in practice: whatever a header cannot hold is percent-encoded.
pub(crate) fn to_header(tags: &[Tag]) -> Result<Option<HeaderValue>, S3Error> {
    let mut text = String::new();
    for tag in tags {
        append_query(&mut text, &tag.key, &tag.value);
    }
    let value = (!text.is_empty()).then(|| HeaderValue::from_str(&text));
    value.transpose().map_err(S3Error::internal)
}
