//! What follows a request whose body was refused unread.
//!
//! Over HTTP/1.1 the next request of a connection begins where the body ends. A client that asked for `100 Continue` and was refused does not
//! send the body at all (RFC 9110, section 10.1.1), while a server that goes on reading would take the start of its next request for it.
//! So the connection ends with the refusal, and the answer says so.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Version};

/// Whether bytes of a body may follow the head on an HTTP/1 connection.
pub(super) fn has_body<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let announced = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length.as_bytes() != b"0");
    request.version() < Version::HTTP_2 && (announced || headers.contains_key(TRANSFER_ENCODING))
}

/// Announces the end of the connection where an error answers a request with a body, which may not have been read to its end.
pub(super) fn close_after_refusal<B>(has_body: bool, mut response: Response<B>) -> Response<B> {
    let status = response.status();
    if has_body && (status.is_client_error() || status.is_server_error()) {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(version: Version, header: Option<(&str, &str)>, status: u16) -> bool {
        let mut request = Request::builder().version(version);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let has_body = has_body(&request.body(()).unwrap());
        let response = Response::builder().status(status).body(()).unwrap();
        close_after_refusal(has_body, response)
            .headers()
            .contains_key(CONNECTION)
    }

    #[test]
    fn only_refused_bodies_end_a_connection() {
        let length = Some(("content-length", "5"));
        assert!(closes(Version::HTTP_11, length, 412));
        assert!(closes(Version::HTTP_11, length, 503));
        assert!(closes(
            Version::HTTP_11,
            Some(("transfer-encoding", "chunked")),
            403
        ));
        assert!(!closes(Version::HTTP_11, length, 200));
        assert!(!closes(Version::HTTP_11, None, 404));
        assert!(!closes(
            Version::HTTP_11,
            Some(("content-length", "0")),
            404
        ));
        assert!(
            !closes(Version::HTTP_2, length, 412),
            "a stream of its own has its own end"
        );
    }
}
