//! What survives `kill -9`, and what a crash leaves behind.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

#[expect(dead_code, reason = "each test program uses a part of the shared code")]
mod support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use support::{Payload, Process, authorize, bytes, files};

const PART: usize = 5 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_answered_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let client = process.client();
    assert_eq!(client.call("PUT", "/bucket", &[], "").await.status, 200);
    let body = bytes(1, 3 << 20);
    let put = client
        .call(
            "PUT",
            "/bucket/an%20object",
            &[("x-amz-meta-name", "value")],
            body.clone(),
        )
        .await;
    assert_eq!(put.status, 200);
    let record_key = format!("/bucket/uploads/{}/1", "k".repeat(250));
    assert_eq!(client.call("PUT", &record_key, &[], "").await.status, 200);
    assert_eq!(
        client.call("PUT", "/bucket/gone", &[], "x").await.status,
        200
    );
    assert_eq!(
        client.call("DELETE", "/bucket/gone", &[], "").await.status,
        204
    );
    let upload = client
        .call("POST", "/bucket/parts?uploads", &[], "")
        .await
        .element("UploadId");
    let mut etags = Vec::new();
    for (number, length) in [(2, PART), (5, 7)] {
        let path = format!("/bucket/parts?partNumber={number}&uploadId={upload}");
        let part = client.call("PUT", &path, &[], bytes(number, length)).await;
        etags.push(part.header("etag").to_owned());
    }
    process.kill();

    let stray = directory.path().join("bodies").join("0".repeat(32));
    fs::write(&stray, "what a crash between rename and commit leaves").unwrap();
    fs::write(
        directory.path().join("incoming/half"),
        "what a crash in mid-upload leaves",
    )
    .unwrap();
    let process = Process::start(directory.path());
    let client = process.client();
    assert!(!stray.exists());
    assert_eq!(
        (
            files(directory.path(), "incoming"),
            files(directory.path(), "bodies")
        ),
        (0, 3)
    );
    let get = client.call("GET", "/bucket/an%20object", &[], "").await;
    assert_eq!(
        (get.status.as_u16(), get.header("x-amz-meta-name")),
        (200, "value")
    );
    assert_eq!(get.header("etag"), put.header("etag"));
    assert!(get.body == body);
    assert_eq!(
        client
            .call("HEAD", &record_key, &[], "")
            .await
            .header("content-length"),
        "0"
    );
    assert_eq!(
        client.call("GET", "/bucket/gone", &[], "").await.status,
        404
    );
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>{}</ETag></Part>\
         <Part><PartNumber>5</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        etags[0], etags[1]
    );
    let complete = client
        .call(
            "POST",
            &format!("/bucket/parts?uploadId={upload}"),
            &[],
            list,
        )
        .await;
    assert_eq!(complete.status, 200, "{}", complete.text());
    let whole = client.call("GET", "/bucket/parts", &[], "").await.body;
    assert!(whole == [bytes(2, PART), bytes(5, 7)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_mid_upload_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let client = process.client();
    client.call("PUT", "/bucket", &[], "").await;
    client.call("PUT", "/bucket/kept", &[], "old").await;
    let mut request = Request::put(format!("{}/bucket/kept", process.endpoint))
        .header("content-length", "1000000")
        .body(())
        .unwrap();
    authorize(&mut request, Payload::Unsigned);
    let address = process.endpoint.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "PUT /bucket/kept HTTP/1.1\r\nhost: {address}\r\n").unwrap();
    for (name, value) in request.headers() {
        write!(socket, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    socket.write_all(b"\r\n").unwrap();
    socket.write_all(&bytes(1, 600_000)).unwrap();
    wait_until(|| files(directory.path(), "incoming") == 1).await;
    process.kill();

    let process = Process::start(directory.path());
    assert_eq!(
        (
            files(directory.path(), "incoming"),
            files(directory.path(), "bodies")
        ),
        (0, 1)
    );
    assert_eq!(
        process
            .client()
            .call("GET", "/bucket/kept", &[], "")
            .await
            .text(),
        "old"
    );
}

async fn wait_until(mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what was waited for did not happen");
}

/// Writers replace objects while the process is killed. Every object is then one that was sent, whole,
/// and no older than the last one that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_among_writers_loses_no_acknowledged_object() {
    const WRITERS: u64 = 6;
    let body = |writer: u64, round: u64| {
        let length = usize::try_from(1000 + writer * 7919 + round * 104_729 % 90_000).unwrap();
        bytes(writer << 32 | round, length)
    };
    let directory = tempfile::tempdir().unwrap();
    let mut next = 0;
    for attempt in 0..3 {
        let process = Process::start(directory.path());
        let client = process.client();
        client.call("PUT", "/bucket", &[], "").await;
        let acknowledged = Arc::new(Mutex::new(vec![None; usize::try_from(WRITERS).unwrap()]));
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let (client, acknowledged) = (client.clone(), Arc::clone(&acknowledged));
            tasks.push(tokio::spawn(async move {
                for round in next.. {
                    let answer = client
                        .call(
                            "PUT",
                            &format!("/bucket/{writer}"),
                            &[],
                            body(writer, round),
                        )
                        .await;
                    if answer.status == 200 {
                        acknowledged.lock().unwrap()[usize::try_from(writer).unwrap()] =
                            Some(round);
                    }
                }
            }));
        }
        wait_until(|| acknowledged.lock().unwrap().iter().all(Option::is_some)).await;
        tokio::time::sleep(Duration::from_millis(100 * attempt)).await;
        process.kill();
        for task in tasks {
            // A writer ends with the panic of its broken connection.
            assert!(task.await.is_err());
        }

        let process = Process::start(directory.path());
        let client = process.client();
        for writer in 0..WRITERS {
            let last = acknowledged.lock().unwrap()[usize::try_from(writer).unwrap()].unwrap();
            let found = client
                .call("GET", &format!("/bucket/{writer}"), &[], "")
                .await;
            // At most one upload of each writer was under way.
            assert!(found.body == body(writer, last) || found.body == body(writer, last + 1));
            next = next.max(last + 2);
        }
        assert_eq!(
            files(directory.path(), "bodies"),
            usize::try_from(WRITERS).unwrap()
        );
        process.kill();
    }
}
