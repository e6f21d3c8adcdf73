//! What has no end where it should have one: chunk headers, trailers, and the heads of requests.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sealgate_tests::raw_http::{Payload, RawAnswer, RawRequest};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    bounds::Bounds,
    load::{IMPATIENCE, Load, press},
    scene::{BUCKET, Scene, Storage, on_scene},
    sizes::ended,
};

/// Clients of each kind.
const CLIENTS: usize = 6;

/// What a client sends at most before it has to be refused: far less than the body that it announced.
const PATIENCE: usize = 16 << 20;

/// The length of the object that is announced.
const ANNOUNCED: u64 = 1 << 30;

/// A body without end: what it is called, whether HTTP's own chunks are around it, how it begins, and what then comes again and again.
struct Endless {
    name: &'static str,
    is_chunked: bool,
    beginning: &'static str,
    repeated: &'static str,
}

const BODIES: [Endless; 8] = [
    Endless {
        name: "digits of a size in HTTP",
        is_chunked: true,
        beginning: "",
        repeated: "0",
    },
    Endless {
        name: "an extension in HTTP",
        is_chunked: true,
        beginning: "1;",
        repeated: "a",
    },
    Endless {
        name: "extensions in HTTP",
        is_chunked: true,
        beginning: "",
        repeated: "1;a=b\r\n0\r\n",
    },
    Endless {
        name: "a trailer in HTTP",
        is_chunked: true,
        beginning: "0\r\nx-a: ",
        repeated: "a",
    },
    Endless {
        name: "trailers in HTTP",
        is_chunked: true,
        beginning: "0\r\n",
        repeated: "x-a: a\r\n",
    },
    Endless {
        name: "digits of a size in S3's chunks",
        is_chunked: false,
        beginning: "",
        repeated: "0",
    },
    Endless {
        name: "a header of S3's chunks",
        is_chunked: false,
        beginning: "10000;chunk-signature=",
        repeated: "a",
    },
    Endless {
        name: "tiny chunks of S3",
        is_chunked: false,
        beginning: "",
        repeated: "1\r\na\r\n",
    },
];

impl Endless {
    fn head(&self, scene: &Scene) -> Result<Vec<u8>> {
        let framing = if self.is_chunked {
            ("transfer-encoding", "chunked".to_owned())
        } else {
            ("content-length", (2 * ANNOUNCED).to_string())
        };
        let request = RawRequest::new("PUT", &format!("/{BUCKET}/endless"))
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &ANNOUNCED.to_string())
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .unsigned_header(framing.0, &framing.1);
        let payload = Payload::Named("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let request = request.sign(&scene.crowd, payload, std::time::SystemTime::now())?;
        Ok(request.bytes(&scene.crowd))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunk_headers_and_trailers_without_end() -> Result<()> {
    let bounds = Bounds {
        requests: 64,
        crowd: 56,
        ..Bounds::default()
    };
    on_scene(Storage::Devstore, bounds, async |scene| {
        press(scene, "endless chunk headers", &[], async |load| {
            let mut clients = JoinSet::new();
            for body in &BODIES {
                let head = body.head(scene)?;
                for _ in 0..CLIENTS {
                    let address = scene.crowd.authority().to_owned();
                    let repeated = body.repeated.repeat((16 << 10) / body.repeated.len());
                    let beginning = [head.as_slice(), body.beginning.as_bytes()].concat();
                    clients.spawn(without_end(
                        body.name,
                        address,
                        (beginning, repeated.into_bytes()),
                        Arc::clone(load),
                    ));
                }
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// Sends what has no end, anew whenever it was refused; which has to happen soon.
async fn without_end(
    name: &'static str,
    address: String,
    (beginning, repeated): (Vec<u8>, Vec<u8>),
    load: Arc<Load>,
) -> Result<()> {
    while !load.is_over() {
        let mut stream = TcpStream::connect(&address).await?;
        let (mut reader, mut writer) = stream.split();
        let mut received = Vec::new();
        let mut sent = 0;
        let sending = async {
            let mut is_open = writer.write_all(&beginning).await.is_ok();
            while is_open && sent < PATIENCE {
                is_open = writer.write_all(&repeated).await.is_ok();
                sent += repeated.len();
            }
            if is_open {
                return;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            read = reader.read_to_end(&mut received) => {
                let answer = RawAnswer::parse(&received, read.is_err());
                match answer {
                    Ok(answer) => ensure!(load.answered(&answer)?, "{name}: {}", answer.status),
                    // What breaks the framing of HTTP itself leaves nothing that an answer could be in step with.
                    Err(_) => load.count("closed"),
                }
                tokio::time::sleep(IMPATIENCE).await;
            }
            () = sending => {
                anyhow::bail!("{name}: nobody minds {PATIENCE} bytes");
            }
        }
    }
    Ok(())
}

/// What makes a head of 1 MB.
fn heads(host: &str) -> [(&'static str, String); 4] {
    let megabyte = 1 << 20;
    let line = format!("GET /{BUCKET}/key HTTP/1.1\r\nhost: {host}\r\n");
    [
        (
            "one header",
            format!("{line}x-long: {}\r\n\r\n", "a".repeat(megabyte)),
        ),
        (
            "many headers",
            format!("{line}{}\r\n", "x-many: a\r\n".repeat(megabyte / 11)),
        ),
        (
            "the target",
            format!(
                "GET /{BUCKET}/{} HTTP/1.1\r\nhost: {host}\r\n\r\n",
                "a".repeat(megabyte)
            ),
        ),
        (
            "a signature",
            format!(
                "{line}authorization: AWS4-HMAC-SHA256 {}\r\n\r\n",
                "a".repeat(megabyte)
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_a_megabyte() -> Result<()> {
    const REFUSAL: &str = "400 RequestHeaderSectionTooLarge";
    on_scene(Storage::Devstore, Bounds::default(), async |scene| {
        press(scene, "heads of 1 MB", &[REFUSAL], async |load| {
            let mut clients = JoinSet::new();
            for (name, head) in heads(scene.crowd.authority()) {
                let head: Arc<[u8]> = head.into_bytes().into();
                for _ in 0..scene.bounds.crowd {
                    let (head, load) = (Arc::clone(&head), Arc::clone(load));
                    let address = scene.crowd.authority().to_owned();
                    clients.spawn(async move {
                        while !load.is_over() {
                            let answer = refused(&address, &head).await?;
                            ensure!(load.answered(&answer)?, "{name}: {}", answer.status);
                            tokio::time::sleep(IMPATIENCE).await;
                        }
                        Ok(())
                    });
                }
            }
            load.is_pressing();
            ended(&mut clients).await
        })
        .await
    })
    .await
}

/// The answer to a head that is sent whole, whatever comes meanwhile.
async fn refused(address: &str, head: &[u8]) -> Result<RawAnswer> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut reader, mut writer) = stream.split();
    let mut received = Vec::new();
    let (read, _) = tokio::join!(reader.read_to_end(&mut received), writer.write_all(head));
    RawAnswer::parse(&received, read.is_err())
}
