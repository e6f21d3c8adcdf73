//! Receiving a body: bounded in memory, hashed as it passes, verified before it counts.

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders, s3_error};
use tokio::task::JoinHandle;

use crate::bodies::{BodyWriter, StagedFile};
use crate::checksum::{Algorithm, Checksums, Digester, Digests};
use crate::limits::{MAX_DRAIN, MAX_SINGLE_UPLOAD, WRITE_BATCH};
use crate::store::Store;

/// What the client says about a body, which the body must live up to.
#[derive(Debug)]
pub(crate) struct Expectation {
    length: u64,
    md5: Option<[u8; 16]>,
    checksum: Option<Expected>,
}

#[derive(Debug)]
enum Expected {
    Header(Algorithm, String),
    Trailer(Algorithm),
}

/// A body that arrived whole and lived up to its [`Expectation`].
pub(crate) struct Received {
    pub(crate) staged: StagedFile,
    pub(crate) digests: Digests,
}

impl Expectation {
    /// From the headers of a PutObject or UploadPart and the fields that s3s took from them.
    pub(crate) fn new(
        headers: &HeaderMap,
        content_length: Option<i64>,
        content_md5: Option<&str>,
        checksums: &Checksums,
    ) -> S3Result<Self> {
        let length = content_length.and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or_else(|| {
            s3_error!(
                MissingContentLength,
                "You must provide the Content-Length HTTP header."
            )
        })?;
        if length > MAX_SINGLE_UPLOAD {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size of {MAX_SINGLE_UPLOAD} bytes"
            ));
        }
        let md5 = content_md5.map(|text| {
            let bytes = BASE64
                .decode(text.as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or_else(|| {
                s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")
            })
        });
        Ok(Self {
            length,
            md5: md5.transpose()?,
            checksum: expected_checksum(headers, checksums)?,
        })
    }

    /// The algorithm that the client uses, if any.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        match &self.checksum {
            Some(Expected::Header(algorithm, _) | Expected::Trailer(algorithm)) => Some(*algorithm),
            None => None,
        }
    }

    fn verify(
        &self,
        length: u64,
        digests: &Digests,
        trailers: Option<&TrailingHeaders>,
    ) -> S3Result<()> {
        if length != self.length {
            return Err(s3_error!(
                IncompleteBody,
                "The body has {length} bytes, not the {} that the headers announce",
                self.length
            ));
        }
        if self.md5.is_some_and(|expected| expected != digests.md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let (algorithm, expected) = match &self.checksum {
            None => return Ok(()),
            Some(Expected::Header(algorithm, value)) => (*algorithm, value.clone()),
            Some(Expected::Trailer(algorithm)) => (*algorithm, trailer(*algorithm, trailers)?),
        };
        if digests.checksums.get(algorithm) != Some(expected.as_str()) {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ));
        }
        Ok(())
    }
}

/// The one checksum that the client sends, in a header or announced as a trailer.
fn expected_checksum(headers: &HeaderMap, checksums: &Checksums) -> S3Result<Option<Expected>> {
    const NOT_VALUES: [&str; 3] = [
        "x-amz-checksum-algorithm",
        "x-amz-checksum-mode",
        "x-amz-checksum-type",
    ];
    for name in headers.keys().map(header::HeaderName::as_str) {
        let is_value = name.starts_with("x-amz-checksum-") && !NOT_VALUES.contains(&name);
        if is_value && Algorithm::from_header(name).is_none() {
            return Err(s3_error!(
                NotImplemented,
                "This store does not know the checksum of the header {name}"
            ));
        }
    }
    let mut expected = Vec::new();
    for (algorithm, value) in checksums.iter() {
        if !algorithm.accepts(value) {
            return Err(s3_error!(
                InvalidRequest,
                "Value for {} header is invalid.",
                algorithm.header()
            ));
        }
        expected.push(Expected::Header(algorithm, value.to_owned()));
    }
    let announced = headers
        .get_all("x-amz-trailer")
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    for name in announced.flat_map(|value| value.split(',')).map(str::trim) {
        let algorithm = Algorithm::from_header(name);
        let algorithm = algorithm.ok_or_else(|| {
            s3_error!(
                InvalidRequest,
                "The value specified in the x-amz-trailer header is not supported"
            )
        })?;
        expected.push(Expected::Trailer(algorithm));
    }
    if expected.len() > 1 {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        ));
    }
    if expected.is_empty() && headers.contains_key("x-amz-sdk-checksum-algorithm") {
        return Err(s3_error!(
            InvalidRequest,
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
        ));
    }
    Ok(expected.pop())
}

