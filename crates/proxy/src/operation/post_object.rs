//! POST Object: a PutObject whose request was a form, answered as the form wants it.

use http::{HeaderMap, Response, StatusCode, header};

use super::{Exchange, ResponseBody, append_query, document, empty, headers, put_object};
use crate::{error::S3Error, form::Success, xml::answers::PostAnswer};

/// Stores the file of a form. The exchange is that of the PutObject that the form stands for.
///
/// # Errors
///
/// As PutObject. Nothing of a failed upload is visible.
pub(crate) async fn post_object(
    exchange: Exchange,
    success: Success,
) -> Result<Response<ResponseBody>, S3Error> {
    exchange.record_intent().await?;
    let location = exchange.location();
    let (bucket, key) = (exchange.bucket().to_owned(), exchange.key().to_owned());
    let stored = put_object::put_object(exchange).await?;
    let mut answer_headers = stored.into_parts().0.headers;
    let entity_tag = text_of(&answer_headers, &header::ETAG);
    headers::insert_text(&mut answer_headers, header::LOCATION, &location);
    Ok(match success {
        Success::Empty(status) => empty(status, answer_headers),
        Success::Document => {
            let answer = PostAnswer {
                location: &location,
                bucket: &bucket,
                key: &key,
                entity_tag: &entity_tag,
            };
            document(StatusCode::CREATED, answer_headers, answer.to_document())
        }
        Success::Redirect(target) => {
            let target = with_result(&target, &bucket, &key, &entity_tag);
            headers::insert_text(&mut answer_headers, header::LOCATION, &target);
            empty(StatusCode::SEE_OTHER, answer_headers)
        }
    })
}

fn text_of(headers: &HeaderMap, name: &header::HeaderName) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// The address with bucket, key and entity tag in its query.
fn with_result(target: &str, bucket: &str, key: &str, entity_tag: &str) -> String {
    let (address, fragment) = target.split_once('#').unwrap_or((target, ""));
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    let mut query = query.to_owned();
    for (name, value) in [("bucket", bucket), ("key", key), ("etag", entity_tag)] {
        append_query(&mut query, name, value);
    }
    let fragment = if fragment.is_empty() {
        String::new()
    } else {
        format!("#{fragment}")
    };
    format!("{address}?{query}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_says_what_was_stored() {
        let tag = "\"x-01\"";
        assert_eq!(
            with_result("https://example.org/done", "b", "a b", tag),
            "https://example.org/done?bucket=b&key=a%20b&etag=%22x-01%22"
        );
        assert_eq!(
            with_result("https://example.org/?x=1#top", "b", "k", tag),
            "https://example.org/?x=1&bucket=b&key=k&etag=%22x-01%22#top"
        );
    }
}
