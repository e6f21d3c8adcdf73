//! Requests that nobody has signed, or not yet, have places of their own.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    BUCKET, Rig, request,
    storage::{PAGE_ORIGIN, Storage},
};

const LIMITS: &str =
    "[limits]\nunsigned_requests = 4\nconcurrent_requests = 2\nheader_timeout = '3s'\n";

/// A form whose fields begin and do not end.
async fn stalled_form(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(&rig.address).await.unwrap();
    let head = format!(
        "POST /{BUCKET} HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 1000\r\n\r\n--b\r\n",
        rig.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    String::from_utf8_lossy(&line).into_owned()
}

#[tokio::test]
async fn stalled_forms_keep_no_signed_request_out_and_end_in_time() {
    let rig = Rig::start_with(Storage::default(), "", LIMITS).await;
    rig.put("key", "content").await.unwrap();
    let started = Instant::now();
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(stalled_form(&rig).await);
    }
    // The fifth finds no place; how soon the four have theirs is not ours to say.
    let mut refused = false;
    while !refused {
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "no form was refused"
        );
        let mut more = stalled_form(&rig).await;
        let answer = tokio::time::timeout(Duration::from_millis(300), status(&mut more)).await;
        refused = answer.is_ok_and(|line| line == "HTTP/1.1 503");
    }
    for _ in 0..8 {
        assert_eq!(rig.get("key").await, "content");
    }
    // A browser that asks whether it may send something has nothing to do with forms.
    let preflight = request(Method::OPTIONS, "key")
        .header(header::ORIGIN, HeaderValue::from_static(PAGE_ORIGIN))
        .header(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("PUT"),
        )
        .unsigned();
    assert_eq!(rig.call(preflight).await.unwrap().status(), 200);
    for form in &mut stalled {
        let ended = tokio::time::timeout(Duration::from_secs(6), status(form)).await;
        assert_eq!(ended.expect("the fields have a time limit"), "HTTP/1.1 400");
    }
    let again = tokio::time::timeout(Duration::from_millis(300), async {
        status(&mut stalled_form(&rig).await).await
    })
    .await;
    assert!(
        again.is_err(),
        "the places are free again, so this form waits for its fields"
    );
}
