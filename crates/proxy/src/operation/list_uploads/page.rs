//! One page of ListMultipartUploads: what it begins behind, what is rolled up, and where the next one begins (S3 API, ListMultipartUploads).

use std::ops::ControlFlow;

use super::Asked;
use crate::xml::multipart_answers::ListedUpload;

/// A page in the making. Uploads come to it in the order of their keys, and of their ids within a key.
pub(super) struct Page<'a> {
    asked: &'a Asked,
    uploads: Vec<ListedUpload>,
    common_prefixes: Vec<String>,
    next: Option<(String, String)>,
}

impl<'a> Page<'a> {
    pub(super) fn new(asked: &'a Asked) -> Self {
        Self {
            asked,
            uploads: Vec::new(),
            common_prefixes: Vec::new(),
            next: None,
        }
    }

    /// The most uploads and common prefixes that it has room for.
    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.asked.max_uploads).unwrap_or(usize::MAX)
    }

    pub(super) fn uploads(&self) -> &[ListedUpload] {
        &self.uploads
    }

    pub(super) fn common_prefixes(&self) -> &[String] {
        &self.common_prefixes
    }

    /// Where the next page begins: behind this key and upload id.
    pub(super) fn next(&self) -> Option<&(String, String)> {
        self.next.as_ref()
    }

    /// Whether an open upload would add to the page, or show that it is full: it lies behind the markers, and in no common prefix that is known.
    pub(super) fn wants(&self, key: &str, upload_id: &str) -> bool {
        let asked = self.asked;
        let is_behind_marker = if asked.upload_id_marker.is_empty() {
            key > asked.key_marker.as_str()
        } else {
            (key, upload_id) > (asked.key_marker.as_str(), asked.upload_id_marker.as_str())
        };
        let is_known = |prefix: &String| {
            self.common_prefixes.last() == Some(prefix)
                || asked.key_marker.starts_with(prefix.as_str())
        };
        self.limit() > 0
            && (is_behind_marker || asked.key_marker.is_empty())
            && !self.rolled_up(key).as_ref().is_some_and(is_known)
    }

    /// Adds an upload, or ends the page where there is no room for it.
    pub(super) fn add(&mut self, upload: ListedUpload) -> ControlFlow<()> {
        if !self.wants(&upload.key, &upload.upload_id) {
            return ControlFlow::Continue(());
        }
        if self.uploads.len() + self.common_prefixes.len() == self.limit() {
            let last_upload = self
                .uploads
                .last()
                .map(|upload| (upload.key.clone(), upload.upload_id.clone()));
            let last_prefix = self
                .common_prefixes
                .last()
                .map(|prefix| (prefix.clone(), String::new()));
            self.next = last_upload.max(last_prefix);
            return ControlFlow::Break(());
        }
        match self.rolled_up(&upload.key) {
            Some(prefix) => self.common_prefixes.push(prefix),
            None => self.uploads.push(upload),
        }
        ControlFlow::Continue(())
    }

    /// Ends the page although it has room left.
    pub(super) fn end_behind(&mut self, key: &str, upload_id: &str) {
        self.next = Some((key.to_owned(), upload_id.to_owned()));
    }

    /// The part of a key up to the first delimiter behind the prefix.
    fn rolled_up(&self, key: &str) -> Option<String> {
        let prefix = self.asked.prefix.as_str();
        let rest = key.strip_prefix(prefix)?;
        let delimiter = self.asked.delimiter.as_deref()?;
        let end = rest.find(delimiter)? + delimiter.len();
        Some(format!("{prefix}{}", rest.get(..end)?))
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn upload(key: &str, id: &str) -> ListedUpload {
        ListedUpload {
            key: key.to_owned(),
            upload_id: id.to_owned(),
            initiated: OffsetDateTime::UNIX_EPOCH,
            owner: None,
            storage_class: None,
            checksum_algorithm: None,
            checksum_type: None,
        }
    }

    /// In order.
    fn all() -> [ListedUpload; 5] {
        [
            upload("a/1", "3"),
            upload("a/1", "5"),
            upload("a/2", "2"),
            upload("b", "1"),
            upload("c/x/y", "4"),
        ]
    }

    fn asked(delimiter: Option<&str>, max_uploads: u32) -> Asked {
        Asked {
            prefix: String::new(),
            delimiter: delimiter.map(str::to_owned),
            key_marker: String::new(),
            upload_id_marker: String::new(),
            max_uploads,
        }
    }

    /// What all pages show: keys with ids, and common prefixes.
    fn walk(mut asked: Asked) -> (Vec<(String, String)>, Vec<String>) {
        let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
        loop {
            let mut page = Page::new(&asked);
            for upload in all() {
                if page.add(upload).is_break() {
                    break;
                }
            }
            let Page {
                uploads,
                common_prefixes,
                next,
                ..
            } = page;
            keys.extend(
                uploads
                    .into_iter()
                    .map(|upload| (upload.key, upload.upload_id)),
            );
            prefixes.extend(common_prefixes);
            let Some(next) = next else {
                return (keys, prefixes);
            };
            (asked.key_marker, asked.upload_id_marker) = next;
        }
    }

    #[test]
    fn pages_show_every_upload_once_and_in_order() {
        let expected = all().map(|upload| (upload.key, upload.upload_id)).to_vec();
        for limit in 1..6 {
            assert_eq!(
                walk(asked(None, limit)),
                (expected.clone(), vec![]),
                "{limit}"
            );
        }
    }

    #[test]
    fn a_delimiter_rolls_keys_up_once_across_pages() {
        let expected = (
            vec![("b".to_owned(), "1".to_owned())],
            vec!["a/".to_owned(), "c/".to_owned()],
        );
        for limit in 1..5 {
            assert_eq!(walk(asked(Some("/"), limit)), expected, "{limit}");
        }
    }

    #[test]
    fn a_page_without_room_shows_nothing_and_is_the_last() {
        assert_eq!(walk(asked(None, 0)), (vec![], vec![]));
    }
}