/// The value of an announced trailer.
fn trailer(algorithm: Algorithm, trailers: Option<&TrailingHeaders>) -> S3Result<String> {
    let value = trailers
        .and_then(|trailers| {
            trailers.read(|map| {
                map.get(algorithm.header())?
                    .to_str()
                    .map(str::to_owned)
                    .ok()
            })
        })
        .flatten();
    value.ok_or_else(|| {
        let code = S3ErrorCode::Custom("MalformedTrailerError".into());
        let message = "The request contained trailing data that was not well-formed or did not conform to our published schema.";
        let mut error = S3Error::with_message(code, message);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    })
}

/// Receives a body and verifies it. Dropping the future, or an error, leaves nothing on the disk.
///
/// `algorithms` are computed beside MD5 and the one that the client uses.
pub(crate) async fn receive(
    store: &Store,
    body: Option<StreamingBlob>,
    expectation: &Expectation,
    algorithms: impl IntoIterator<Item = Algorithm>,
    trailers: Option<&TrailingHeaders>,
) -> S3Result<Received> {
    let algorithms = algorithms.into_iter().chain(expectation.algorithm());
    let mut writer = store.bodies().create(Digester::new(algorithms));
    if let Some(body) = body {
        writer = write(body, writer, expectation.length).await?;
    }
    let (staged, digests) = writer.finish();
    expectation.verify(staged.length(), &digests, trailers)?;
    Ok(Received { staged, digests })
}

/// Moves a body to the disk. While one batch is being written the next one is gathered.
async fn write(mut body: StreamingBlob, writer: BodyWriter, limit: u64) -> S3Result<BodyWriter> {
    let mut writing: JoinHandle<std::io::Result<BodyWriter>> =
        tokio::task::spawn_blocking(move || Ok(writer));
    let mut length = 0_u64;
    loop {
        let batch = gather(&mut body).await;
        // Before any error is answered, so that the file is gone by then.
        let mut writer = writing
            .await
            .map_err(S3Error::internal_error)?
            .map_err(S3Error::internal_error)?;
        let batch = batch?;
        if batch.is_empty() {
            return Ok(writer);
        }
        length += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if length > limit {
            return Err(s3_error!(
                IncompleteBody,
                "The body is longer than the {limit} bytes that the headers announce"
            ));
        }
        writing = tokio::task::spawn_blocking(move || {
            batch.iter().try_for_each(|bytes| writer.write(bytes))?;
            Ok(writer)
        });
    }
}

/// The next pieces of a body, at least [`WRITE_BATCH`] bytes together unless it ends.
async fn gather(body: &mut StreamingBlob) -> S3Result<Vec<Bytes>> {
    let mut batch = Vec::new();
    let mut length = 0;
    while length < WRITE_BATCH {
        let Some(bytes) = body.next().await.transpose().map_err(body_error)? else {
            break;
        };
        if !bytes.is_empty() {
            length += bytes.len();
            batch.push(bytes);
        }
    }
    Ok(batch)
}

