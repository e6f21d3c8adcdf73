//! DeleteObject and DeleteObjects: passed on, with the entity tags in conditions translated.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, header};
use sealgate_audit::Verdict;
use sealgate_envelope::layout;

use super::{Exchange, ResponseBody, append_query, content_md5, empty, headers, named, whole};
use crate::{
    audit::Decided,
    entity_tag::TagCondition,
    error::S3Error,
    object_key::{MAX_KEY_BYTES, ObjectPathError, check_meaning},
    policy::Refusal,
    upstream::{MAX_DOCUMENT_LENGTH, UpstreamRequest},
    xml::{
        XmlError,
        delete_result::{self, NotDeleted},
        requests::{DeleteObjects, ObjectToDelete, RequestDocumentError},
    },
};

/// DeleteObject. What is left of open uploads of the key is not touched, as in S3.
pub(super) async fn delete_object(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let mut request_headers = headers::common(&exchange.headers);
    headers::conditions(&exchange.headers, &mut request_headers)?;
    if let Some(value) = exchange.headers.get("x-amz-if-match-last-modified-time") {
        request_headers.insert(named("x-amz-if-match-last-modified-time"), value.clone());
    }
    if let Some(size) = exchange.header("x-amz-if-match-size") {
        let sealed = size
            .parse()
            .ok()
            .and_then(layout::sealed_length)
            .ok_or_else(|| S3Error::invalid_argument("x-amz-if-match-size is not a size."))?;
        request_headers.insert(named("x-amz-if-match-size"), sealed.into());
    }
    // Nothing of the client's query but the version: another storage might read another operation out of the rest.
    let mut query = String::new();
    if let Some(version_id) = exchange.version_id()? {
        append_query(&mut query, "versionId", version_id);
    }
    let request = UpstreamRequest::new(Method::DELETE, exchange.target())
        .query(query)
        .headers(request_headers);
    let answer = exchange.gateway.upstream.call(request).await?;
    let mut answer_headers = headers::answer(answer.headers());
    answer_headers.remove(header::ETAG);
    Ok(empty(StatusCode::NO_CONTENT, answer_headers))
}

/// DeleteObjects: read, written again with a Content-MD5, which some storages demand, and answered as the storage answers.
pub(super) async fn delete_objects(
    mut exchange: Exchange,
) -> Result<Response<ResponseBody>, S3Error> {
    let body = exchange.document().await?;
    let mut request = DeleteObjects::parse(&body)?;
    if request.objects.is_empty() && exchange.rights.has_policy() {
        // Nothing would be decided about, and the storage's answer would tell whether the bucket is there. AWS answers so, too.
        return Err(RequestDocumentError::from(XmlError::MissingElement {
            element: "Object",
            parent: "Delete",
        })
        .into());
    }
    let (allowed, refused) = decide(&exchange, std::mem::take(&mut request.objects)).await;
    let decided = allowed.iter().map(Allowed::decided);
    let decided = decided.chain(refused.iter().filter_map(Refused::decided));
    exchange
        .trail
        .intend_each("delete", exchange.bucket(), decided)
        .await?;
    if allowed.is_empty() && refused.is_empty() {
        // The storage is asked all the same.
        exchange
            .trail
            .intend(Some("delete"), exchange.bucket(), "")
            .await?;
    }
    request.objects = allowed.into_iter().map(|allowed| allowed.object).collect();
    let refused: Vec<_> = refused.iter().map(Refused::as_answer).collect();
    if request.objects.is_empty() && !refused.is_empty() {
        let answer = delete_result::only_errors(&refused);
        return Ok(whole(StatusCode::OK, xml_headers(), answer));
    }
    for object in &mut request.objects {
        if exchange
            .gateway
            .config
            .is_migrating(exchange.bucket(), &object.key)
        {
            object.entity_tag = object.entity_tag.take().map(TagCondition::of_either);
        }
    }
    for size in request
        .objects
        .iter_mut()
        .filter_map(|object| object.size.as_mut())
    {
        *size = layout::sealed_length(*size).ok_or_else(|| {
            S3Error::invalid_argument("The size of an object to delete is too large.")
        })?;
    }
    let document = request.to_document().into_bytes();
    let mut request_headers: HeaderMap = headers::common(&exchange.headers);
    headers::insert_text(
        &mut request_headers,
        named("content-md5"),
        &content_md5(&document),
    );
    let request = UpstreamRequest::new(Method::POST, exchange.target())
        .query("delete=")
        .headers(request_headers)
        .bytes(document);
    let answer = exchange.gateway.upstream.call(request).await?;
    let mut answer_headers = headers::answer(answer.headers());
    answer_headers.insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/xml"),
    );
    let mut result = answer.document(MAX_DOCUMENT_LENGTH).await?.into_bytes();
    if !refused.is_empty() {
        result = delete_result::with_errors(&result, &refused).ok_or_else(|| {
            S3Error::internal("the upstream's answer to DeleteObjects cannot be read")
        })?;
    }
    Ok(whole(StatusCode::OK, answer_headers, result))
}

/// An object that the caller may delete, and by which policies.
struct Allowed {
    object: ObjectToDelete,
    policies: Vec<Arc<str>>,
}

impl Allowed {
    fn decided(&self) -> Decided<'_> {
        Decided {
            key: &self.object.key,
            version: self.object.version_id.as_deref(),
            verdict: Verdict::Allow,
            policies: &self.policies,
        }
    }
}

/// An object that is not deleted.
struct Refused {
    object: ObjectToDelete,
    error: S3Error,
    /// By which policies; `None` where nothing was decided, because of what the key is.
    policies: Option<Vec<Arc<str>>>,
}

impl Refused {
    fn decided(&self) -> Option<Decided<'_>> {
        Some(Decided {
            key: &self.object.key,
            version: self.object.version_id.as_deref(),
            verdict: Verdict::Deny,
            policies: self.policies.as_deref()?,
        })
    }

    fn as_answer(&self) -> NotDeleted<'_> {
        NotDeleted {
            key: &self.object.key,
            version_id: self.object.version_id.as_deref(),
            code: &self.error.code,
            message: &self.error.message,
        }
    }
}

/// How many objects are decided about before other requests get their turn.
const DECISIONS_AT_ONCE: usize = 50;

/// Decides about each object for itself.
async fn decide(exchange: &Exchange, objects: Vec<ObjectToDelete>) -> (Vec<Allowed>, Vec<Refused>) {
    let mut refused = Vec::new();
    let mut allowed = Vec::with_capacity(objects.len());
    for (count, object) in objects.into_iter().enumerate() {
        if count % DECISIONS_AT_ONCE == DECISIONS_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        // Before it is decided about: a policy's patterns are held against all of it.
        let length = object.key.len();
        let fit = if length > MAX_KEY_BYTES {
            Err(ObjectPathError::KeyTooLong { length })
        } else {
            check_meaning(&object.key)
        };
        if let Err(error) = fit {
            let error = error.into();
            refused.push(Refused {
                object,
                error,
                policies: None,
            });
            continue;
        }
        let decision = exchange.rights.authorize_deletion(
            exchange.bucket(),
            &object.key,
            object.version_id.is_some(),
            &exchange.headers,
        );
        match decision {
            Ok(policies) => allowed.push(Allowed { object, policies }),
            Err(Refusal { error, policies }) => refused.push(Refused {
                object,
                error,
                policies: Some(policies),
            }),
        }
    }
    (allowed, refused)
}

fn xml_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/xml"),
    );
    headers
}
