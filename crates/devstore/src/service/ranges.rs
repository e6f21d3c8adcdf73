//! Which bytes a GET, HEAD or UploadPartCopy means.

use std::ops;

use s3s::dto::Range;
use s3s::{S3Result, s3_error};

use super::answer;
use crate::index::records::{ObjectRecord, Segment};

/// The bytes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) bytes: ops::Range<u64>,
    /// The size of the object.
    pub(crate) total: u64,
    /// Whether the answer is 206 with a Content-Range.
    pub(crate) partial: bool,
}

impl Selection {
    pub(crate) fn length(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    pub(crate) fn content_range(&self) -> Option<String> {
        // A part without bytes has no last byte that the header could name.
        let last = self
            .bytes
            .end
            .checked_sub(1)
            .filter(|_| self.partial && !self.bytes.is_empty())?;
        Some(format!("bytes {}-{last}/{}", self.bytes.start, self.total))
    }
}

/// Resolves a range or a part number.
pub(crate) fn select(
    record: &ObjectRecord,
    segments: &[Segment],
    range: Option<Range>,
    part: Option<i32>,
) -> S3Result<Selection> {
    let total = record.size;
    match (range, part) {
        (Some(_), Some(_)) => Err(s3_error!(
            InvalidRequest,
            "Cannot specify both Range header and partNumber query parameter"
        )),
        (None, None) => Ok(Selection {
            bytes: 0..total,
            total,
            partial: false,
        }),
        (Some(Range::Suffix { .. }), None) if total == 0 => {
            Err(answer::range_not_satisfiable(total))
        }
        (Some(range), None) => {
            let bytes = range
                .check(total)
                .map_err(|_| answer::range_not_satisfiable(total))?;
            Ok(Selection {
                bytes,
                total,
                partial: true,
            })
        }
        (None, Some(number)) => select_part(record, segments, number),
    }
}

/// A part by its place among the parts of the object, as S3 counts after Complete.
fn select_part(record: &ObjectRecord, segments: &[Segment], number: i32) -> S3Result<Selection> {
    let total = record.size;
    let place = usize::try_from(number)
        .ok()
        .and_then(|number| number.checked_sub(1));
    let place = place.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000"
        )
    })?;
    if record.parts.is_none() {
        if place > 0 {
            return Err(answer::part_not_satisfiable());
        }
        return Ok(Selection {
            bytes: 0..total,
            total,
            partial: total > 0,
        });
    }
    let segment = segments
        .get(place)
        .ok_or_else(answer::part_not_satisfiable)?;
    let start = segments
        .iter()
        .take(place)
        .map(|segment| segment.length)
        .sum::<u64>();
    Ok(Selection {
        bytes: start..start + segment.length,
        total,
        partial: true,
    })
}

/// The range of an UploadPartCopy: `bytes=first-last`, both given and inside the source.
pub(crate) fn copy_source_range(text: &str, total: u64) -> S3Result<ops::Range<u64>> {
    let Ok(Range::Int {
        first,
        last: Some(last),
    }) = Range::parse(text)
    else {
        return Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        ));
    };
    if last >= total {
        return Err(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object of size: {total}"
        ));
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;
    use crate::id::Id;

    fn object(size: u64, parts: Option<u32>) -> ObjectRecord {
        let record = serde_json::json!({
            "body": null, "size": size, "etag": "", "modified": 0, "parts": parts,
            "checksums": {}, "checksum_kind": "full_object", "attributes": {},
        });
        serde_json::from_value(record).unwrap()
    }

    fn range(size: u64, text: &str) -> Result<ops::Range<u64>, S3ErrorCode> {
        let selection = select(
            &object(size, None),
            &[],
            Some(Range::parse(text).unwrap()),
            None,
        );
        selection
            .map(|selection| selection.bytes)
            .map_err(|error| error.code().clone())
    }

    #[test]
    fn ranges_are_clamped_to_the_object() {
        assert_eq!(range(11, "bytes=2-5"), Ok(2..6));
        assert_eq!(range(11, "bytes=6-99"), Ok(6..11));
        assert_eq!(range(11, "bytes=6-"), Ok(6..11));
        assert_eq!(range(11, "bytes=-3"), Ok(8..11));
        assert_eq!(range(11, "bytes=-50"), Ok(0..11));
        for text in ["bytes=11-", "bytes=11-20", "bytes=-0"] {
            assert_eq!(range(11, text), Err(S3ErrorCode::InvalidRange), "{text}");
        }
        for text in ["bytes=0-", "bytes=-1"] {
            assert_eq!(range(0, text), Err(S3ErrorCode::InvalidRange), "{text}");
        }
    }

    #[test]
    fn parts_are_counted_from_one() {
        let segments = [5, 0, 7].map(|length| Segment {
            file: Id::random(),
            length,
        });
        let part = |number| {
            select(&object(12, Some(3)), &segments, None, Some(number)).map(|found| found.bytes)
        };
        assert_eq!(part(1).unwrap(), 0..5);
        assert_eq!(part(2).unwrap(), 5..5);
        assert_eq!(part(3).unwrap(), 5..12);
        assert!(part(4).is_err() && part(0).is_err() && part(-1).is_err());
        assert_eq!(
            select(&object(12, None), &segments, None, Some(1))
                .unwrap()
                .bytes,
            0..12
        );
        assert!(select(&object(12, None), &segments, None, Some(2)).is_err());
    }

    #[test]
    fn content_range_names_the_last_byte() {
        let selection = |bytes, partial| {
            Selection {
                bytes,
                total: 9,
                partial,
            }
            .content_range()
        };
        assert_eq!(selection(2..6, true).as_deref(), Some("bytes 2-5/9"));
        assert_eq!(selection(0..9, false), None);
        assert_eq!(selection(5..5, true), None);
    }

    #[test]
    fn copy_ranges_must_lie_inside() {
        assert_eq!(copy_source_range("bytes=0-4", 5).unwrap(), 0..5);
        for text in ["bytes=0-5", "bytes=0-", "bytes=-3", "0-4", ""] {
            assert!(copy_source_range(text, 5).is_err(), "{text}");
        }
    }
}
