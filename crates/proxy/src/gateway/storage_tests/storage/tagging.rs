//! Tags of the storage in memory. A copy takes those of its source along, unless it is told otherwise.

use http::{HeaderMap, Response, StatusCode};

use super::{Held, ask::Ask, error, xml};
use crate::{operation::ResponseBody, query_string::QueryString};

/// Says how many tags there are.
pub(super) fn count(tagging: &str, headers: &mut HeaderMap) {
    if !tagging.is_empty() {
        headers.insert("x-amz-tagging-count", tagging.split('&').count().into());
    }
}

impl Ask<'_> {
    /// The tags of the object that the request makes.
    pub(super) fn tagging(&self, held: &Held) -> String {
        let source = self.header("x-amz-copy-source");
        match source.filter(|_| self.header("x-amz-tagging-directive") != Some("REPLACE")) {
            None => self.header("x-amz-tagging").unwrap_or_default().to_owned(),
            Some(source) => {
                let (bucket, key) = source.trim_start_matches('/').split_once('/').unwrap();
                let place = (bucket.to_owned(), key.to_owned());
                held.objects[&place].tagging.clone()
            }
        }
    }

    pub(super) fn list_tags(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let Some(object) = held.objects.get(&self.place()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let tags = QueryString::parse(Some(&object.tagging)).unwrap();
        let tags = tags.parameters().iter().map(|tag| {
            let value = tag.value.as_deref().unwrap_or_default();
            format!("<Tag><Key>{}</Key><Value>{value}</Value></Tag>", tag.name)
        });
        let tags: String = tags.collect();
        xml(&format!("<Tagging><TagSet>{tags}</TagSet></Tagging>"))
    }
}
