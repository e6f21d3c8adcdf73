//! A storage in memory, in the process of the test: it does of S3 what the gateway asks for, counts what it is asked, and misbehaves on demand.

#![expect(
    clippy::format_push_string,
    reason = "documents in tests are to be read, not to be fast"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;

use crate::{
    body::{Algorithm, Checksum, Hasher, aws_chunked::Decoder},
    operation::ResponseBody,
    upstream::BodyFailure,
};

const TIME: &str = "2026-01-01T00:00:00.000Z";

/// Keys or parts in one page of a listing.
const PAGE: usize = 1_000;

/// A request as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) bucket: String,
    pub(super) query: String,
    /// Bytes of its body, framing included, and of the answer's.
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) headers: HeaderMap,
}

#[derive(Debug, Clone, Default)]
struct Object {
    content: Bytes,
    metadata: HeaderMap,
    tag: String,
}

/// A part: its length and tag, and its content where there is any.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) tag: String,
    pub(super) length: u64,
    pub(super) content: Bytes,
}

#[derive(Debug, Default)]
struct Upload {
    metadata: HeaderMap,
    parts: BTreeMap<u16, Part>,
}

#[derive(Debug, Default)]
struct Held {
    buckets: BTreeSet<String>,
    objects: BTreeMap<(String, String), Object>,
    uploads: BTreeMap<String, Upload>,
    seen: Vec<Seen>,
    tags: u64,
}

/// The storage. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Storage {
    held: Arc<Mutex<Held>>,
    pub(super) behaviour: Arc<Behaviour>,
}

/// What the storage does otherwise than it should.
#[derive(Debug, Default)]
pub(super) struct Behaviour {
    /// Takes checksums without looking at them.
    pub(super) ignores_checksums: AtomicBool,
    /// Changes a byte of every upload of more than 1,000.
    pub(super) damages_uploads: AtomicBool,
    /// Answers DeleteObjects with an error for every key.
    pub(super) keeps_everything: AtomicBool,
    /// The next listing of the bucket `scripted`, piece by piece.
    pub(super) listing: Mutex<Option<mpsc::Receiver<Result<Bytes, BodyFailure>>>>,
}

