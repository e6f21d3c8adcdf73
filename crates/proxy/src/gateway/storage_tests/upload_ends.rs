//! How uploads end: what is aborted was not completed, and the other way round.

use std::{fmt::Write as _, sync::atomic::Ordering};

use bytes::Bytes;
use http::{Method, StatusCode, header};

use super::{BUCKET, Rig, between, request, storage::Object};
use crate::{error::S3Error, state::UploadId};

/// An open upload, as its client knows it.
#[derive(Debug)]
pub(super) struct OpenUpload {
    key: String,
    id: String,
    /// The storage's own id.
    pub(super) upstream: String,
    /// What is named in a completion.
    pub(super) named: Vec<(u16, String)>,
}

impl OpenUpload {
    pub(super) async fn begin(rig: &Rig, key: &str) -> Self {
        let created = rig.text(request(Method::POST, key).query("uploads=")).await;
        let id = between(&created, "<UploadId>", "</UploadId>").to_owned();
        Self {
            key: key.to_owned(),
            upstream: UploadId::parse(&id).unwrap().upstream,
            id,
            named: Vec::new(),
        }
    }

    /// Uploads a part; its tag.
    pub(super) async fn part(&self, rig: &Rig, number: u16, body: impl Into<Bytes>) -> String {
        let part = request(Method::PUT, &self.key)
            .query(format!("partNumber={number}&uploadId={}", self.id))
            .bytes(body);
        let answer = rig.call(part).await.unwrap();
        answer.text(header::ETAG).unwrap().to_owned()
    }

    pub(super) async fn complete(&self, rig: &Rig) -> Result<(), S3Error> {
        let mut text = String::from("<CompleteMultipartUpload>");
        for (number, tag) in &self.named {
            write!(
                text,
                "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            )
            .unwrap();
        }
        text += "</CompleteMultipartUpload>";
        let complete = request(Method::POST, &self.key)
            .query(format!("uploadId={}", self.id))
            .bytes(text);
        rig.call(complete).await.map(drop)
    }

    async fn abort(&self, rig: &Rig) -> Result<StatusCode, S3Error> {
        let abort = request(Method::DELETE, &self.key).query(format!("uploadId={}", self.id));
        rig.call(abort).await.map(|answer| answer.status())
    }

    /// All that the state bucket has of it.
    pub(super) fn state(&self, rig: &Rig) -> Vec<(String, Object)> {
        let hash = UploadId::parse(&self.id).unwrap().hash();
        let prefix = sealgate_envelope::records::upload_prefix(hash);
        rig.storage.objects(rig.gateway.state.name(), &prefix)
    }
}

/// An upload that was completed by a gateway which was killed before it deleted the state.
async fn completed_with_state(rig: &Rig, key: &str) -> OpenUpload {
    let mut upload = OpenUpload::begin(rig, key).await;
    let tag = upload.part(rig, 1, "content").await;
    upload.named.push((1, tag));
    let state = upload.state(rig);
    upload.complete(rig).await.unwrap();
    assert_eq!(upload.state(rig).len(), 0);
    rig.storage.give(rig.gateway.state.name(), state);
    upload
}

#[tokio::test]
async fn an_upload_that_was_completed_is_not_aborted() {
    let rig = Rig::start("").await;
    // As MinIO does.
    for aborts_anything in [false, true] {
        let behaviour = &rig.storage.behaviour.aborts_anything;
        behaviour.store(aborts_anything, Ordering::Relaxed);
        let upload = completed_with_state(&rig, "key").await;
        let error = upload.abort(&rig).await.unwrap_err();
        assert_eq!(
            (error.status, &*error.code),
            (StatusCode::NOT_FOUND, "NoSuchUpload")
        );
        assert_eq!(upload.state(&rig).len(), 0, "state is left");
        assert_eq!(rig.get("key").await, "content");
    }
}

#[tokio::test]
async fn an_abort_whose_state_was_left_succeeds_again() {
    let rig = Rig::start("").await;
    for key in ["none", "another"] {
        let upload = OpenUpload::begin(&rig, key).await;
        upload.part(&rig, 1, "content").await;
        if key == "another" {
            rig.put(key, "another").await.unwrap();
        }
        let state = upload.state(&rig);
        assert_eq!(upload.abort(&rig).await.unwrap(), StatusCode::NO_CONTENT);
        rig.storage.give(rig.gateway.state.name(), state);
        assert_eq!(upload.abort(&rig).await.unwrap(), StatusCode::NO_CONTENT);
        assert_eq!(upload.state(&rig).len(), 0, "state is left");
    }
}

#[tokio::test]
async fn an_abort_says_so_when_the_storage_does_not_tell_what_became_of_the_upload() {
    let rig = Rig::start("").await;
    let upload = completed_with_state(&rig, "key").await;
    for answer in [
        (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        (StatusCode::BAD_GATEWAY, "BadGateway"),
    ] {
        rig.storage.behaviour.hook.set(move |moment| {
            let is_asked = moment.method == Method::HEAD && moment.bucket == BUCKET;
            is_asked.then_some(answer)
        });
        let error = upload.abort(&rig).await.unwrap_err();
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    }
    rig.storage.behaviour.hook.clear();
    assert_eq!(upload.abort(&rig).await.unwrap_err().code, "NoSuchUpload");
}
