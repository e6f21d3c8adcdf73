//! Answers that the gateway makes itself say which page of the web may read them, as the storage decides.

use http::{HeaderMap, HeaderValue, Method, header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{BUCKET, Rig, between, request, storage::PAGE_ORIGIN};
use crate::upstream::UpstreamRequest;

const OTHER_ORIGIN: &str = "https://elsewhere.example.net";

fn of_page(request: UpstreamRequest, origin: &'static str) -> UpstreamRequest {
    request.header(header::ORIGIN, HeaderValue::from_static(origin))
}

fn assert_shown(headers: &HeaderMap) {
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE_ORIGIN);
    assert_eq!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS], "ETag");
    assert_eq!(headers[header::VARY], "Origin");
}

#[tokio::test]
async fn a_page_may_read_the_answers_to_an_upload_in_parts() {
    let rig = Rig::start("").await;
    let created = rig
        .text(request(Method::POST, "key").query("uploads="))
        .await;
    let upload = between(&created, "<UploadId>", "</UploadId>").to_owned();
    let part = |upload: &str| {
        request(Method::PUT, "key")
            .query(format!("partNumber=1&uploadId={upload}"))
            .bytes("content")
    };
    let listed = || request(Method::GET, "key").query(format!("uploadId={upload}"));
    let answer = rig.call(of_page(part(&upload), PAGE_ORIGIN)).await.unwrap();
    assert!(answer.headers().contains_key(header::ETAG));
    assert_shown(answer.headers());
    assert_shown(
        rig.call(of_page(listed(), PAGE_ORIGIN))
            .await
            .unwrap()
            .headers(),
    );
    let aborted = request(Method::DELETE, "key").query(format!("uploadId={upload}"));
    assert_shown(
        rig.call(of_page(aborted, PAGE_ORIGIN))
            .await
            .unwrap()
            .headers(),
    );
    let refused = rig
        .call(of_page(part("none"), PAGE_ORIGIN))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "NoSuchUpload");
    assert_shown(&refused.headers);

    let elsewhere = rig.call(of_page(listed(), OTHER_ORIGIN)).await.unwrap_err();
    assert!(
        !elsewhere
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
}

#[tokio::test]
async fn the_storage_is_asked_once_for_each_page_and_method() {
    let rig = Rig::start("").await;
    rig.storage.take_seen();
    for _ in 0..5 {
        for origin in [PAGE_ORIGIN, OTHER_ORIGIN] {
            let listed = request(Method::GET, "key").query("uploadId=none");
            rig.call(of_page(listed, origin)).await.unwrap_err();
        }
    }
    let seen = rig.storage.take_seen();
    let asked = seen.iter().filter(|seen| seen.method == Method::OPTIONS);
    assert_eq!(asked.count(), 2);
}

/// Over HTTP/2 the host is no header: in a bucket's own host, nothing else names the bucket.
#[tokio::test]
async fn a_page_asks_of_the_same_bucket_over_either_version_of_http() {
    let storage = super::storage::Storage::default();
    let rig = Rig::start_in_domain(storage, "s3.example.org").await;
    let host = format!("{BUCKET}.s3.example.org");
    let over_http_1 = http::Request::get("/key").header(header::HOST, &host);
    let over_http_2 = http::Request::get(format!("https://{host}/key"));
    let asked = |request: http::request::Builder| {
        let request = request.header(header::ORIGIN, PAGE_ORIGIN).body(());
        rig.gateway.question(&request.unwrap().into_parts().0)
    };
    let question = asked(over_http_1);
    assert!(question.is_some());
    assert_eq!(asked(over_http_2), question);
    let elsewhere = http::Request::get("https://other.s3.example.org/key");
    assert_ne!(asked(elsewhere), question);
}

/// The head of the answer to a request that nobody signed.
async fn unsigned(rig: &Rig, bucket: &str, origin: &str) -> String {
    let mut stream = TcpStream::connect(&rig.address).await.unwrap();
    let request = format!(
        "GET /{bucket}/key HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\nconnection: close\r\n\r\n",
        rig.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    answer.to_lowercase()
}

#[tokio::test]
async fn a_refusal_is_shown_to_pages_that_the_bucket_admits_and_to_no_others() {
    let rig = Rig::start("").await;
    let allowed = "\r\naccess-control-allow-origin: https://app.example.org\r\n";
    assert!(unsigned(&rig, BUCKET, PAGE_ORIGIN).await.contains(allowed));
    for (bucket, origin) in [
        (BUCKET, OTHER_ORIGIN),
        (rig.gateway.state.name(), PAGE_ORIGIN),
    ] {
        let answer = unsigned(&rig, bucket, origin).await;
        assert!(!answer.contains("access-control-"), "{answer}");
    }
}
