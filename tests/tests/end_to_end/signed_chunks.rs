//! Bodies in chunks that are signed one by one, over a real socket: `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, and the same with a trailer.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sigv4::sign::v4;
use sealgate_tests::{
    content::pattern,
    endpoint::{Endpoint, REGION},
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{get, put, with_rig},
};
use sha2::{Digest, Sha256};

const BUCKET: &str = "signed-chunks";
const CHUNK: usize = 64 * 1024;
const LIMIT: Duration = Duration::from_mins(2);

/// What is wrong with an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// One byte of a chunk differs from what was signed.
    Content(usize),
    /// A chunk has the signature of the one before it.
    Signature(usize),
    /// Two chunks are exchanged, with their signatures.
    Order(usize),
    /// The last, empty chunk is not signed right.
    LastSignature,
    /// The body ends before its last chunk.
    Cut,
    /// The trailer's value differs from what was signed.
    Trailer,
    /// The trailer is signed right, and is not the checksum of the body.
    Checksum,
}

struct Upload<'a> {
    gateway: &'a Endpoint,
    body: &'a [u8],
    has_trailer: bool,
    fault: Fault,
}

impl Upload<'_> {
    async fn send(&self, key: &str) -> Result<RawAnswer> {
        let time = SystemTime::now();
        let identity = Credentials::new(
            &self.gateway.access_key_id,
            &self.gateway.secret_access_key,
            None,
            None,
            "test",
        )
        .into();
        let signer = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("s3")
            .time(time)
            .settings(())
            .build()?;
        let checksum = match self.fault {
            Fault::Checksum => data_encoding::BASE64.encode(&Sha256::digest(b"something else")),
            _ => data_encoding::BASE64.encode(&Sha256::digest(self.body)),
        };
        let trailer = format!("x-amz-checksum-sha256:{checksum}");
        // The framing's length does not depend on the signatures, so it is known before they are.
        let zeros = "0".repeat(64);
        let length = self.frame(&trailer, |_, _| Ok(zeros.clone()))?.len();
        let mode = if self.has_trailer {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
        } else {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
        };
        let mut request = RawRequest::new("PUT", &format!("/{BUCKET}/{key}"))
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &self.body.len().to_string())
            .header("content-length", &length.to_string());
        if self.has_trailer {
            request = request.header("x-amz-trailer", "x-amz-checksum-sha256");
        }
        let request = request.sign(self.gateway, Payload::Named(mode), time)?;
        let seed = request
            .signed("authorization")
            .and_then(|value| value.rsplit_once("Signature="))
            .map(|(_, signature)| signature.to_owned())
            .context("no seed signature")?;
        let mut running = seed;
        let bytes = self.frame(&trailer, |kind, bytes| {
            let output = match kind {
                Signed::Chunk => v4::sign_chunk(&bytes.to_vec().into(), &running, &signer)?,
                Signed::Trailer => {
                    let mut headers = aws_smithy_runtime_api::http::Headers::new();
                    headers.insert("x-amz-checksum-sha256", checksum.clone());
                    v4::sign_trailer(&headers, &running, &signer)?
                }
            };
            let ((), signature) = output.into_parts();
            running.clone_from(&signature);
            Ok(signature)
        })?;
        let bytes = match self.fault {
            Fault::Cut => bytes.get(..bytes.len() - 100).unwrap_or_default().to_vec(),
            _ => bytes,
        };
        let request = request.body(&bytes);
        // A client that is cut off says so by closing its side.
        if self.fault == Fault::Cut {
            return request.send_and_close(self.gateway).await;
        }
        request.send(self.gateway).await
    }

    /// The framed body, with a signature for each chunk and for the trailer.
    fn frame(
        &self,
        trailer: &str,
        mut sign: impl FnMut(Signed, &[u8]) -> Result<String>,
    ) -> Result<Vec<u8>> {
        let mut chunks = Vec::new();
        let mut last_signature = String::new();
        for (index, chunk) in self.body.chunks(CHUNK).enumerate() {
            let signature = sign(Signed::Chunk, chunk)?;
            let mut sent = chunk.to_vec();
            if self.fault == Fault::Content(index)
                && let Some(first) = sent.first_mut()
            {
                *first ^= 1;
            }
            let shown = if self.fault == Fault::Signature(index) {
                last_signature.clone()
            } else {
                signature.clone()
            };
            last_signature = signature;
            let mut framed = format!("{:x};chunk-signature={shown}\r\n", sent.len()).into_bytes();
            framed.extend(sent);
            framed.extend(b"\r\n");
            chunks.push(framed);
        }
        if let Fault::Order(index) = self.fault {
            chunks.swap(index, index + 1);
        }
        let signature = match self.fault {
            Fault::LastSignature => "f".repeat(64),
            _ => sign(Signed::Chunk, b"")?,
        };
        let mut bytes = chunks.concat();
        bytes.extend(format!("0;chunk-signature={signature}\r\n").into_bytes());
        if self.has_trailer {
            let signature = sign(Signed::Trailer, b"")?;
            let shown = match self.fault {
                Fault::Trailer => trailer.replace(':', ":A"),
                _ => trailer.to_owned(),
            };
            // The altered one must not be longer than what was announced.
            let shown = shown.get(..trailer.len()).unwrap_or_default();
            bytes
                .extend(format!("{shown}\r\nx-amz-trailer-signature:{signature}\r\n").into_bytes());
        }
        bytes.extend(b"\r\n");
        Ok(bytes)
    }
}

