//! Byte ranges: the `Range` header of a read and `x-amz-copy-source-range` of UploadPartCopy, resolved against the plaintext size.
//!
//! S3 serves one range per request. A `Range` that it cannot read, or that asks for several ranges, is ignored and the whole object is served
//! (RFC 9110, section 14.2, allows that); a range that is readable and lies outside of the object is answered 416.

use thiserror::Error;

/// The unit of every range here (RFC 9110, section 14.1).
const UNIT: &str = "bytes";

/// A range as requested, before the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRangeSpec {
    /// `bytes=a-b`: both offsets, inclusive; `last` is at least `first` and may lie beyond the end.
    Bounded {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// `bytes=a-`: from an offset to the end.
    From {
        /// Offset of the first byte.
        first: u64,
    },
    /// `bytes=-n`: the last bytes.
    Suffix {
        /// Number of bytes.
        length: u64,
    },
}

/// A non-empty range that lies inside of an object of a known plaintext size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset of the last byte, inclusive; never less than `start`.
    pub end_inclusive: u64,
}

/// The range holds no byte of the object: answer 416 `InvalidRange`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the requested range holds no byte of this object of {size} bytes")]
pub struct Unsatisfiable {
    /// Plaintext size of the object.
    pub size: u64,
}

impl Unsatisfiable {
    /// The value of the `Content-Range` header of a 416 answer (RFC 9110, section 14.4).
    pub fn content_range(&self) -> String {
        format!("{UNIT} */{}", self.size)
    }
}

/// Why an `x-amz-copy-source-range` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CopySourceRangeError {
    /// Not of the form `bytes=first-last`: answer 400 `InvalidArgument`.
    #[error(
        "x-amz-copy-source-range must read bytes=first-last, with the zero-based offsets of the first and the last byte to copy"
    )]
    Malformed,
    /// The range reaches beyond the source: answer 416 `InvalidRange`.
    #[error(
        "x-amz-copy-source-range ends at byte {last}, beyond the source object of {size} bytes"
    )]
    BeyondSource {
        /// The last offset that was asked for.
        last: u64,
        /// Plaintext size of the source.
        size: u64,
    },
}

impl ByteRangeSpec {
    /// Reads a `Range` header. `None`: ignore the header and serve the whole object, as S3 does for anything it cannot read and for lists.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case(UNIT) {
            return None;
        }
        // No blanks: S3 ignores a range that has some.
        let (first, last) = set.split_once('-')?;
        match (Offset::parse(first)?, Offset::parse(last)?) {
            (Offset::At(first), Offset::At(last)) => {
                (first <= last).then_some(Self::Bounded { first, last })
            }
            (Offset::At(first), Offset::Absent) => Some(Self::From { first }),
            (Offset::Absent, Offset::At(length)) => Some(Self::Suffix { length }),
            (Offset::Absent, Offset::Absent) => None,
        }
    }

    /// As [`resolve`](Self::resolve), for a read: `None` stands for the whole object, which S3 serves where the last bytes of an empty one
    /// are asked for.
    ///
    /// # Errors
    /// [`Unsatisfiable`] as there.
    pub fn resolve_read(self, size: u64) -> Result<Option<ByteRange>, Unsatisfiable> {
        match self {
            Self::Suffix { length: 1.. } if size == 0 => Ok(None),
            range => range.resolve(size).map(Some),
        }
    }

    /// Places the range in an object of `size` plaintext bytes; an end beyond the object is clamped.
    ///
    /// # Errors
    /// [`Unsatisfiable`] where no byte remains; that is every range of an empty object.
    pub fn resolve(self, size: u64) -> Result<ByteRange, Unsatisfiable> {
        let unsatisfiable = Unsatisfiable { size };
        let end_of_object = size.checked_sub(1).ok_or(unsatisfiable)?;
        let range = match self {
            Self::Bounded { first, last } => ByteRange {
                start: first,
                end_inclusive: last.min(end_of_object),
            },
            Self::From { first } => ByteRange {
                start: first,
                end_inclusive: end_of_object,
            },
            Self::Suffix { length: 0 } => return Err(unsatisfiable),
            Self::Suffix { length } => ByteRange {
                start: size.saturating_sub(length),
                end_inclusive: end_of_object,
            },
        };
        if range.start > end_of_object {
            Err(unsatisfiable)
        } else {
            Ok(range)
        }
    }
}

/// One side of a range.
enum Offset {
    /// Nothing stands there.
    Absent,
    /// A number.
    At(u64),
}

impl Offset {
    /// Reads one side; `None` where anything but digits stands there.
    ///
    /// More digits than fit in 64 bits saturate: such an offset lies beyond any object.
    fn parse(digits: &str) -> Option<Self> {
        if digits.is_empty() {
            return Some(Self::Absent);
        }
        digits
            .bytes()
            .all(|digit| digit.is_ascii_digit())
            .then(|| Self::At(digits.parse().unwrap_or(u64::MAX)))
    }
}

impl ByteRange {
    /// Number of bytes; at least one.
    pub fn length(&self) -> u64 {
        self.end_inclusive
            .saturating_sub(self.start)
            .saturating_add(1)
    }

    /// The value of the `Content-Range` header of a 206 answer (RFC 9110, section 14.4).
    pub fn content_range(&self, size: u64) -> String {
        format!("{UNIT} {}-{}/{size}", self.start, self.end_inclusive)
    }

    /// The value of a `Range` header that asks for exactly this range.
    pub fn request_header(&self) -> String {
        format!("{UNIT}={}-{}", self.start, self.end_inclusive)
    }

