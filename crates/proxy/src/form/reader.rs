//! From a request's body to the fields of a form, and to the file as a body of its own.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::{Body, Frame};

use super::{
    Fields, FormError,
    multipart::{Parser, Step},
};
use crate::{
    body::{ClientBody, limits::MIN_BODY_PROGRESS},
    patience::{Patience, RunOut},
    upstream::BodyFailure,
};

/// The field that ends the form.
const FILE: &str = "file";

/// A form up to its file.
pub struct Form {
    /// The fields before the file, the variables in the key filled in.
    pub fields: Fields,
    /// The file's bytes.
    pub file: FileBody,
    /// Bytes of the request from the first of the file on.
    pub remaining: u64,
}

/// Whether a request says of its body that it is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    const TYPE: &str = "multipart/form-data";
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.get(..TYPE.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE))
}

/// Reads the fields of a form.
///
/// # Errors
///
/// What is no form, fields that are too long or too many, and a client that falls silent for `idle_timeout`.
pub async fn read(
    headers: &HeaderMap,
    body: ClientBody,
    idle_timeout: Duration,
) -> Result<Form, FormError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let length: u64 = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or(FormError::MissingContentLength)?;
    let mut file = FileBody {
        parser: Parser::new(content_type)?,
        body,
        patience: Patience::new(idle_timeout, MIN_BODY_PROGRESS),
    };
    let mut fields = Fields::default();
    loop {
        let head = loop {
            match file.parser.next_part()? {
                Step::Ready(head) => break head,
                Step::End => return Err(FormError::NoFile),
                Step::NeedMore => file.receive().await?,
            }
        };
        if head.name.eq_ignore_ascii_case(FILE) {
            fields.fill_in(head.file_name.as_deref().unwrap_or_default())?;
            let remaining = length.saturating_sub(file.parser.position());
            return Ok(Form {
                fields,
                file,
                remaining,
            });
        }
        let value = loop {
            match file.parser.value()? {
                Step::Ready(value) => break value,
                _ => file.receive().await?,
            }
        };
        fields.insert(&head.name, value)?;
    }
}

impl Form {
    /// Bytes of the file, if nothing follows it but the end of the form as every browser and library writes it. Nobody can know before the end
    /// whether that is so.
    pub fn probable_length(&self) -> u64 {
        self.remaining
            .saturating_sub(self.file.parser.usual_tail_length())
    }

    /// The whole of a small file, and the fields again. What follows the file is ignored, as S3 does.
    ///
    /// # Errors
    ///
    /// A body that ends before the file does, or a client that falls silent.
    pub async fn collect(self) -> Result<(Fields, Bytes), FormError> {
        let mut file = self.file;
        let mut whole =
            BytesMut::with_capacity(usize::try_from(self.remaining).unwrap_or_default());
        loop {
            match file.parser.file_data() {
                Step::Ready(data) => whole.extend_from_slice(&data),
                Step::NeedMore => file.receive().await?,
                Step::End => return Ok((self.fields, whole.freeze())),
            }
        }
    }
}

/// The file of a form while it arrives: a body that ends where the file does.
pub struct FileBody {
    parser: Parser,
    body: ClientBody,
    patience: Patience,
}

impl FileBody {
    /// Waits for more of the request.
    async fn receive(&mut self) -> Result<(), FormError> {
        let body = &mut self.body;
        let received = poll_fn(|context| poll_data(body, context));
        let received = self.patience.wait(received).await;
        let data = received.map_err(|RunOut| FormError::Idle(self.patience.limit()))??;
        self.patience.count(data.len());
        self.parser.push(&data);
        Ok(())
    }
}

/// More of the request.
fn poll_data(body: &mut ClientBody, context: &mut Context<'_>) -> Poll<Result<Bytes, FormError>> {
    loop {
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        return Poll::Ready(match frame {
            None => Err(FormError::Incomplete(
                "the form ends before its closing boundary".to_owned(),
            )),
            Some(Err(error)) => Err(FormError::Incomplete(error.to_string())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Ok(data),
                // Trailers, which mean nothing here.
                Err(_) => continue,
            },
        });
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        loop {
            match self.parser.file_data() {
                Step::Ready(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Step::End => return Poll::Ready(None),
                Step::NeedMore => match ready!(poll_data(&mut self.body, context)) {
                    Ok(data) => self.parser.push(&data),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::{BodyExt, Full};

    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nup/${filename}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nhello\r\n--b";

    async fn form(tail: &str) -> Result<Form, FormError> {
        let text = format!("{FORM}{tail}");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("multipart/form-data; boundary=b"),
        );
        headers.insert(header::CONTENT_LENGTH, text.len().into());
        let body = Full::new(Bytes::from(text))
            .map_err(|never| match never {})
            .boxed();
        read(&headers, body, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn the_file_is_a_body_of_its_own() {
        let form = form("--\r\n").await.unwrap();
        assert_eq!(form.fields.get("key"), Some("up/x"));
        assert_eq!(form.probable_length(), 5);
        let file = form.file.collect().await.unwrap().to_bytes();
        assert_eq!(file, "hello");
    }

    #[tokio::test]
    async fn what_follows_a_small_file_is_ignored() {
        let submit =
            "\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n--b--\r\n";
        for tail in ["--\r\n", "--", submit] {
            let (_, file) = form(tail).await.unwrap().collect().await.unwrap();
            assert_eq!(file, "hello", "{tail:?}");
        }
    }

    #[tokio::test]
    async fn a_file_without_its_closing_boundary_is_an_error() {
        let text = FORM.strip_suffix("\r\n--b").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("multipart/form-data; boundary=b"),
        );
        headers.insert(header::CONTENT_LENGTH, text.len().into());
        let body = Full::new(Bytes::from(text))
            .map_err(|never| match never {})
            .boxed();
        let form = read(&headers, body, Duration::from_secs(1)).await.unwrap();
        assert!(form.file.collect().await.is_err());
    }
}
