//! A storage in memory, in the process of the test: it does of S3 what the gateway asks for, counts what it is asked, and misbehaves on demand.

#![expect(
    clippy::format_push_string,
    reason = "documents in tests are to be read, not to be fast"
)]

mod ask;
mod meddling;
mod tagging;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;

use self::{ask::Ask, meddling::Hook};
use crate::{
    body::{Algorithm, Checksum, Hasher, aws_chunked::Decoder},
    operation::{ResponseBody, content_md5},
    upstream::BodyFailure,
};

const TIME: &str = "2026-01-01T00:00:00.000Z";

/// The same, as headers have it.
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// Keys or parts in one page of a listing.
const PAGE: usize = 1_000;

/// The origin whose pages may use every bucket.
pub(super) const PAGE_ORIGIN: &str = "https://app.example.org";

/// What a storage that charges says with every answer.
pub(super) const CHARGED: [(&str, &str); 2] = [
    ("x-amz-request-charged", "requester"),
    ("x-amz-server-side-encryption", "aws:kms"),
];

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
pub(super) struct Object {
    content: Bytes,
    metadata: HeaderMap,
    /// As in `x-amz-tagging`.
    tagging: String,
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
    tagging: String,
    storage_class: Option<String>,
    parts: BTreeMap<u16, Part>,
}

#[derive(Debug, Default)]
struct Held {
    buckets: BTreeSet<String>,
    objects: BTreeMap<(String, String), Object>,
    uploads: BTreeMap<String, Upload>,
    /// Whose a bucket is; the others are anybody's.
    owners: BTreeMap<String, String>,
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
    /// Does not tell how many tags an object has.
    pub(super) counts_no_tags: AtomicBool,
    /// Lists the object of this key, and does not have it.
    pub(super) loses: Mutex<Option<&'static str>>,
    /// Answers DeleteObjects with an error for every key.
    pub(super) keeps_everything: AtomicBool,
    /// Says that it has aborted an upload, whether there is one or not.
    pub(super) aborts_anything: AtomicBool,
    /// Answers copies and completions with a status of 200 and an error of this code.
    pub(super) late_error: Mutex<Option<&'static str>>,
    /// Says with every answer who pays, and how it encrypts.
    pub(super) charges: AtomicBool,
    /// Takes this long for a completion.
    pub(super) completes_after: Mutex<Duration>,
    /// Answers nothing that comes while it is on.
    pub(super) withholds: AtomicBool,
    /// Requests that it withholds the answer of, and that nobody has given up.
    pub(super) withheld: Arc<AtomicUsize>,
    /// Sees every request before it is answered.
    pub(super) hook: Hook,
    /// The next listing of the bucket `scripted`, piece by piece.
    pub(super) listing: Mutex<Option<mpsc::Receiver<Result<Bytes, BodyFailure>>>>,
}

/// Counted until it is dropped.
struct Withheld(Arc<AtomicUsize>);

impl Withheld {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
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

    /// Says whose a bucket is: who expects another owner is refused.
    pub(super) fn own(&self, bucket: &str, owner: &str) {
        self.held()
            .owners
            .insert(bucket.to_owned(), owner.to_owned());
    }

    /// The length of an object, as it lies there.
    pub(super) fn length(&self, bucket: &str, key: &str) -> usize {
        let place = (bucket.to_owned(), key.to_owned());
        self.held().objects[&place].content.len()
    }

    fn is_of_another(&self, bucket: &str, headers: &HeaderMap) -> bool {
        let expects = |bucket: &str, header: &str| {
            let held = self.held();
            let (owner, expected) = (held.owners.get(bucket), headers.get(header));
            owner.is_some_and(|owner| expected.is_some_and(|expected| expected != owner.as_str()))
        };
        let source = headers.get("x-amz-copy-source").map(|source| {
            let source = source.to_str().unwrap().trim_start_matches('/');
            source.split('/').next().unwrap().to_owned()
        });
        expects(bucket, "x-amz-expected-bucket-owner")
            || source.is_some_and(|bucket| expects(&bucket, "x-amz-source-expected-bucket-owner"))
    }

    /// Puts an empty object there.
    pub(super) fn plant(&self, bucket: &str, key: String) {
        let object = Object {
            tag: "\"empty\"".to_owned(),
            ..Object::default()
        };
        self.held().objects.insert((bucket.to_owned(), key), object);
    }

    /// Flips a bit in the magic of the commit region of an object, which begins eight bytes before its end.
    pub(super) fn damage_end(&self, bucket: &str, key: &str) {
        let mut held = self.held();
        let place = (bucket.to_owned(), key.to_owned());
        let object = held.objects.get_mut(&place).unwrap();
        let mut content = object.content.to_vec();
        *content.iter_mut().nth_back(7).unwrap() ^= 1;
        object.content = content.into();
    }

    /// Puts an object there a second time, under another key.
    pub(super) fn duplicate(&self, bucket: &str, key: &str, other: String) {
        let mut held = self.held();
        let object = held.objects[&(bucket.to_owned(), key.to_owned())].clone();
        held.objects.insert((bucket.to_owned(), other), object);
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
        if self.behaviour.withholds.load(Ordering::SeqCst) {
            let _withheld = Withheld::new(&self.behaviour.withheld);
            std::future::pending::<()>().await;
        }
        if let Some((code, name)) = self.meddle(&parts.method, bucket, &query) {
            return error(code, name);
        }
        let completes = parts.method == Method::POST && query.contains("uploadId=");
        if completes {
            let delay = *self.behaviour.completes_after.lock().unwrap();
            tokio::time::sleep(delay).await;
        }
        let late_error = *self.behaviour.late_error.lock().unwrap();
        let may_fail_late = completes || parts.headers.contains_key("x-amz-copy-source");
        let mut response = if parts.method == Method::OPTIONS {
            preflight(&parts.headers)
        } else if may_fail_late && let Some(code) = late_error {
            xml(&format!(
                "<Error><Code>{code}</Code><Message>late</Message></Error>"
            ))
        } else if self.is_of_another(bucket, &parts.headers) {
            error(StatusCode::FORBIDDEN, "AccessDenied")
        } else if bucket == "scripted" && key.is_empty() && parts.method == Method::GET {
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
        if self.behaviour.charges.load(Ordering::Relaxed) {
            for (name, value) in CHARGED {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(name, value);
            }
        }
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
            let digest = headers.get("content-md5");
            if digest.is_some_and(|digest| *digest != *content_md5(&body)) {
                return None;
            }
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

/// Pages of one origin may do everything.
fn preflight(headers: &HeaderMap) -> Response<ResponseBody> {
    if headers[header::ORIGIN] != PAGE_ORIGIN {
        return error(StatusCode::FORBIDDEN, "AccessForbidden");
    }
    let mut response = status(StatusCode::OK);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, PAGE_ORIGIN),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, PUT"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "ETag"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
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