    /// Reads `x-amz-copy-source-range`, which must be `bytes=first-last` and lie wholly inside of the source (UploadPartCopy, S3 API reference).
    ///
    /// # Errors
    /// [`CopySourceRangeError`]; its variants name the S3 code.
    pub fn parse_copy_source(header: &str, size: u64) -> Result<Self, CopySourceRangeError> {
        let set = header
            .strip_prefix("bytes=")
            .ok_or(CopySourceRangeError::Malformed)?;
        let (first, last) = set.split_once('-').ok_or(CopySourceRangeError::Malformed)?;
        let (start, end_inclusive) = (strict_offset(first)?, strict_offset(last)?);
        if start > end_inclusive {
            return Err(CopySourceRangeError::Malformed);
        }
        if end_inclusive >= size {
            return Err(CopySourceRangeError::BeyondSource {
                last: end_inclusive,
                size,
            });
        }
        Ok(Self {
            start,
            end_inclusive,
        })
    }
}

/// Reads an offset that must be present and consist of digits alone.
fn strict_offset(digits: &str) -> Result<u64, CopySourceRangeError> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(CopySourceRangeError::Malformed);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(header: &str, size: u64) -> Option<Result<(u64, u64), Unsatisfiable>> {
        ByteRangeSpec::parse(header).map(|spec| {
            spec.resolve(size)
                .map(|range| (range.start, range.end_inclusive))
        })
    }

    #[test]
    fn rule_20_the_three_forms_resolve() {
        assert_eq!(resolve("bytes=0-0", 10), Some(Ok((0, 0))));
        assert_eq!(resolve("bytes=2-5", 10), Some(Ok((2, 5))));
        assert_eq!(resolve("bytes=2-500", 10), Some(Ok((2, 9))));
        assert_eq!(resolve("bytes=9-", 10), Some(Ok((9, 9))));
        assert_eq!(resolve("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(resolve("bytes=-30", 10), Some(Ok((0, 9))));
        assert_eq!(resolve("BYTES=2-5", 10), Some(Ok((2, 5))));
        assert_eq!(
            resolve("bytes=0-99999999999999999999999", 10),
            Some(Ok((0, 9)))
        );
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes= -1",
            "bytes=0 -1",
            "0-4",
        ] {
            assert_eq!(resolve(header, 10), None, "{header}");
        }
    }

    #[test]
    fn rule_20_what_lies_outside_is_unsatisfiable() {
        for (header, size) in [
            ("bytes=10-", 10),
            ("bytes=10-12", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-5", 0),
            ("bytes=0-0", 0),
        ] {
            assert_eq!(
                resolve(header, size),
                Some(Err(Unsatisfiable { size })),
                "{header}"
            );
        }
        assert_eq!(Unsatisfiable { size: 7 }.content_range(), "bytes */7");
    }

    #[test]
    fn the_last_bytes_of_nothing_are_all_of_it() {
        let read = |header| ByteRangeSpec::parse(header).unwrap().resolve_read(0);
        assert_eq!(read("bytes=-5"), Ok(None));
        assert_eq!(read("bytes=-0"), Err(Unsatisfiable { size: 0 }));
        assert_eq!(read("bytes=0-"), Err(Unsatisfiable { size: 0 }));
    }

    #[test]
    fn headers_are_written_as_http_wants_them() {
        let range = ByteRange {
            start: 2,
            end_inclusive: 5,
        };
        assert_eq!(
            (
                range.length(),
                range.content_range(10).as_str(),
                range.request_header().as_str()
            ),
            (4, "bytes 2-5/10", "bytes=2-5")
        );
    }

    #[test]
    fn a_copy_source_range_is_strict() {
        assert_eq!(
            ByteRange::parse_copy_source("bytes=0-9", 10),
            Ok(ByteRange {
                start: 0,
                end_inclusive: 9
            })
        );
        assert_eq!(
            ByteRange::parse_copy_source("bytes=0-10", 10),
            Err(CopySourceRangeError::BeyondSource { last: 10, size: 10 })
        );
        for header in [
            "bytes=0-",
            "bytes=-5",
            "bytes=5-2",
            "0-9",
            "bytes=0-1,2-3",
            "bytes=0-1 ",
            "Bytes=0-1",
            "",
        ] {
            assert_eq!(
                ByteRange::parse_copy_source(header, 10),
                Err(CopySourceRangeError::Malformed),
                "{header}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_resolved_range_lies_inside(header in "bytes=[0-9]{0,4}-[0-9]{0,4}", size in 0_u64..5_000) {
            if let Some(Ok(range)) = ByteRangeSpec::parse(&header).map(|spec| spec.resolve(size)) {
                prop_assert!(range.start <= range.end_inclusive && range.end_inclusive < size);
                prop_assert!(range.length() <= size);
            }
        }

        #[test]
        fn any_header_is_read_without_panic(header in ".{0,60}", size in any::<u64>()) {
            let _ = ByteRangeSpec::parse(&header).map(|spec| spec.resolve(size));
            let _ = ByteRange::parse_copy_source(&header, size);
        }

        #[test]
        fn a_written_range_is_read_back(start in 0_u64..1_000, length in 1_u64..1_000) {
            let range = ByteRange { start, end_inclusive: start + length - 1 };
            let header = range.request_header();
            let resolved = ByteRangeSpec::parse(&header).map(|spec| spec.resolve(5_000));
            prop_assert_eq!(resolved, Some(Ok(range)));
            prop_assert_eq!(ByteRange::parse_copy_source(&header, 5_000), Ok(range));
        }
    }
}
