//! Pages of a listing: `Limit`, `Marker`, `NextMarker` and `Truncated`.

use data_encoding::BASE64URL_NOPAD;

use crate::constraints::Constraints;
use crate::error::{ErrorCode, KmsError};

/// Longest marker, in characters.
const MAX_MARKER: usize = 1024;

/// How long pages of a listing may be and are by default.
pub(super) struct PageSize {
    pub(super) max: u16,
    pub(super) default: u16,
}

/// The page that a request asks for: how many entries, after which one.
pub(super) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// Reads `Limit` and `Marker`. A marker is the name of the last entry of the page before, so entries that come or go
    /// between two pages repeat none and skip none.
    ///
    /// # Errors
    ///
    /// `ValidationException` for a limit out of range, `InvalidMarkerException` for a marker that is not ours.
    pub(super) fn read(
        limit: Option<i64>,
        marker: Option<&str>,
        size: &PageSize,
    ) -> Result<Self, KmsError> {
        Constraints::default()
            .range("limit", limit, 1, i64::from(size.max))
            .text("marker", marker, 1, MAX_MARKER)
            .check()?;
        let after = marker.map(|marker| {
            let bytes = BASE64URL_NOPAD.decode(marker.as_bytes()).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(invalid_marker)
        });
        let limit = limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::from(size.default));
        Ok(Self {
            limit,
            after: after.transpose()?,
        })
    }

    /// The name of the entry after which the page begins.
    pub(super) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Takes the entries of this page, and the marker of the next if there is one.
    pub(super) fn take<T>(
        &self,
        mut entries: impl Iterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let page: Vec<T> = entries.by_ref().take(self.limit).collect();
        let last = page
            .last()
            .map(|last| BASE64URL_NOPAD.encode(name(last).as_bytes()));
        let next = if entries.next().is_some() { last } else { None };
        (page, next)
    }
}

/// `InvalidMarkerException`.
pub(super) fn invalid_marker() -> KmsError {
    KmsError::new(
        ErrorCode::InvalidMarker,
        "the marker is not valid: give the NextMarker of the response before",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: PageSize = PageSize {
        max: 100,
        default: 7,
    };

    fn pages(count: u32, limit: Option<i64>) -> Vec<Vec<u32>> {
        let (mut pages, mut marker) = (Vec::new(), None::<String>);
        loop {
            let page = Page::read(limit, marker.as_deref(), &SIZE).unwrap();
            let after: Option<u32> = page.after().map(|name| name.parse().unwrap());
            let (entries, next) = page.take(
                (0..count).filter(|n| after.is_none_or(|after| *n > after)),
                u32::to_string,
            );
            pages.push(entries);
            match next {
                Some(next) => marker = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn default_and_bounds() {
        assert_eq!(
            pages(8, None).iter().map(Vec::len).collect::<Vec<_>>(),
            [7, 1]
        );
        assert_eq!(pages(7, None).len(), 1);
        assert_eq!(pages(0, None), [Vec::<u32>::new()]);
        assert!(Page::read(Some(0), None, &SIZE).is_err());
        assert!(Page::read(Some(101), None, &SIZE).is_err());
        let error = Page::read(None, Some("not a marker"), &SIZE).err().unwrap();
        assert_eq!(error.code(), ErrorCode::InvalidMarker);
    }

    proptest! {
        #[test]
        fn pages_hold_every_entry_once(count in 0_u32..60, limit in 1_i64..20) {
            let all: Vec<u32> = pages(count, Some(limit)).into_iter().flatten().collect();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }
}
