//! The drivers: files over std::io, and asynchronous streams.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops where something is wrong, and its numbers are small"
)]

use std::cell::RefCell;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use sealgate_envelope::commit::{CommitRecord, CommitSearch};
use sealgate_envelope::header::{HeaderBuilder, HeaderKey};
use sealgate_envelope::io::{OpenReader, SealWriter, SealedFile};
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::stream::{OpenStream, SealStream, StreamError};
use sealgate_envelope::{
    AttemptId, DataKey, Domain, Error, KeyReference, ObjectId, Place, Provider, Suite, WorkingKey,
    WorkingKeyId, Wrap,
};

fn plaintext(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 7 + (index >> 9)) as u8)
        .collect()
}

fn key() -> WorkingKey {
    WorkingKey::from_bytes([4; 32])
}

fn start<W: Write>(writer: W, promised: Option<u64>) -> std::io::Result<SealWriter<W>> {
    let domain = Domain::file();
    let wraps = [Wrap::new(
        Provider::Local,
        KeyReference::from_bytes([1; 8]),
        vec![1; 61],
    )
    .unwrap()];
    let header_key = HeaderKey {
        id: WorkingKeyId::from_bytes([5; 16]),
        key: &key(),
        wraps: &wraps,
    };
    let mut metadata = Metadata::new();
    metadata.insert("file-name", "name.txt").unwrap();
    let header = HeaderBuilder::new(Place::file(&domain), header_key, 1).metadata(metadata);
    SealWriter::new(writer, header, promised)
}

fn seal(plaintext: &[u8], known: bool, chunk: usize) -> std::io::Result<Vec<u8>> {
    let mut writer = start(Vec::new(), known.then_some(plaintext.len() as u64))?;
    for piece in plaintext.chunks(chunk) {
        writer.write_all(piece)?;
    }
    writer.finish()
}

fn open(file: &[u8]) -> std::io::Result<OpenReader<Cursor<&[u8]>>> {
    SealedFile::read(Cursor::new(file))?.open(&key(), &Domain::file())
}

/// The fault of the crate's error inside an IO error.
fn inner(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[test]
fn files_round_trip_with_and_without_a_known_length() {
    for length in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
        for known in [true, false] {
            let whole = plaintext(length);
            let file = seal(&whole, known, 100_000).unwrap();
            let mut reader = open(&file).unwrap();
            assert_eq!(reader.plaintext_length(), length as u64);
            assert_eq!(reader.metadata().value("file-name"), Some(&b"name.txt"[..]));
            let mut opened = Vec::new();
            reader.read_to_end(&mut opened).unwrap();
            assert!(opened == whole, "{length} {known}");
            let mut piped = Vec::new();
            let spooled = SealedFile::spool(&file[..]).unwrap();
            spooled
                .open(&key(), &Domain::file())
                .unwrap()
                .read_to_end(&mut piped)
                .unwrap();
            assert!(piped == whole, "{length} {known}");
        }
    }
}

#[test]
fn seeking_reads_what_is_there() {
    let whole = plaintext(300_000);
    let file = seal(&whole, true, 300_000).unwrap();
    let mut reader = open(&file).unwrap();
    let mut buffer = [0; 1_000];
    for position in [299_000u64, 0, 65_000, 65_536, 131_000, 64_999] {
        assert_eq!(reader.seek(SeekFrom::Start(position)).unwrap(), position);
        reader.read_exact(&mut buffer).unwrap();
        assert!(
            buffer[..] == whole[position as usize..position as usize + 1_000],
            "{position}"
        );
    }
    assert_eq!(reader.seek(SeekFrom::Current(-500)).unwrap(), 65_499);
    reader.read_exact(&mut buffer).unwrap();
    assert!(buffer[..] == whole[65_499..66_499]);
    assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), 299_997);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, whole[299_997..]);
    assert_eq!(reader.seek(SeekFrom::Start(400_000)).unwrap(), 400_000);
    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(-400_001)).is_err());
}

