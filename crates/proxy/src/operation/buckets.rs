//! ListBuckets, without the bucket that holds our own records.

use http::{Response, StatusCode};

use super::{Exchange, ResponseBody, append_query, headers, whole};
use crate::{error::S3Error, query_string::QueryString, xml::buckets};

/// The longest page (S3 API, ListBuckets).
const MAXIMUM_PAGE: u32 = 10_000;

pub(super) async fn list(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let hidden = &exchange.gateway.config.state.bucket;
    let mut query = exchange.upstream_query.clone();
    loop {
        let request_headers = headers::common(&exchange.headers);
        let (answer_headers, document) = exchange
            .upstream_document(query.clone(), request_headers)
            .await?;
        let shown = buckets::hide_buckets(&document, |name| name == hidden)?;
        let is_short = shown.len() < document.len()
            && memchr::memmem::find(&document, b"<ContinuationToken>").is_some();
        match one_more(&exchange.upstream_query) {
            // Our bucket has taken a place on the page, and more would follow: the client counts on as many as it asked for.
            Some(longer) if is_short && longer != query => query = longer,
            _ => return Ok(whole(StatusCode::OK, answer_headers, shown)),
        }
    }
}

/// The query for a page of one bucket more, where the client has set a limit that can be raised.
fn one_more(query: &str) -> Option<String> {
    let query = QueryString::parse(Some(query)).ok()?;
    let limit: u32 = query.unique("max-buckets").ok()??.parse().ok()?;
    let mut longer = String::new();
    for parameter in query.parameters() {
        if parameter.name == "max-buckets" {
            let limit = limit
                .checked_add(1)
                .filter(|limit| *limit <= MAXIMUM_PAGE)?;
            append_query(&mut longer, "max-buckets", &limit.to_string());
        } else {
            let value = parameter.value.as_deref().unwrap_or_default();
            append_query(&mut longer, &parameter.name, value);
        }
    }
    Some(longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_grows_by_one_and_keeps_the_rest_of_the_query() {
        assert_eq!(
            one_more("prefix=a%2Fb&max-buckets=3").as_deref(),
            Some("prefix=a%2Fb&max-buckets=4")
        );
        assert_eq!(one_more("prefix=a"), None);
        assert_eq!(one_more("max-buckets=10000"), None);
        assert_eq!(one_more("max-buckets=x"), None);
    }
}