/// The S3 error for a body that could not be read or did not verify.
fn body_error(error: StdError) -> S3Error {
    // s3s keeps the types of these errors to itself, so their texts are all there is to go by.
    let text = error.to_string();
    let (code, message) = if text.contains("SignatureMismatch") {
        (
            S3ErrorCode::SignatureDoesNotMatch,
            "The signature of a chunk does not match its bytes.",
        )
    } else if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        (
            code,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany")
    {
        (
            S3ErrorCode::InvalidRequest,
            "The aws-chunked framing of the body is malformed.",
        )
    } else {
        (
            S3ErrorCode::IncompleteBody,
            "The request body terminated unexpectedly",
        )
    };
    let mut answer = S3Error::with_message(code, message);
    answer.set_status_code(if text.contains("SignatureMismatch") {
        http::StatusCode::FORBIDDEN
    } else {
        http::StatusCode::BAD_REQUEST
    });
    answer.set_source(error);
    answer
}

/// Reads and drops the beginning of a body that was refused unread, so that a client which sends before
/// it listens gets to see why. A client that waits for `100 Continue` is not asked to send.
pub(crate) async fn drain(body: Option<StreamingBlob>, headers: &HeaderMap) {
    let Some(mut body) = body.filter(|_| !headers.contains_key(header::EXPECT)) else {
        return;
    };
    let mut length = 0;
    while length < MAX_DRAIN {
        match body.next().await {
            Some(Ok(bytes)) => length += bytes.len() as u64,
            Some(Err(_)) | None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    fn expect(
        list: &[(&'static str, &'static str)],
        checksums: &Checksums,
    ) -> Result<Option<Algorithm>, S3ErrorCode> {
        let found = Expectation::new(&headers(list), Some(1), None, checksums);
        found
            .map(|found| found.algorithm())
            .map_err(|error| error.code().clone())
    }

    #[test]
    fn one_checksum_in_a_header_or_a_trailer() {
        let none = Checksums::default();
        let crc = Checksums::single(Algorithm::Crc32, "AAAAAA==".to_owned());
        let trailer = ("x-amz-trailer", "x-amz-checksum-sha256");
        assert_eq!(expect(&[], &none), Ok(None));
        assert_eq!(expect(&[], &crc), Ok(Some(Algorithm::Crc32)));
        assert_eq!(expect(&[trailer], &none), Ok(Some(Algorithm::Sha256)));
        assert_eq!(expect(&[trailer], &crc), Err(S3ErrorCode::InvalidRequest));
        assert_eq!(
            expect(&[("x-amz-trailer", "x-evil")], &none),
            Err(S3ErrorCode::InvalidRequest)
        );
        assert_eq!(
            expect(&[("x-amz-checksum-sha512", "x")], &none),
            Err(S3ErrorCode::NotImplemented)
        );
        assert_eq!(
            expect(&[("x-amz-sdk-checksum-algorithm", "CRC32")], &none),
            Err(S3ErrorCode::InvalidRequest)
        );
        let short = Checksums::single(Algorithm::Crc32, "AAAA".to_owned());
        assert_eq!(expect(&[], &short), Err(S3ErrorCode::InvalidRequest));
    }

    #[test]
    fn lengths_and_digests_are_demanded_and_bounded() {
        let code = |length, md5| {
            Expectation::new(&HeaderMap::new(), length, md5, &Checksums::default())
                .map(|_| ())
                .map_err(|error| error.code().clone())
        };
        assert_eq!(code(None, None), Err(S3ErrorCode::MissingContentLength));
        assert_eq!(
            code(Some((5 << 30) + 1), None),
            Err(S3ErrorCode::EntityTooLarge)
        );
        assert_eq!(code(Some(1), Some("AAAA")), Err(S3ErrorCode::InvalidDigest));
        assert_eq!(code(Some(1), Some("AAAAAAAAAAAAAAAAAAAAAA==")), Ok(()));
    }

    async fn upload(
        pieces: Vec<io::Result<Bytes>>,
        length: i64,
    ) -> (Result<u64, S3ErrorCode>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let expectation =
            Expectation::new(&HeaderMap::new(), Some(length), None, &Checksums::default()).unwrap();
        let body = StreamingBlob::wrap(stream::iter(pieces));
        let received = receive(&store, Some(body), &expectation, [], None).await;
        let outcome = received
            .map(|received| received.staged.length())
            .map_err(|error| error.code().clone());
        (
            outcome,
            std::fs::read_dir(directory.path().join("incoming"))
                .unwrap()
                .count(),
        )
    }

    #[tokio::test]
    async fn bodies_of_the_wrong_length_leave_nothing() {
        let piece = || Ok(Bytes::from(vec![7; WRITE_BATCH]));
        let size = i64::try_from(WRITE_BATCH).unwrap();
        assert_eq!(
            upload(vec![piece(), piece(), piece()], 3 * size).await.0,
            Ok(3 * WRITE_BATCH as u64)
        );
        assert_eq!(
            upload(vec![piece()], 2 * size).await,
            (Err(S3ErrorCode::IncompleteBody), 0)
        );
        assert_eq!(
            upload(vec![piece(), piece()], size).await,
            (Err(S3ErrorCode::IncompleteBody), 0)
        );
        let broken = vec![piece(), Err(io::Error::other("reset"))];
        assert_eq!(
            upload(broken, 2 * size).await,
            (Err(S3ErrorCode::IncompleteBody), 0)
        );
    }
}
