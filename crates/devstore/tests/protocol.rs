//! What clients see: over HTTP, signed, with the server in this process or in one of its own.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

#[expect(dead_code, reason = "each test program uses a part of the shared code")]
mod support;

use std::fmt::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use sealgate_devstore::{Credentials, RunningServer, Server, Store};
use support::{ACCESS_KEY, Answer, Client, Payload, Process, SECRET_KEY, bytes, files};

const PART: usize = 5 << 20;

struct Rig {
    directory: tempfile::TempDir,
    store: Store,
    _server: RunningServer,
    client: Client,
}

async fn rig() -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY).unwrap();
    let server = Server::start(store.clone(), any, credentials).unwrap();
    let client = Client::new(&server.endpoint());
    assert_eq!(client.call("PUT", "/bucket", &[], "").await.status, 200);
    Rig {
        directory,
        store,
        _server: server,
        client,
    }
}

impl Rig {
    fn bodies(&self) -> usize {
        assert_eq!(files(self.directory.path(), "incoming"), 0);
        files(self.directory.path(), "bodies")
    }

    async fn multipart(&self, key: &str, parts: &[Bytes]) -> Answer {
        let upload = self
            .client
            .call("POST", &format!("/bucket/{key}?uploads"), &[], "")
            .await
            .element("UploadId");
        let mut list = String::from("<CompleteMultipartUpload>");
        for (number, part) in parts
            .iter()
            .enumerate()
            .map(|(place, part)| (place + 1, part))
        {
            let path = format!("/bucket/{key}?partNumber={number}&uploadId={upload}");
            let answer = self.client.call("PUT", &path, &[], part.clone()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let etag = answer.header("etag");
            write!(
                list,
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            )
            .unwrap();
        }
        list += "</CompleteMultipartUpload>";
        self.client
            .call(
                "POST",
                &format!("/bucket/{key}?uploadId={upload}"),
                &[],
                list,
            )
            .await
    }

    /// A PutObject in aws-chunked framing with a CRC-32 trailer.
    async fn put_with_trailer(&self, key: &str, framed: &'static str, length: &str) -> Answer {
        let headers = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", length),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let body = Full::new(Bytes::from_static(framed.as_bytes())).boxed();
        let path = format!("/bucket/{key}");
        let answer = self
            .client
            .start("PUT", &path, &headers, Payload::UnsignedTrailer, body)
            .await
            .unwrap();
        let (head, body) = answer.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_the_old_bytes_when_an_object_is_replaced_or_deleted() {
    let rig = rig().await;
    // More than the sockets hold, so that most is read after the change.
    let parts = [bytes(1, 3 * PART), bytes(2, 3 * PART), bytes(3, 9)];
    for (key, method) in [("replaced", "PUT"), ("deleted", "DELETE")] {
        assert_eq!(rig.multipart(key, &parts).await.status, 200);
        let path = format!("/bucket/{key}");
        let empty = Full::new(Bytes::new()).boxed();
        let reading = rig
            .client
            .start("GET", &path, &[], Payload::Unsigned, empty)
            .await
            .unwrap();
        assert!(
            rig.client
                .call(method, &path, &[], "")
                .await
                .status
                .is_success()
        );
        assert!(reading.into_body().collect().await.unwrap().to_bytes() == parts.concat());
    }
    for _ in 0..100 {
        if rig.bodies() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!(
        "{} files of replaced objects were not removed",
        rig.bodies()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_fail_their_checks_leave_nothing() {
    let rig = rig().await;
    let refused = [
        (("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest"),
        (("content-md5", "AAAA"), "InvalidDigest"),
        (("x-amz-checksum-crc32", "AAAAAA=="), "BadDigest"),
        (("x-amz-checksum-sha256", "AAAA"), "InvalidRequest"),
        (
            ("x-amz-meta-big", "v".repeat(2048).as_str()),
            "MetadataTooLarge",
        ),
        (("x-amz-server-side-encryption", "AES256"), "NotImplemented"),
        (("x-amz-storage-class", "CARDBOARD"), "InvalidStorageClass"),
    ]
    .map(|((name, value), code)| (name, value.to_owned(), code));
    for (name, value, code) in refused {
        let answer = rig
            .client
            .call("PUT", "/bucket/key", &[(name, &value)], "body")
            .await;
        assert_eq!(
            (answer.element("Code").as_str(), rig.bodies()),
            (code, 0),
            "{name}"
        );
    }
    let wrong = [
        (
            "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
            "3",
            "BadDigest",
        ),
        ("3\r\nabc\r\n0\r\n\r\n", "3", "MalformedTrailerError"),
        (
            "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n",
            "4",
            "IncompleteBody",
        ),
        (
            "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n",
            "2",
            "IncompleteBody",
        ),
        ("zz\r\nabc\r\n0\r\n\r\n", "3", "InvalidRequest"),
    ];
    for (framed, length, code) in wrong {
        let answer = rig.put_with_trailer("key", framed, length).await;
        assert_eq!(
            (answer.element("Code").as_str(), rig.bodies()),
            (code, 0),
            "{framed:?}"
        );
    }
    assert_eq!(
        rig.client.call("GET", "/bucket/key", &[], "").await.status,
        404
    );
    let good = rig
        .put_with_trailer(
            "key",
            "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n",
            "3",
        )
        .await;
    assert_eq!(
        (good.status.as_u16(), good.header("x-amz-checksum-crc32")),
        (200, "NSRBwg==")
    );
    let head = rig
        .client
        .call(
            "HEAD",
            "/bucket/key",
            &[("x-amz-checksum-mode", "ENABLED")],
            "",
        )
        .await;
    assert_eq!(
        (
            head.header("x-amz-checksum-crc32"),
            head.header("content-encoding")
        ),
        ("NSRBwg==", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_conditional_writers_one_wins() {
    let rig = rig().await;
    let mut writers = Vec::new();
    for number in 0..16 {
        let client = rig.client.clone();
        writers.push(tokio::spawn(async move {
            let body = bytes(number, 1000);
            client
                .call("PUT", "/bucket/once", &[("if-none-match", "*")], body)
                .await
                .status
                .as_u16()
        }));
    }
    let mut statuses = Vec::new();
    for writer in writers {
        statuses.push(writer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![412; 15]].concat());
    assert_eq!(rig.bodies(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions_as_the_gateway_uses_them() {
    let rig = rig().await;
    let put = rig
        .client
        .call("PUT", "/bucket/key", &[], "hello world")
        .await;
    let etag = put.header("etag").to_owned();
    let get = async |method, headers: &[(&str, &str)]| {
        rig.client.call(method, "/bucket/key", headers, "").await
    };
    let suffix = get("GET", &[("range", "bytes=-50"), ("if-match", &etag)]).await;
    assert_eq!(
        (suffix.status.as_u16(), suffix.header("content-range")),
        (206, "bytes 0-10/11")
    );
    assert_eq!(suffix.text(), "hello world");
    assert_eq!(get("GET", &[("if-match", "\"other\"")]).await.status, 412);
    assert_eq!(get("HEAD", &[("range", "bytes=2-5")]).await.status, 206);
    let unsatisfiable = get("GET", &[("range", "bytes=11-")]).await;
    assert_eq!(
        (
            unsatisfiable.status.as_u16(),
            unsatisfiable.header("content-range")
        ),
        (416, "bytes */11")
    );
    let unchanged = get("GET", &[("if-none-match", &etag)]).await;
    assert_eq!(
        (unchanged.status.as_u16(), unchanged.header("etag")),
        (304, etag.as_str())
    );
    assert_eq!(
        get("GET", &[("range", "bytes=0-1"), ("if-range", "\"other\"")])
            .await
            .text(),
        "hello world"
    );
    assert_eq!(
        get("GET", &[("range", "bytes=0-1"), ("if-range", &etag)])
            .await
            .text(),
        "he"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_share_no_fate_with_their_source() {
    let rig = rig().await;
    let parts = [bytes(1, PART), bytes(2, 10)];
    let complete = rig.multipart("source", &parts).await;
    let etag = complete.element("ETag");
    let wrong = [
        ("x-amz-copy-source", "/bucket/source"),
        ("x-amz-copy-source-if-match", "\"other\""),
    ];
    assert_eq!(
        rig.client
            .call("PUT", "/bucket/copy", &wrong, "")
            .await
            .status,
        412
    );
    let right = [
        ("x-amz-copy-source", "/bucket/source"),
        ("x-amz-copy-source-if-match", etag.as_str()),
    ];
    let copy = rig.client.call("PUT", "/bucket/copy", &right, "").await;
    assert_eq!(copy.status, 200, "{}", copy.text());
    // The copy of a multipart object is in one piece: its ETag is the MD5 of the whole.
    let whole = parts.concat();
    let put = rig
        .client
        .call("PUT", "/bucket/whole", &[], whole.clone())
        .await;
    assert_eq!(copy.element("ETag"), put.header("etag"));
    assert_eq!(
        rig.client
            .call("DELETE", "/bucket/source", &[], "")
            .await
            .status,
        204
    );
    assert!(rig.client.call("GET", "/bucket/copy", &[], "").await.body == whole);
    assert_eq!(
        rig.store
            .body_files("bucket", "copy")
            .unwrap()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(rig.store.body_files("bucket", "source").unwrap(), None);
    let stored = rig.store.body_files("bucket", "whole").unwrap().unwrap();
    assert!(std::fs::read(&stored[0]).unwrap() == whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_those_that_were_asked_for() {
    let rig = rig().await;
    let complete = rig.multipart("key", &[bytes(1, PART), bytes(2, 10)]).await;
    let asked = [("x-amz-object-attributes", "ETag,ObjectSize,ObjectParts")];
    let answer = rig
        .client
        .call("GET", "/bucket/key?attributes", &asked, "")
        .await;
    let etag = answer.element("ETag");
    assert_eq!(
        etag.trim_matches('"'),
        complete.element("ETag").trim_matches('"')
    );
    assert_eq!(answer.element("ObjectSize"), (PART + 10).to_string());
    assert!(answer.text().contains("PartsCount>2<"), "{}", answer.text());
    assert!(!answer.text().contains("StorageClass"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_replaced_unlisted_or_aborted_leave_no_files() {
    let rig = rig().await;
    let upload = rig
        .client
        .call("POST", "/bucket/key?uploads", &[], "")
        .await
        .element("UploadId");
    let put = async |number: u16, body: Bytes| {
        let path = format!("/bucket/key?partNumber={number}&uploadId={upload}");
        rig.client
            .call("PUT", &path, &[], body)
            .await
            .header("etag")
            .to_owned()
    };
    put(3, bytes(1, 100)).await;
    let etag = put(3, bytes(2, 100)).await;
    put(4, bytes(3, 100)).await;
    assert_eq!(rig.bodies(), 2);
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>3</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let path = format!("/bucket/key?uploadId={upload}");
    assert_eq!(
        rig.client
            .call("POST", &path, &[], list.clone())
            .await
            .status,
        200
    );
    assert_eq!(
        rig.client
            .call("POST", &path, &[], list)
            .await
            .element("Code"),
        "NoSuchUpload"
    );
    assert_eq!(rig.bodies(), 1);
    let upload = rig
        .client
        .call("POST", "/bucket/other?uploads", &[], "")
        .await
        .element("UploadId");
    let path = format!("/bucket/other?uploadId={upload}");
    rig.client
        .call("PUT", &format!("{path}&partNumber=1"), &[], "x")
        .await;
    assert_eq!(rig.client.call("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(rig.bodies(), 1);
}

/// Resident memory at its highest, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_body() {
    const PIECES: usize = 4 << 10;
    const ALLOWED: u64 = 16 << 20;
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let client = process.client();
    client.call("PUT", "/bucket", &[], "").await;
    client
        .call("PUT", "/bucket/warm", &[], bytes(1, 1 << 20))
        .await;
    let before = peak_memory(process.id());
    let piece = bytes(2, 64 << 10);
    let length = (PIECES * piece.len()).to_string();
    let pieces = stream::iter((0..PIECES).map(move |_| Ok(Frame::data(piece.clone()))));
    let headers = [("content-length", length.as_str())];
    let body = BodyExt::boxed(StreamBody::new(pieces));
    let put = client
        .start("PUT", "/bucket/large", &headers, Payload::Unsigned, body)
        .await
        .unwrap();
    assert_eq!(put.status(), 200);
    let empty = Full::new(Bytes::new()).boxed();
    let mut reading = client
        .start("GET", "/bucket/large", &[], Payload::Unsigned, empty)
        .await
        .unwrap()
        .into_body();
    let mut read = 0;
    while let Some(frame) = reading.frame().await {
        read += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    assert_eq!(read.to_string(), length);
    let grown = peak_memory(process.id()) - before;
    assert!(
        grown < ALLOWED,
        "256 MiB up and down took {grown} bytes of memory"
    );
}
