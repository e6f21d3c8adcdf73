//! A range of a body on its way to a client.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{Stream, try_unfold};

use super::{Bodies, Lease};
use crate::index::records::Segment;
use crate::limits::READ_CHUNK;

/// Reads a range of a body, file after file, with one file open at a time.
///
/// The lease keeps the files, so a body that is replaced meanwhile is read to its end.
#[derive(Debug)]
pub(crate) struct BodyReader {
    bodies: Arc<Bodies>,
    /// Where each file's share of the range begins, and its length; none is empty.
    pending: VecDeque<(Segment, u64)>,
    open: Option<File>,
    _lease: Option<Lease>,
}

impl BodyReader {
    /// A reader of `range`, which must lie within the segments. Opens the first file, so that a missing
    /// one is an error before the answer begins. Blocks.
    pub(crate) fn open(
        bodies: Arc<Bodies>,
        segments: &[Segment],
        range: Range<u64>,
        lease: Option<Lease>,
    ) -> io::Result<Self> {
        let mut reader = Self {
            bodies,
            pending: shares(segments, range),
            open: None,
            _lease: lease,
        };
        reader.open_next()?;
        Ok(reader)
    }

    fn open_next(&mut self) -> io::Result<()> {
        if let Some((segment, start)) = self.pending.front() {
            let mut file = File::open(self.bodies.path(segment.file))?;
            file.seek(SeekFrom::Start(*start))?;
            self.open = Some(file);
        }
        Ok(())
    }

    /// The next bytes, at most [`READ_CHUNK`]; empty at the end. Blocks.
    pub(crate) fn read(&mut self) -> io::Result<Bytes> {
        if self.open.is_none() {
            self.open_next()?;
        }
        let (Some((segment, _)), Some(file)) = (self.pending.front_mut(), &mut self.open) else {
            return Ok(Bytes::new());
        };
        let length = segment.length.min(READ_CHUNK as u64);
        let mut chunk = BytesMut::zeroed(usize::try_from(length).map_err(io::Error::other)?);
        file.read_exact(&mut chunk)?;
        segment.length -= length;
        if segment.length == 0 {
            self.pending.pop_front();
            self.open = None;
        }
        Ok(chunk.freeze())
    }

    /// The bytes as a stream; each read runs on a blocking thread.
    pub(crate) fn into_stream(
        self,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
        try_unfold(self, |mut reader| async move {
            let read =
                tokio::task::spawn_blocking(move || reader.read().map(|chunk| (chunk, reader)));
            let (chunk, reader) = read.await.map_err(io::Error::other)??;
            Ok((!chunk.is_empty()).then_some((chunk, reader)))
        })
    }
}

/// Which bytes of which files make up a range: the segment cut to its share, and where in the file that
/// begins.
fn shares(segments: &[Segment], range: Range<u64>) -> VecDeque<(Segment, u64)> {
    let mut position = 0_u64;
    let mut shares = VecDeque::new();
    for segment in segments {
        let end = position.saturating_add(segment.length);
        let first = range.start.max(position);
        let last = range.end.min(end);
        if first < last {
            shares.push_back((
                Segment {
                    file: segment.file,
                    length: last - first,
                },
                first - position,
            ));
        }
        position = end;
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::id::Id;

    proptest! {
        #[test]
        fn any_range_of_any_files_reads_as_the_whole_does(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
            bounds in (0_u64..260, 0_u64..260),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let bodies = Arc::new(Bodies::open(directory.path()).unwrap());
            let segments: Vec<Segment> = parts.iter().map(|part| {
                let file = if part.is_empty() { Id::NONE } else { Id::random() };
                if !part.is_empty() {
                    fs::write(bodies.path(file), part).unwrap();
                }
                Segment { file, length: part.len() as u64 }
            }).collect();
            let whole = parts.concat();
            let length = whole.len() as u64;
            let range = bounds.0.min(bounds.1).min(length)..bounds.0.max(bounds.1).min(length);
            let mut reader = BodyReader::open(bodies, &segments, range.clone(), None).unwrap();
            let mut found = Vec::new();
            loop {
                let chunk = reader.read().unwrap();
                if chunk.is_empty() {
                    break;
                }
                found.extend_from_slice(&chunk);
            }
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            prop_assert_eq!(&found, &whole[range]);
        }
    }

    #[test]
    fn missing_and_short_files_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let bodies = Arc::new(Bodies::open(directory.path()).unwrap());
        let segment = Segment {
            file: Id::random(),
            length: 4,
        };
        assert!(BodyReader::open(Arc::clone(&bodies), &[segment], 0..4, None).is_err());
        fs::write(bodies.path(segment.file), b"abc").unwrap();
        assert!(
            BodyReader::open(bodies, &[segment], 0..4, None)
                .unwrap()
                .read()
                .is_err()
        );
    }
}