#[test]
fn a_damaged_segment_ends_reading_for_ever() {
    let whole = plaintext(200_000);
    let mut file = seal(&whole, true, 200_000).unwrap();
    let body = file.len() - 200_000 - 4 * 28 - 384;
    file[body + 65_564 + 5] ^= 1;
    let mut reader = open(&file).unwrap();
    let mut opened = Vec::new();
    let error = reader.read_to_end(&mut opened).unwrap_err();
    assert!(matches!(inner(&error), Some(Error::Stored(_))), "{error:?}");
    assert!(opened == whole[..65_536]);
    reader.seek(SeekFrom::Start(0)).unwrap();
    assert!(
        reader.read(&mut [0; 10]).is_err(),
        "one failure is for ever"
    );
}

#[test]
fn whatever_is_cut_off_does_not_open() {
    let file = seal(&plaintext(70_000), false, 1_000).unwrap();
    for length in (0..file.len())
        .step_by(997)
        .chain(file.len() - 400..file.len())
    {
        assert!(open(&file[..length]).is_err(), "{length}");
        assert!(
            SealedFile::spool(&file[..length])
                .and_then(|file| file.open(&key(), &Domain::file()))
                .is_err()
        );
    }
    assert!(open(&[&file[..], &[0]].concat()).is_err());
    let sealed = SealedFile::read(Cursor::new(&file)).unwrap();
    assert!(sealed.open(&key(), &Domain::new("other").unwrap()).is_err());
}

#[test]
fn the_promised_length_is_kept() {
    for (promised, allowed) in [(9, false), (10, true), (11, false)] {
        let mut writer = start(Vec::new(), Some(promised)).unwrap();
        let written = writer.write_all(&[1; 10]);
        assert_eq!(
            written.and_then(|()| writer.finish()).is_ok(),
            allowed,
            "{promised}"
        );
    }
}

#[test]
fn a_writer_counts_what_was_written_to_it() {
    let mut writer = start(Vec::new(), None).unwrap();
    assert_eq!(writer.plaintext_length(), 0);
    writer.write_all(&[1; 10]).unwrap();
    assert_eq!(writer.plaintext_length(), 10);
    writer.write_all(&plaintext(70_000)).unwrap();
    assert_eq!(writer.plaintext_length(), 70_010);
}

#[test]
fn sealed_bytes_are_written_on_in_long_runs_and_not_kept() {
    /// The lengths of what was written.
    #[derive(Clone, Default)]
    struct Runs(Rc<RefCell<Vec<usize>>>);
    impl Write for Runs {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let runs = Runs::default();
    let mut writer = start(runs.clone(), None).unwrap();
    runs.0.borrow_mut().clear();
    let mut given = 0;
    for piece in plaintext(5_000_000).chunks(100_000) {
        writer.write_all(piece).unwrap();
        given += piece.len();
        let written: usize = runs.0.borrow().iter().sum();
        assert!(
            written + (1 << 20) + (1 << 17) > given,
            "{written} of {given}"
        );
    }
    assert!(
        runs.0.borrow().iter().all(|run| *run >= 1 << 20),
        "{:?}",
        runs.0
    );
}

#[test]
fn a_failing_writer_fails_for_ever() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = start(Full(10_000), None).unwrap();
    assert_eq!(
        writer.write_all(&plaintext(3_000_000)).unwrap_err().kind(),
        std::io::ErrorKind::StorageFull
    );
    assert_eq!(
        writer.write(&[1]).unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
    assert_eq!(
        writer.flush().unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
    assert!(writer.finish().is_err());
}

type Source = Pin<Box<dyn Stream<Item = Result<Bytes, &'static str>>>>;

fn source(bytes: &[u8], chunk: usize, end: Option<&'static str>) -> Source {
    let pieces: Vec<_> = bytes
        .chunks(chunk)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .chain(end.map(Err))
        .collect();
    // Pending before every piece, as a network is.
    Box::pin(stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    }))
}

