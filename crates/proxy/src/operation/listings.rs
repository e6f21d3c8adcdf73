//! ListObjects, ListObjectsV2 and ListObjectVersions: the upstream's document with plaintext sizes and the entity tags that clients know,
//! rewritten while it passes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sealgate_envelope::layout;

use super::{Exchange, ResponseBody, clear, headers, whole};
use crate::{
    error::S3Error,
    upstream::{AnswerBody, BodyFailure, UpstreamRequest},
    xml::listing::ListingRewriter,
};

/// A listing up to this length is answered as a whole, with its length, and what is wrong with it is an error answer; of a longer one the client
/// has the beginning before we have the end.
const HELD_BACK: usize = 64 * 1024;

/// What shows the size of an object, given that of its ciphertext.
type PlaintextSize = Box<dyn FnMut(u64) -> u64 + Send>;

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    if exchange
        .gateway
        .config
        .has_migrating_keys(exchange.bucket())
    {
        return clear::list(&exchange).await;
    }
    let request = UpstreamRequest::new(Method::GET, exchange.target())
        .query(exchange.upstream_query.clone())
        .headers(headers::passed(&exchange.headers));
    let answer = exchange.gateway.upstream.call(request).await?;
    let mut answer_headers = headers::answer(answer.headers());
    answer_headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    let mut listing = Listing::new(answer.into_parts().1, &exchange);
    let mut beginning = Vec::new();
    while beginning.len() <= HELD_BACK {
        match listing.next().await? {
            Some(piece) => beginning.extend_from_slice(&piece),
            None => return Ok(whole(StatusCode::OK, answer_headers, beginning)),
        }
    }
    let mut response = Response::new(listing.into_body(Bytes::from(beginning)));
    *response.headers_mut() = answer_headers;
    Ok(response)
}

/// A listing on its way from the upstream to the client.
struct Listing {
    source: AnswerBody,
    /// Taken at the end.
    rewriter: Option<ListingRewriter<PlaintextSize>>,
    /// Objects whose length is that of no sealed object.
    foreign: Arc<AtomicU64>,
    bucket: String,
    request_id: String,
}

impl Listing {
    fn new(source: AnswerBody, exchange: &Exchange) -> Self {
        let foreign = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&foreign);
        let plaintext_size: PlaintextSize = Box::new(move |sealed| {
            layout::plaintext_length(sealed).unwrap_or_else(|| {
                counter.fetch_add(1, Ordering::Relaxed);
                sealed
            })
        });
        Self {
            source,
            rewriter: Some(ListingRewriter::new(plaintext_size)),
            foreign,
            bucket: exchange.bucket().to_owned(),
            request_id: exchange.request_id.clone(),
        }
    }

    /// The next piece for the client, never empty; `None` when the upstream's document was whole and well-formed to its end.
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        while let Some(rewriter) = &mut self.rewriter {
            let piece = if let Some(read) = self.source.next().await? {
                rewriter.push(&read)?;
                rewriter.take()
            } else {
                self.report_foreign();
                match self.rewriter.take() {
                    Some(rewriter) => rewriter.finish()?,
                    None => Bytes::new(),
                }
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn report_foreign(&self) {
        let objects = self.foreign.load(Ordering::Relaxed);
        if objects > 0 {
            tracing::warn!(
                bucket = self.bucket,
                objects,
                "a listing holds objects whose length is that of no sealed object; they are listed as they are and cannot be read through the gateway"
            );
        }
    }

    /// As the body of an answer that starts with `beginning`. When it fails, the connection is reset.
    fn into_body(self, beginning: Bytes) -> ResponseBody {
        let pieces = stream::try_unfold(
            (self, Some(beginning)),
            |(mut listing, beginning)| async move {
                let piece = match beginning {
                    Some(beginning) => Ok(Some(beginning)),
                    None => listing.next().await,
                };
                match piece {
                    Ok(piece) => Ok(piece.map(|piece| (Frame::data(piece), (listing, None)))),
                    Err(error) => {
                        tracing::error!(request_id = listing.request_id, %error, "a listing was cut off: what follows could not be read");
                        Err(BodyFailure::from("the listing could not be read"))
                    }
                }
            },
        );
        StreamBody::new(pieces).boxed_unsync()
    }
}
