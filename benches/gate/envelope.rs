//! Sealing and opening segments and headers.

use std::hint::black_box;

use sealgate_benches::part;
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::header::{Header, HeaderBuilder, HeaderKey, SealedHeader};
use sealgate_envelope::layout::{SEALED_SEGMENT_LENGTH, SEGMENT_LENGTH};
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::object::Body;
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{
    Backend, Domain, KeyReference, OsRandom, Place, Provider, Suite, WorkingKey, WorkingKeyId, Wrap,
};

use crate::Case;

/// 1 MiB.
const SEGMENTS: usize = 16;

/// Pushes a part of [`SEGMENTS`] segments through a sealer, into a buffer that is large enough.
pub(crate) fn seal() -> anyhow::Result<Case> {
    let (object, id) = part(Suite::Aes256Gcm, Backend::default())?;
    let content = vec![5; SEGMENT_LENGTH];
    let mut buffer = Vec::with_capacity((SEGMENTS + 1) * SEALED_SEGMENT_LENGTH);
    Ok(Box::new(move || {
        buffer.clear();
        let mut sealer = Sealer::new(&object, id)?;
        for _ in 0..SEGMENTS {
            sealer.push(&content, &mut buffer)?;
        }
        black_box(sealer.finish(&mut buffer)?);
        Ok(())
    }))
}

/// Opens such a part in place; the copy into the buffer is that of a read.
pub(crate) fn open() -> anyhow::Result<Case> {
    let (object, id) = part(Suite::Aes256Gcm, Backend::default())?;
    let mut sealer = Sealer::new(&object, id)?;
    let mut sealed = Vec::new();
    sealer.push(&vec![5; SEGMENTS * SEGMENT_LENGTH], &mut sealed)?;
    let sealed_part = sealer.finish(&mut sealed)?;
    let record = CommitRecord::new(&object, vec![sealed_part.into()], None, None)?;
    let mut buffer = sealed.clone();
    Ok(Box::new(move || {
        buffer.copy_from_slice(&sealed);
        let mut opener = Opener::new(&object, record.layout().plan_all()?)?;
        for segment in buffer.chunks_mut(SEALED_SEGMENT_LENGTH) {
            black_box(opener.open_segment(segment)?);
        }
        opener.finish()?;
        Ok(())
    }))
}

/// A working key in memory, wrapped as by AWS KMS.
struct Keys {
    id: WorkingKeyId,
    key: WorkingKey,
    wraps: [Wrap; 1],
    domain: Domain,
}

impl Keys {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            id: WorkingKeyId::generate(&mut OsRandom)?,
            key: WorkingKey::generate(&mut OsRandom)?,
            wraps: [Wrap::new(
                Provider::AwsKms,
                KeyReference::from_bytes([1; 8]),
                vec![2; 184],
            )?],
            domain: Domain::new("deployment/bucket")?,
        })
    }

    fn seal(&self) -> anyhow::Result<SealedHeader> {
        let mut metadata = Metadata::new();
        metadata.insert("content-type", "application/json")?;
        metadata.insert("checksum-crc64nvme", [7; 8])?;
        metadata.insert_user("owner", "somebody")?;
        let key = HeaderKey {
            id: self.id,
            key: &self.key,
            wraps: &self.wraps,
        };
        let body = Body::Verified {
            plaintext_length: 1 << 20,
        };
        Ok(HeaderBuilder::new(self.place()?, key, 1_764_000_000_000)
            .metadata(metadata)
            .seal(body, &mut OsRandom)?)
    }

    fn place(&self) -> anyhow::Result<Place<'_>> {
        Ok(Place::new(&self.domain, "photographs/2026/one.jpeg")?)
    }
}

/// Makes a header, as text.
pub(crate) fn seal_header() -> anyhow::Result<Case> {
    let keys = Keys::new()?;
    Ok(Box::new(move || {
        black_box(keys.seal()?.header.to_text());
        Ok(())
    }))
}

/// Reads a header's text.
pub(crate) fn parse_header() -> anyhow::Result<Case> {
    let text = Keys::new()?.seal()?.header.to_text();
    Ok(Box::new(move || {
        black_box(Header::from_text(&text)?);
        Ok(())
    }))
}

/// Opens a header that was read.
pub(crate) fn open_header() -> anyhow::Result<Case> {
    let keys = Keys::new()?;
    let header = keys.seal()?.header;
    Ok(Box::new(move || {
        black_box(header.open(&keys.key, keys.place()?)?);
        Ok(())
    }))
}