async fn collect<E>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> (Vec<u8>, Option<E>) {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => {
                assert!(!piece.is_empty(), "a piece has bytes");
                bytes.extend_from_slice(&piece);
            }
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing follows an error");
                return (bytes, Some(error));
            }
        }
    }
    (bytes, None)
}

fn object(body: Body) -> ObjectSecrets {
    ObjectSecrets::new(
        DataKey::from_bytes([1; 32]),
        Suite::Aes256Gcm,
        ObjectId::from_bytes([2; 16]),
        body,
    )
}

#[tokio::test]
async fn streams_round_trip_in_any_pieces() {
    for length in [0usize, 1, 65_536, 65_537, 400_000] {
        for chunk in [1_000, 65_564, 300_000] {
            let object = object(Body::Single {
                plaintext_length: length as u64,
            });
            let whole = plaintext(length);
            let (body, error) =
                collect(SealStream::object(&object, source(&whole, chunk, None)).unwrap()).await;
            assert!(error.is_none());
            let CommitSearch::Found(record) =
                CommitRecord::open_suffix(&object, &body, body.len() as u64).unwrap()
            else {
                panic!("all of the body was given");
            };
            for range in [0..length, length / 3..length / 2] {
                let plan = record
                    .layout()
                    .plan(range.start as u64..range.end as u64)
                    .unwrap();
                let ciphertext =
                    &body[plan.ciphertext().start as usize..plan.ciphertext().end as usize];
                let opened =
                    OpenStream::new(&object, plan, source(ciphertext, chunk, None)).unwrap();
                let (opened, error) = collect(opened).await;
                assert!(error.is_none());
                assert!(opened == whole[range], "{length} {chunk}");
            }
        }
    }
}

#[tokio::test]
async fn streams_that_end_badly_say_so() {
    let object = object(Body::Multipart);
    let id = PartId::multipart(1, AttemptId::from_bytes([3; 16])).unwrap();
    let whole = plaintext(200_000);
    let (sealed, error) =
        collect(SealStream::part(&object, id, source(&whole, 10_000, Some("broken"))).unwrap())
            .await;
    assert!(matches!(error, Some(StreamError::Source("broken"))));
    assert_eq!(sealed.len(), 3 * 65_564, "the last segment is withheld");

    let (mut body, _) =
        collect(SealStream::part(&object, id, source(&whole, 10_000, None)).unwrap()).await;
    let part = sealgate_envelope::segment::SealedPart {
        id,
        plaintext_length: 200_000,
    };
    let record = CommitRecord::new(&object, vec![part.into()], None, None).unwrap();
    let open = |body: &[u8], end| {
        OpenStream::new(
            &object,
            record.layout().plan_all().unwrap(),
            source(body, 10_000, end),
        )
        .unwrap()
    };
    let (opened, error) = collect(open(&body[..body.len() - 1], None)).await;
    assert!(matches!(
        error,
        Some(StreamError::Envelope(Error::Stored(_)))
    ));
    assert!(opened == whole[..196_608]);
    let (opened, error) = collect(open(&body[..100_000], Some("reset"))).await;
    assert!(matches!(error, Some(StreamError::Source("reset"))));
    assert!(opened == whole[..65_536]);
    body[70_000] ^= 1;
    let (opened, error) = collect(open(&body, None)).await;
    assert!(matches!(
        error,
        Some(StreamError::Envelope(Error::Stored(_)))
    ));
    assert!(opened == whole[..65_536]);
}

#[tokio::test]
async fn a_source_of_the_wrong_length_is_refused() {
    for length in [9u64, 11] {
        let object = object(Body::Single {
            plaintext_length: length,
        });
        let (_, error) =
            collect(SealStream::object(&object, source(&[1; 10], 3, None)).unwrap()).await;
        assert!(
            matches!(error, Some(StreamError::Envelope(Error::Misuse(_)))),
            "{length}"
        );
    }
}