impl Storage {
    /// Starts to answer on a free port, and returns the endpoint.
    pub(super) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let storage = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let storage = storage.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let storage = storage.clone();
                        async move { Ok::<_, Infallible>(storage.answer(request).await) }
                    });
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        format!("http://{address}")
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// What was asked since the last call.
    pub(super) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.held().seen)
    }

    /// The names of all objects of a bucket.
    pub(super) fn names(&self, bucket: &str) -> Vec<String> {
        let held = self.held();
        let names = held.objects.keys().filter(|(of, _)| of == bucket);
        names.map(|(_, key)| key.clone()).collect()
    }

    /// Puts an empty object there.
    pub(super) fn plant(&self, bucket: &str, key: String) {
        let object = Object {
            tag: "\"empty\"".to_owned(),
            ..Object::default()
        };
        self.held().objects.insert((bucket.to_owned(), key), object);
    }

    /// Puts parts without content into an open upload.
    pub(super) fn plant_parts(&self, upload: &str, parts: impl IntoIterator<Item = (u16, Part)>) {
        let mut held = self.held();
        held.uploads.get_mut(upload).unwrap().parts.extend(parts);
    }

    pub(super) fn open_uploads(&self) -> usize {
        self.held().uploads.len()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let Ok(body) = body.collect().await else {
            return error(StatusCode::BAD_REQUEST, "IncompleteBody");
        };
        let body = body.to_bytes();
        let received = body.len() as u64;
        let response = if bucket == "scripted" && key.is_empty() && parts.method == Method::GET {
            self.scripted()
        } else {
            match self.verified(&parts.headers, body) {
                None => error(StatusCode::BAD_REQUEST, "BadDigest"),
                Some(body) => {
                    let ask = Ask {
                        storage: self,
                        bucket,
                        key,
                        query: &query,
                        headers: &parts.headers,
                        body,
                    };
                    ask.answer(&parts.method)
                }
            }
        };
        let sent = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .filter(|_| parts.method != Method::HEAD)
            .map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        self.held().seen.push(Seen {
            method: parts.method,
            bucket: bucket.to_owned(),
            query,
            received,
            sent,
            headers: parts.headers,
        });
        response
    }

    fn scripted(&self) -> Response<ResponseBody> {
        let pieces = self.behaviour.listing.lock().unwrap().take().unwrap();
        let frames = stream::unfold(pieces, |mut pieces| async move {
            Some((pieces.recv().await?.map(Frame::data), pieces))
        });
        Response::new(StreamBody::new(frames).boxed_unsync())
    }

    /// The body without framing, if its checksum is right.
    fn verified(&self, headers: &HeaderMap, body: Bytes) -> Option<Bytes> {
        let damages = self.behaviour.damages_uploads.load(Ordering::Relaxed);
        let ignores = self.behaviour.ignores_checksums.load(Ordering::Relaxed);
        let payload = headers
            .get("x-amz-content-sha256")
            .map_or("", |value| value.to_str().unwrap());
        let (mut content, promised) = if payload == "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
            let mut decoder = Decoder::unsigned_trailer();
            let (mut rest, mut content) = (body, Vec::new());
            while let Some(piece) = decoder.decode(&mut rest).unwrap() {
                content.extend_from_slice(&piece);
            }
            let trailer = &decoder.finish().unwrap()[0];
            let algorithm = Algorithm::from_header_name(&trailer.name).unwrap();
            let promised = Checksum::from_base64(algorithm, &trailer.value).unwrap();
            (content, Some(promised))
        } else {
            let promised = Algorithm::ALL.into_iter().find_map(|algorithm| {
                let value = headers.get(algorithm.header_name())?;
                Checksum::from_base64(algorithm, value.to_str().unwrap())
            });
            (body.to_vec(), promised)
        };
        if damages && content.len() > 1_000 {
            content[500] ^= 1;
        }
        let right = promised.is_none_or(|promised| {
            let mut hasher = Hasher::new(promised.algorithm());
            hasher.update(&content);
            hasher.finish() == promised
        });
        (right || ignores).then(|| Bytes::from(content))
    }
}

/// A request in the making of its answer.
struct Ask<'a> {
    storage: &'a Storage,
    bucket: &'a str,
    key: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    body: Bytes,
}

