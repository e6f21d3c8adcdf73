//! What is told of open uploads.

use http::Method;

use super::{BUCKET, Rig, between, request, with};
use crate::upstream::{Target, UpstreamRequest};

#[tokio::test]
async fn an_open_upload_shows_the_storage_class_that_the_storage_tells() {
    let rig = Rig::start("").await;
    for (class, shown) in [(Some("GLACIER_IR"), "GLACIER_IR"), (None, "STANDARD")] {
        let key = class.unwrap_or("none");
        let create = request(Method::POST, key).query("uploads=");
        let create = match class {
            Some(class) => with(create, "x-amz-storage-class", class),
            None => create,
        };
        let created = rig.text(create).await;
        let upload = between(&created, "<UploadId>", "</UploadId>");
        let parts = request(Method::GET, key).query(format!("uploadId={upload}"));
        let uploads = UpstreamRequest::new(Method::GET, Target::bucket(BUCKET))
            .query(format!("uploads=&prefix={key}"));
        for answer in [rig.text(parts).await, rig.text(uploads).await] {
            let found = between(&answer, "<StorageClass>", "</StorageClass>");
            assert_eq!(found, shown, "{answer}");
        }
    }
}