#[derive(Clone, Copy)]
enum Signed {
    Chunk,
    Trailer,
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_chunks_are_verified_one_by_one() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        for has_trailer in [false, true] {
            // Verified whole before anything is sent, and verified while it streams.
            for size in [5 * CHUNK + 100, 40 * CHUNK + 100] {
                let body = pattern(1, size);
                let upload = |fault| Upload {
                    gateway: &rig.gateway.endpoint,
                    body: &body,
                    has_trailer,
                    fault,
                };
                let name = format!("{has_trailer}-{size}");
                let key = format!("good-{name}");
                let answer = upload(Fault::None).send(&key).await?;
                ensure!(
                    answer.status == 200,
                    "{key}: {} {}",
                    answer.status,
                    answer.text()
                );
                ensure!(
                    get(&through, BUCKET, &key).await? == body,
                    "other bytes at {key}"
                );

                let middle = size / CHUNK / 2;
                let last = size / CHUNK;
                let mut faults = vec![
                    (Fault::Content(middle), 403, "SignatureDoesNotMatch"),
                    (Fault::Content(last), 403, "SignatureDoesNotMatch"),
                    (Fault::Signature(middle), 403, "SignatureDoesNotMatch"),
                    (Fault::Order(middle), 403, "SignatureDoesNotMatch"),
                    (Fault::LastSignature, 403, "SignatureDoesNotMatch"),
                    (Fault::Cut, 400, "IncompleteBody"),
                ];
                if has_trailer {
                    faults.push((Fault::Trailer, 403, "SignatureDoesNotMatch"));
                    faults.push((Fault::Checksum, 400, "BadDigest"));
                }
                for (fault, status, code) in faults {
                    let key = format!("{fault:?}-{name}").replace(['(', ')'], "");
                    put(&through, BUCKET, &key, b"what was there before").await?;
                    let answer = upload(fault).send(&key).await;
                    if fault != Fault::Cut || answer.is_ok() {
                        let answer = answer.with_context(|| key.clone())?;
                        ensure!(
                            answer.status == status && answer.error_code().as_deref() == Some(code),
                            "{key} is answered {} {}",
                            answer.status,
                            answer.text()
                        );
                    }
                    unchanged(&through, &key).await?;
                }
            }
        }
        let listed = bare
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix("good-")
            .send()
            .await?;
        ensure!(listed.contents().len() == 4);
        Ok(())
    })
    .await
}

async fn unchanged(through: &Client, key: &str) -> Result<()> {
    ensure!(
        get(through, BUCKET, key).await? == b"what was there before",
        "an upload that failed has replaced {key}"
    );
    Ok(())
}