impl Ask<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        self.query.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(found) == name).then(|| decode(value))
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    fn place(&self) -> (String, String) {
        (self.bucket.to_owned(), self.key.to_owned())
    }

    fn metadata(&self) -> HeaderMap {
        let kept = self.headers.iter();
        kept.filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    fn answer(&self, method: &Method) -> Response<ResponseBody> {
        let has = |name: &str| self.parameter(name).is_some();
        match method.as_str() {
            "PUT" if self.key.is_empty() => {
                self.storage.held().buckets.insert(self.bucket.to_owned());
                xml("")
            }
            "HEAD" if self.key.is_empty() => {
                if self.storage.held().buckets.contains(self.bucket) {
                    return xml("");
                }
                error(StatusCode::NOT_FOUND, "NoSuchBucket")
            }
            "GET" if self.key.is_empty() => self.list(),
            "POST" if has("delete") => self.delete_objects(),
            "POST" if has("uploads") => self.begin(),
            "POST" => self.complete(),
            "PUT" if has("partNumber") => self.put_part(),
            "PUT" => self.put(),
            "GET" if has("uploadId") => self.list_parts(),
            "GET" | "HEAD" => self.get(),
            "DELETE" => {
                match self.parameter("uploadId") {
                    Some(id) => drop(self.storage.held().uploads.remove(&id)),
                    None => drop(self.storage.held().objects.remove(&self.place())),
                }
                status(StatusCode::NO_CONTENT)
            }
            _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    /// The bytes to store: those that came, or those that are copied.
    fn content(&self) -> Result<Bytes, Box<Response<ResponseBody>>> {
        let Some(source) = self.header("x-amz-copy-source") else {
            return Ok(self.body.clone());
        };
        let (bucket, key) = source.trim_start_matches('/').split_once('/').unwrap();
        let held = self.storage.held();
        let place = (bucket.to_owned(), key.to_owned());
        let Some(object) = held.objects.get(&place) else {
            return Err(Box::new(error(StatusCode::NOT_FOUND, "NoSuchKey")));
        };
        if self
            .header("x-amz-copy-source-if-match")
            .is_some_and(|tag| tag != object.tag)
        {
            return Err(Box::new(error(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
            )));
        }
        Ok(match self.header("x-amz-copy-source-range") {
            None => object.content.clone(),
            Some(range) => {
                let (first, last) = range
                    .strip_prefix("bytes=")
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                object.content.slice(first..=last)
            }
        })
    }

    fn stored(&self, tag: &str) -> Response<ResponseBody> {
        let mut response = match self.header("x-amz-copy-source") {
            None => status(StatusCode::OK),
            Some(_) => xml(&format!(
                "<CopyObjectResult><ETag>{tag}</ETag><LastModified>{TIME}</LastModified></CopyObjectResult>"
            )),
        };
        response
            .headers_mut()
            .insert(header::ETAG, tag.parse().unwrap());
        response
    }

    fn put(&self) -> Response<ResponseBody> {
        let content = match self.content() {
            Ok(content) => content,
            Err(response) => return *response,
        };
        let mut held = self.storage.held();
        if self.header("if-none-match").is_some() && held.objects.contains_key(&self.place()) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        held.tags += 1;
        let tag = format!("\"{:032x}\"", held.tags);
        let object = Object {
            content,
            metadata: self.metadata(),
            tag: tag.clone(),
        };
        held.objects.insert(self.place(), object);
        drop(held);
        self.stored(&tag)
    }

    fn get(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let Some(object) = held.objects.get(&self.place()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        if self.header("if-match").is_some_and(|tag| tag != object.tag) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let total = object.content.len();
        let range = self.header("range").map(|range| {
            let (first, last) = range
                .strip_prefix("bytes=")
                .unwrap()
                .split_once('-')
                .unwrap();
            match (first.parse::<usize>(), last.parse::<usize>()) {
                (Err(_), Ok(suffix)) => total.saturating_sub(suffix)..total,
                (Ok(first), last) => first..last.map_or(total, |last| (last + 1).min(total)),
                (Err(_), Err(_)) => 0..total,
            }
        });
        let content = object.content.slice(range.clone().unwrap_or(0..total));
        let mut response = Response::new(full(content.clone()));
        let headers = response.headers_mut();
        headers.extend(object.metadata.clone());
        headers.insert(header::ETAG, object.tag.parse().unwrap());
        headers.insert(header::CONTENT_LENGTH, content.len().into());
        if let Some(range) = range {
            let value = format!(
                "bytes {}-{}/{total}",
                range.start,
                range.end.saturating_sub(1)
            );
            headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }

    fn list(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let prefix = self.parameter("prefix").unwrap_or_default();
        let after = self.parameter("continuation-token").unwrap_or_default();
        let delimiter = self.parameter("delimiter").filter(|text| !text.is_empty());
        let mut entries: BTreeMap<String, Option<usize>> = BTreeMap::new();
        for ((bucket, key), object) in &held.objects {
            let Some(rest) = key.strip_prefix(&prefix).filter(|_| bucket == self.bucket) else {
                continue;
            };
            let rolled_up = delimiter
                .as_deref()
                .and_then(|delimiter| rest.find(delimiter));
            match rolled_up {
                Some(at) => entries.insert(format!("{prefix}{}", &rest[..=at]), None),
                None => entries.insert(key.clone(), Some(object.content.len())),
            };
        }
        let page: Vec<_> = entries
            .into_iter()
            .filter(|(name, _)| *name > after)
            .take(PAGE + 1)
            .collect();
        let mut text = String::from("<ListBucketResult>");
        for (name, size) in page.iter().take(PAGE) {
            text += &match size {
                None => format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
                Some(size) => format!(
                    "<Contents><Key>{name}</Key><LastModified>{TIME}</LastModified><ETag>\"x\"</ETag><Size>{size}</Size></Contents>"
                ),
            };
        }
        let truncated = page.len() > PAGE;
        if truncated {
            text += &format!(
                "<NextContinuationToken>{}</NextContinuationToken>",
                page[PAGE - 1].0
            );
        }
        xml(&format!(
            "{text}<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"
        ))
    }

    fn delete_objects(&self) -> Response<ResponseBody> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let keys = text
            .split("<Key>")
            .skip(1)
            .map(|rest| rest.split("</Key>").next().unwrap());
        let keeps = self
            .storage
            .behaviour
            .keeps_everything
            .load(Ordering::Relaxed);
        let mut answer = String::from("<DeleteResult>");
        for key in keys {
            if keeps {
                answer += &format!(
                    "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
                );
            } else {
                let place = (self.bucket.to_owned(), key.to_owned());
                self.storage.held().objects.remove(&place);
            }
        }
        xml(&format!("{answer}</DeleteResult>"))
    }

    fn begin(&self) -> Response<ResponseBody> {
        let mut held = self.storage.held();
        held.tags += 1;
        let id = format!("upload-{}", held.tags);
        let upload = Upload {
            metadata: self.metadata(),
            ..Upload::default()
        };
        held.uploads.insert(id.clone(), upload);
        xml(&format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn put_part(&self) -> Response<ResponseBody> {
        let content = match self.content() {
            Ok(content) => content,
            Err(response) => return *response,
        };
        let mut held = self.storage.held();
        held.tags += 1;
        let tag = format!("\"{:032x}\"", held.tags);
        let id = self.parameter("uploadId").unwrap();
        let Some(upload) = held.uploads.get_mut(&id) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let number = self.parameter("partNumber").unwrap().parse().unwrap();
        let part = Part {
            tag: tag.clone(),
            length: content.len() as u64,
            content,
        };
        upload.parts.insert(number, part);
        drop(held);
        self.stored(&tag)
    }

    fn list_parts(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let Some(upload) = held.uploads.get(&self.parameter("uploadId").unwrap()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let marker: u16 = self
            .parameter("part-number-marker")
            .map_or(0, |marker| marker.parse().unwrap());
        let page: Vec<_> = upload.parts.range(marker + 1..).take(PAGE + 1).collect();
        let mut text = String::from("<ListPartsResult>");
        for (number, part) in page.iter().take(PAGE) {
            text += &format!(
                "<Part><PartNumber>{number}</PartNumber><LastModified>{TIME}</LastModified><ETag>{}</ETag><Size>{}</Size></Part>",
                part.tag, part.length
            );
        }
        let truncated = page.len() > PAGE;
        let next = page
            .iter()
            .take(PAGE)
            .next_back()
            .map_or(0, |(number, _)| **number);
        xml(&format!(
            "{text}<NextPartNumberMarker>{next}</NextPartNumberMarker><IsTruncated>{truncated}</IsTruncated></ListPartsResult>"
        ))
    }

    fn complete(&self) -> Response<ResponseBody> {
        let mut held = self.storage.held();
        if self.header("if-none-match").is_some() && held.objects.contains_key(&self.place()) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let Some(upload) = held.uploads.remove(&self.parameter("uploadId").unwrap()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let content: Vec<u8> = upload
            .parts
            .values()
            .flat_map(|part| part.content.to_vec())
            .collect();
        held.tags += 1;
        let tag = format!("\"{:032x}-{}\"", held.tags, upload.parts.len());
        let object = Object {
            content: Bytes::from(content),
            metadata: upload.metadata,
            tag: tag.clone(),
        };
        held.objects.insert(self.place(), object);
        xml(&format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        ))
    }
}

fn full(content: impl Into<Bytes>) -> ResponseBody {
    Full::new(content.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn status(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(full(""));
    *response.status_mut() = status;
    response
}

fn xml(text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(full(text.to_owned()));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, text.len().into());
    response
}

fn error(code: StatusCode, name: &str) -> Response<ResponseBody> {
    let mut response = xml(&format!(
        "<Error><Code>{name}</Code><Message>{name}</Message></Error>"
    ));
    *response.status_mut() = code;
    response
}
