//! What is asked, request by request.

use std::fmt::Write;

use anyhow::{Context, ensure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    Arguments, Work,
    connection::Connection,
    content::{Body, Payload, content},
    signing::Signer,
};

/// Requests that were signed before.
pub(crate) struct Plan {
    signer: Signer,
    work: Work,
    bucket: String,
    prefix: String,
    /// Signed, with the bytes that an answer has to be, if they are known.
    heads: Vec<(Vec<u8>, std::ops::Range<usize>)>,
    /// Of an upload, or of a part.
    body: Body,
    parts: usize,
    /// Empty if answers are not compared.
    expected: Vec<u8>,
}

/// How many ranges are used in turn.
const RANGES: usize = 64;

impl Plan {
    /// Signs what can be signed beforehand.
    pub(crate) fn new(arguments: &Arguments, signer: Signer) -> anyhow::Result<Self> {
        let (work, bucket, prefix) = (
            arguments.work,
            arguments.bucket.clone(),
            arguments.prefix.clone(),
        );
        let length = match work {
            Work::Put => arguments.size,
            Work::Multipart => arguments.part,
            _ => 0,
        };
        let payload = if length == 0 {
            Payload::Unsigned
        } else {
            arguments.payload
        };
        let body = Body::new(content(length), payload);
        let is_read = matches!(work, Work::Get | Work::Range);
        let mut plan = Self {
            expected: if arguments.verify && is_read {
                content(arguments.size)
            } else {
                Vec::new()
            },
            parts: arguments.size.div_ceil(arguments.part.max(1)),
            heads: Vec::new(),
            signer,
            work,
            bucket,
            prefix,
            body,
        };
        let all = 0..arguments.size;
        plan.heads = match work {
            Work::Bucket => {
                let path = format!("/{}", plan.bucket);
                vec![(plan.head("PUT", &path, "", &[])?, all)]
            }
            Work::List => {
                let path = format!("/{}", plan.bucket);
                let query = format!(
                    "list-type=2&max-keys=1000&prefix={}",
                    plan.prefix.replace('/', "%2F")
                );
                vec![(plan.head("GET", &path, &query, &[])?, all)]
            }
            Work::Put => plan.for_each_key(arguments.keys, "PUT", all)?,
            Work::Get => plan.for_each_key(arguments.keys, "GET", all)?,
            Work::Head => plan.for_each_key(arguments.keys, "HEAD", all)?,
            Work::Range => {
                let last = arguments
                    .size
                    .checked_sub(arguments.part)
                    .context("the object is shorter than the range")?;
                (0..RANGES)
                    .map(|number| {
                        // Spread over the object, and not at the border of anything.
                        let first = (number * 7_919_123) % (last + 1);
                        let range = first..first + arguments.part;
                        let value = format!("bytes={}-{}", range.start, range.end - 1);
                        let path = plan.path(0);
                        Ok((plan.head("GET", &path, "", &[("range", value)])?, range))
                    })
                    .collect::<anyhow::Result<_>>()?
            }
            Work::Multipart => Vec::new(),
        };
        Ok(plan)
    }

    fn path(&self, key: usize) -> String {
        format!("/{}/{}{key:04}", self.bucket, self.prefix)
    }

    fn for_each_key(
        &self,
        keys: usize,
        method: &str,
        bytes: std::ops::Range<usize>,
    ) -> anyhow::Result<Vec<(Vec<u8>, std::ops::Range<usize>)>> {
        (0..keys)
            .map(|key| Ok((self.head(method, &self.path(key), "", &[])?, bytes.clone())))
            .collect()
    }

    /// A signed head, with the body's headers if there is one.
    fn head(
        &self,
        method: &str,
        path: &str,
        query: &str,
        more: &[(&'static str, String)],
    ) -> anyhow::Result<Vec<u8>> {
        let mut headers = more.to_vec();
        let mut hash = "UNSIGNED-PAYLOAD";
        if method == "PUT" {
            headers.push(("content-length", self.body.bytes.len().to_string()));
            headers.extend(self.body.headers.iter().cloned());
            hash = &self.body.hash;
        }
        self.signer.head(method, path, query, &headers, hash)
    }

    /// Does it once. Returns the bytes of content that were moved.
    pub(crate) fn run(&self, number: usize, connection: &mut Connection) -> anyhow::Result<u64> {
        if self.work == Work::Multipart {
            return self.upload(number, connection);
        }
        let (head, range) = self
            .heads
            .get(number % self.heads.len())
            .context("no request")?;
        let body = if matches!(self.work, Work::Put) {
            self.body.bytes.as_slice()
        } else {
            &[]
        };
        let compare = !self.expected.is_empty();
        let answer = connection.ask(head, body, compare)?;
        if compare {
            let expected = self.expected.get(range.clone()).context("no such range")?;
            ensure!(answer.body == expected, "the answer is not what was stored");
        }
        Ok(answer.length
            + if body.is_empty() {
                0
            } else {
                self.body.length as u64
            })
    }

    fn upload(&self, number: usize, connection: &mut Connection) -> anyhow::Result<u64> {
        let path = self.path(number);
        let length = ("content-length", "0".to_owned());
        let head = self
            .signer
            .head("POST", &path, "uploads=", &[length], "UNSIGNED-PAYLOAD")?;
        let answer = connection.ask(&head, &[], true)?;
        let text = String::from_utf8(answer.body)?;
        let id = text
            .split_once("<UploadId>")
            .and_then(|(_, rest)| rest.split_once("</UploadId>"))
            .map(|(id, _)| encoded(id))
            .context("no upload id")?;
        let mut document = "<CompleteMultipartUpload>".to_owned();
        for part in 1..=self.parts {
            let query = format!("partNumber={part}&uploadId={id}");
            let head = self.head("PUT", &path, &query, &[])?;
            let answer = connection.ask(&head, &self.body.bytes, false)?;
            let tag = answer.header("etag").context("no entity tag")?;
            write!(
                document,
                "<Part><PartNumber>{part}</PartNumber><ETag>{tag}</ETag></Part>"
            )?;
        }
        document.push_str("</CompleteMultipartUpload>");
        let length = ("content-length", document.len().to_string());
        let query = format!("uploadId={id}");
        let head = self
            .signer
            .head("POST", &path, &query, &[length], "UNSIGNED-PAYLOAD")?;
        let answer = connection.ask(&head, document.as_bytes(), true)?;
        ensure!(
            String::from_utf8_lossy(&answer.body).contains("<CompleteMultipartUploadResult"),
            "the upload was not completed"
        );
        Ok((self.parts * self.body.length) as u64)
    }
}

/// What a query leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// For a query.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
