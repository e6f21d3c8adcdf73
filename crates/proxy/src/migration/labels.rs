//! What belongs to an object beside its bytes and its metadata, and stays visible to the storage: class, retention, tags, grants.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{
    error::S3Error,
    object::tags,
    operation::{append_query, content_md5, named},
    upstream::{MAX_DOCUMENT_LENGTH, Target, Upstream, UpstreamRequest},
    xml::labels::grants_beyond_the_owner,
};

/// Headers of an object that are given again to the one that takes its place.
const KEPT: [&str; 8] = [
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// The labels of one object.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// As headers of the request that makes its successor.
    pub(super) headers: HeaderMap,
    /// Its access control list as the storage gave it, if it says more than that its owner may do everything.
    grants: Option<bytes::Bytes>,
}

impl Labels {
    /// Reads those of one version from the headers of its head, and asks for what these do not hold.
    pub(super) async fn read(
        upstream: &Upstream,
        target: &Target,
        version_id: Option<&str>,
        head: &HeaderMap,
    ) -> Result<Self, S3Error> {
        let mut headers = HeaderMap::new();
        for name in KEPT {
            if let Some(value) = head.get(name) {
                headers.insert(named(name), value.clone());
            }
        }
        let tags = tags::require(upstream, target, version_id, head).await?;
        if let Some(value) = tags::to_header(&tags)? {
            headers.insert(named("x-amz-tagging"), value);
        }
        Ok(Self {
            headers,
            grants: grants(upstream, target, version_id).await?,
        })
    }

    /// Gives the grants again. Until then only the owner may read: less than before, and never more.
    pub(super) async fn restore_grants(
        &self,
        upstream: &Upstream,
        target: &Target,
        version_id: Option<&str>,
    ) -> Result<(), S3Error> {
        match &self.grants {
            Some(document) => give_grants(upstream, target, version_id, document.clone()).await,
            None => Ok(()),
        }
    }

    /// The access control list, where it says more than that its owner may do everything.
    pub(super) fn grants(&self) -> Option<&bytes::Bytes> {
        self.grants.as_ref()
    }
}

/// Gives a version the grants of this document, which the storage has shown before.
pub(super) async fn give_grants(
    upstream: &Upstream,
    target: &Target,
    version_id: Option<&str>,
    document: bytes::Bytes,
) -> Result<(), S3Error> {
    let md5 = HeaderValue::from_str(&content_md5(&document)).map_err(S3Error::internal)?;
    let request = UpstreamRequest::new(Method::PUT, target.clone())
        .query(subresource("acl", version_id))
        .header(named("content-md5"), md5)
        .bytes(document);
    upstream.call(request).await.map(drop)
}

/// The access control list, where the storage shows one that says something. Many have none, or do not let us see it.
pub(super) async fn grants(
    upstream: &Upstream,
    target: &Target,
    version_id: Option<&str>,
) -> Result<Option<bytes::Bytes>, S3Error> {
    let request =
        UpstreamRequest::new(Method::GET, target.clone()).query(subresource("acl", version_id));
    let answer = match upstream.call(request).await {
        Ok(answer) => answer,
        Err(error)
            if matches!(
                error.status,
                StatusCode::NOT_IMPLEMENTED
                    | StatusCode::FORBIDDEN
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::BAD_REQUEST
                    | StatusCode::NOT_FOUND
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let document = answer.document(MAX_DOCUMENT_LENGTH).await?;
    Ok(grants_beyond_the_owner(&document)?.then(|| document.into_bytes()))
}

fn subresource(name: &str, version_id: Option<&str>) -> String {
    let mut query = format!("{name}=");
    if let Some(version_id) = version_id {
        append_query(&mut query, "versionId", version_id);
    }
    query
}
