//! ListObjects and ListObjectsV2.

use std::{collections::BTreeMap, fmt::Write, ops::Bound, time::SystemTime};

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    answer::{Answer, document, escaped},
    objects::Object,
    target::Target,
};

/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'/')
    .remove(b'*');

const PAGE: usize = 1000;

/// One page.
pub(crate) fn list(target: &Target, objects: &BTreeMap<String, Object>) -> Answer {
    let is_second = target.parameter("list-type") == Some("2");
    let prefix = target.parameter("prefix").unwrap_or_default();
    let delimiter = target.parameter("delimiter").unwrap_or_default();
    let is_encoded = target.parameter("encoding-type") == Some("url");
    let name = |text: &str| {
        if is_encoded {
            utf8_percent_encode(text, PLAIN).to_string()
        } else {
            escaped(text)
        }
    };
    let from = if is_second {
        target
            .parameter("continuation-token")
            .or(target.parameter("start-after"))
    } else {
        target.parameter("marker")
    }
    .unwrap_or_default();
    let limit = target
        .parameter("max-keys")
        .and_then(|limit| limit.parse().ok())
        .map_or(PAGE, |limit: usize| limit.min(PAGE));

    let start = if from >= prefix {
        Bound::Excluded(from.to_owned())
    } else {
        Bound::Included(prefix.to_owned())
    };
    let (mut entries, mut prefixes) = (String::new(), Vec::<String>::new());
    let (mut count, mut last, mut is_truncated) = (0, String::new(), false);
    for (key, object) in objects.range((start, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(prefix) else {
            break;
        };
        let common = (!delimiter.is_empty())
            .then(|| rest.split_once(delimiter))
            .flatten()
            .map(|(first, _)| format!("{prefix}{first}{delimiter}"));
        if let Some(common) = &common
            && (prefixes.last() == Some(common) || from.starts_with(common))
        {
            continue;
        }
        if count == limit {
            is_truncated = limit > 0;
            break;
        }
        count += 1;
        if let Some(common) = common {
            last.clone_from(&common);
            prefixes.push(common);
        } else {
            last.clone_from(key);
            let _ = write!(
                entries,
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                name(key),
                date(object.modified),
                escaped(&object.entity_tag),
                object.content.length,
            );
        }
    }
    for prefix in &prefixes {
        let _ = write!(
            entries,
            "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
            name(prefix)
        );
    }
    let mut head = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{}</Name><Prefix>{}</Prefix><MaxKeys>{limit}</MaxKeys><IsTruncated>{is_truncated}</IsTruncated>",
        target.bucket,
        name(prefix),
    );
    if !delimiter.is_empty() {
        let _ = write!(head, "<Delimiter>{}</Delimiter>", name(delimiter));
    }
    if is_encoded {
        head.push_str("<EncodingType>url</EncodingType>");
    }
    if is_second {
        let _ = write!(head, "<KeyCount>{count}</KeyCount>");
        if is_truncated {
            let _ = write!(
                head,
                "<NextContinuationToken>{}</NextContinuationToken>",
                escaped(&last)
            );
        }
    } else {
        let _ = write!(head, "<Marker>{}</Marker>", name(from));
        if is_truncated {
            let _ = write!(head, "<NextMarker>{}</NextMarker>", name(&last));
        }
    }
    document(
        StatusCode::OK,
        format!("{head}{entries}</ListBucketResult>"),
    )
}

fn date(moment: SystemTime) -> String {
    OffsetDateTime::from(moment)
        .replace_nanosecond(0)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use http_body_util::BodyExt;

    use super::*;
    use crate::{body::Content, objects::Store};

    async fn listed(keys: &[&str], query: &str) -> String {
        let store = Store::new(None, false);
        let objects = keys
            .iter()
            .map(|key| {
                let object = store.object(Content::default(), HeaderMap::new(), 1);
                ((*key).to_owned(), object)
            })
            .collect();
        let target = Target::of(&format!("/bucket?{query}").parse().unwrap());
        let answer: Bytes = list(&target, &objects)
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        String::from_utf8(answer.to_vec()).unwrap()
    }

    fn values<'a>(text: &'a str, element: &str) -> Vec<&'a str> {
        text.split(&format!("<{element}>"))
            .skip(1)
            .filter_map(|rest| rest.split('<').next())
            .collect()
    }

    #[tokio::test]
    async fn a_page_ends_where_the_next_begins() {
        let keys = ["a", "b", "c", "d"];
        let first = listed(&keys, "list-type=2&max-keys=3").await;
        assert_eq!(values(&first, "Key"), ["a", "b", "c"]);
        let token = values(&first, "NextContinuationToken")[0];
        let second = listed(
            &keys,
            &format!("list-type=2&max-keys=3&continuation-token={token}"),
        )
        .await;
        assert_eq!(values(&second, "Key"), ["d"]);
        assert_eq!(values(&second, "IsTruncated"), ["false"]);
    }

    #[tokio::test]
    async fn common_prefixes_stand_for_what_is_below_them() {
        let text = listed(
            &["a/1", "a/2", "b", "c/1"],
            "list-type=2&delimiter=%2F&max-keys=2",
        )
        .await;
        assert_eq!(values(&text, "Key"), ["b"]);
        assert_eq!(values(&text, "Prefix")[1..], ["a/"]);
        assert_eq!(values(&text, "NextContinuationToken"), ["b"]);
    }
}
