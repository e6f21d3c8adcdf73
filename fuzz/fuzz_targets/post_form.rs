//! How a browser's form is cut into pieces changes neither its fields, nor its file, nor why it is refused; and it holds no more than it may.
#![no_main]

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use libfuzzer_sys::fuzz_target;
use sealgate::body::ClientBody;
use sealgate::form::{self, Fields, Form, FormError, MAXIMUM_FIELDS_LENGTH};
use tokio::runtime::{Builder, Runtime};

/// Every byte is there at once.
const IDLE: Duration = Duration::from_secs(60);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
});

/// Fields, bytes from the file on, and the file or why it has no end.
type Outcome = Result<(Fields, u64, Result<Bytes, String>), FormError>;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, body) = input;
    let cut = RUNTIME.block_on(streamed(body, usize::from(piece)));
    let whole = RUNTIME.block_on(collected(body));
    assert_eq!(cut, whole);
    if let Ok((fields, remaining, file)) = whole {
        let length: usize = fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        // The key with the name of the file filled in may be as long as all of them.
        assert!(length as u64 <= 2 * MAXIMUM_FIELDS_LENGTH);
        assert!(body.len() as u64 - remaining <= MAXIMUM_FIELDS_LENGTH);
        assert!(file.is_err() || file.is_ok_and(|file| file.len() as u64 <= remaining));
    }
});

async fn read(body: &[u8], piece: usize) -> Result<Form, FormError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("multipart/form-data; boundary=b"),
    );
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    let pieces: Vec<_> = body
        .chunks(piece.max(1))
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let body: ClientBody = StreamBody::new(stream::iter(pieces))
        .map_err(|never| match never {})
        .boxed();
    form::read(&headers, body, IDLE).await
}

/// The file as it streams.
async fn streamed(body: &[u8], piece: usize) -> Outcome {
    let form = read(body, piece).await?;
    let file = form.file.collect().await;
    let file = file
        .map(|file| file.to_bytes())
        .map_err(|error| error.to_string());
    Ok((form.fields, form.remaining, file))
}

/// The file as a small one is collected.
async fn collected(body: &[u8]) -> Outcome {
    let form = read(body, body.len()).await?;
    let (fields, remaining) = (form.fields.clone(), form.remaining);
    let file = form.collect().await.map(|(_, file)| file);
    Ok((fields, remaining, file.map_err(|error| error.to_string())))
}
