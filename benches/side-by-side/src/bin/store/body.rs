//! Request bodies: kept in one piece, in part, or counted.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::framing::Framing;

/// A body that was read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// The end of it that was kept: all, nothing, or some.
    pub(crate) bytes: Bytes,
    /// Without the framing of aws-chunked.
    pub(crate) length: u64,
}

/// Reads a body, and keeps `most` bytes of its end.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    most: usize,
) -> Result<Content, hyper::Error> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    let announced: usize = number(header::CONTENT_LENGTH.as_str()).unwrap_or_default();
    let is_framed = headers.contains_key("x-amz-decoded-content-length");
    let mut framing = is_framed.then(Framing::new);
    let mut kept = BytesMut::with_capacity(announced.min(most));
    let mut length = 0;
    let mut keep = |data: Bytes| {
        length += data.len() as u64;
        if most > 0 {
            kept.extend_from_slice(&data);
            // Seldom, so that what remains is seldom moved.
            if kept.len() / 2 > most {
                let _ = kept.split_to(kept.len() - most);
            }
        }
    };
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame?.into_data() else {
            continue;
        };
        match &mut framing {
            None => keep(data),
            Some(framing) => {
                while let Some(content) = framing.content(&mut data) {
                    keep(content);
                }
            }
        }
    }
    Ok(Content {
        bytes: kept.freeze(),
        length,
    }
    .end(most))
}

impl Content {
    /// Keeps `most` bytes of the end alone, and lets go of the memory of the others.
    pub(crate) fn end(mut self, most: usize) -> Self {
        if self.bytes.len() > most {
            self.bytes = Bytes::copy_from_slice(&self.bytes.slice(self.bytes.len() - most..));
        }
        self
    }
}
