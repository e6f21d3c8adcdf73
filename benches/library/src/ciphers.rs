//! Segments of 64 KiB in place, by the cipher alone and by the library, in a buffer that stays in the cache.
//!
//! The cipher alone has a nonce that is counted, and the same associated data. The library checks lengths and order, and draws random nonces.

use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::ChaCha20Poly1305;
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::layout::SEALED_SEGMENT_LENGTH;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::segment::PartSealer;
use sealgate_envelope::suite::{NONCE_LENGTH, TAG_LENGTH};
use sealgate_envelope::{AttemptId, Backend, DataKey, ObjectId, Suite};

use crate::rounds::{Contender, Effort, Times, Work, measure as measure_all};

/// Segments of a run. Twice as many would not stay in the second cache.
pub const SEGMENTS: usize = 8;

/// A cipher in place: what a segment consists of stands around the content.
trait Cipher {
    fn seal(&self, nonce: [u8; NONCE_LENGTH], data: &[u8], content: &mut [u8]) -> anyhow::Result<[u8; TAG_LENGTH]>;
    /// `sealed` is content and tag.
    fn open(&self, nonce: [u8; NONCE_LENGTH], data: &[u8], sealed: &mut [u8]) -> anyhow::Result<()>;
}

impl Cipher for LessSafeKey {
    fn seal(&self, nonce: [u8; NONCE_LENGTH], data: &[u8], content: &mut [u8]) -> anyhow::Result<[u8; TAG_LENGTH]> {
        let tag = self.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(data), content)?;
        Ok(tag.as_ref().try_into()?)
    }

    fn open(&self, nonce: [u8; NONCE_LENGTH], data: &[u8], sealed: &mut [u8]) -> anyhow::Result<()> {
        self.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(data), sealed)?;
        Ok(())
    }
}

/// Either of RustCrypto's.
struct RustCrypto<A>(A);

impl<A: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16>> Cipher for RustCrypto<A> {
    fn seal(&self, nonce: [u8; NONCE_LENGTH], data: &[u8], content: &mut [u8]) -> anyhow::Result<[u8; TAG_LENGTH]> {
        let tag = self.0.encrypt_inout_detached(&nonce.into(), data, content.into());
        Ok(tag.map_err(|_| anyhow::anyhow!("not sealed"))?.into())
    }

    fn open(&self, nonce: [u8; NONCE_LENGTH], data: &[u8], sealed: &mut [u8]) -> anyhow::Result<()> {
        let (content, tag) = content_and_tag(sealed)?;
        let tag = (*tag).into();
        self.0
            .decrypt_inout_detached(&nonce.into(), data, content.into(), &tag)
            .map_err(|_| anyhow::anyhow!("not opened"))
    }
}

fn content_and_tag(sealed: &mut [u8]) -> anyhow::Result<(&mut [u8], &mut [u8; TAG_LENGTH])> {
    sealed
        .split_last_chunk_mut()
        .ok_or_else(|| anyhow::anyhow!("too short for a tag"))
}

fn cipher(suite: Suite, backend: Backend) -> anyhow::Result<Box<dyn Cipher>> {
    let key = [1; 32];
    Ok(match (backend, suite) {
        (Backend::AwsLc, Suite::Aes256Gcm) => Box::new(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?)),
        (Backend::AwsLc, _) => Box::new(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key)?)),
        (_, Suite::Aes256Gcm) => Box::new(RustCrypto(Aes256Gcm::new(&key.into()))),
        (_, _) => Box::new(RustCrypto(ChaCha20Poly1305::new(&key.into()))),
    })
}

/// The nonce and the associated data of a segment.
fn of_segment(index: usize) -> ([u8; NONCE_LENGTH], [u8; 9]) {
    let (mut nonce, mut data) = ([0; NONCE_LENGTH], [0; 9]);
    let number = (index as u64).to_be_bytes();
    nonce[..8].copy_from_slice(&number);
    data[..8].copy_from_slice(&number);
    (nonce, data)
}

struct SealAlone {
    cipher: Box<dyn Cipher>,
    segments: Vec<u8>,
}

impl Work for SealAlone {
    fn run(&mut self) -> anyhow::Result<()> {
        for (index, segment) in self.segments.chunks_mut(SEALED_SEGMENT_LENGTH).enumerate() {
            let (nonce, data) = of_segment(index);
            let (content, room) = content_and_tag(&mut segment[NONCE_LENGTH..])?;
            *room = self.cipher.seal(nonce, &data, content)?;
        }
        Ok(())
    }
}

struct OpenAlone {
    cipher: Box<dyn Cipher>,
    sealed: Vec<u8>,
    segments: Vec<u8>,
}

impl Work for OpenAlone {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.segments.copy_from_slice(&self.sealed);
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        for (index, segment) in self.segments.chunks_mut(SEALED_SEGMENT_LENGTH).enumerate() {
            let (nonce, data) = of_segment(index);
            self.cipher.open(nonce, &data, &mut segment[NONCE_LENGTH..])?;
        }
        Ok(())
    }
}

struct Seal {
    object: ObjectSecrets,
    id: PartId,
    part: Option<PartSealer>,
    segments: Vec<u8>,
}

impl Work for Seal {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.part = Some(PartSealer::new(&self.object, self.id)?);
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        if let Some(part) = &mut self.part {
            for (index, segment) in self.segments.chunks_mut(SEALED_SEGMENT_LENGTH).enumerate() {
                part.seal_segment(segment, index + 1 == SEGMENTS)?;
            }
        }
        Ok(())
    }
}

struct Open {
    object: ObjectSecrets,
    record: CommitRecord,
    opener: Option<Opener>,
    sealed: Vec<u8>,
    segments: Vec<u8>,
}

impl Work for Open {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.segments.copy_from_slice(&self.sealed);
        self.opener = Some(Opener::new(&self.object, self.record.layout().plan_all()?)?);
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        if let Some(opener) = &mut self.opener {
            for segment in self.segments.chunks_mut(SEALED_SEGMENT_LENGTH) {
                opener.open_segment(segment)?;
            }
        }
        Ok(())
    }
}

fn sealing(suite: Suite, backend: Backend) -> anyhow::Result<(Seal, SealAlone)> {
    let object = ObjectSecrets::new(
        DataKey::from_bytes([1; 32]),
        suite,
        ObjectId::from_bytes([2; 16]),
        Body::Multipart,
    );
    let segments = vec![5; SEGMENTS * SEALED_SEGMENT_LENGTH];
    let alone = SealAlone {
        cipher: cipher(suite, backend)?,
        segments: segments.clone(),
    };
    let seal = Seal {
        object: object.with_backend(backend),
        id: PartId::multipart(1, AttemptId::from_bytes([3; 16]))?,
        part: None,
        segments,
    };
    Ok((seal, alone))
}

fn opening(suite: Suite, backend: Backend) -> anyhow::Result<(Open, OpenAlone)> {
    let (mut seal, mut alone) = sealing(suite, backend)?;
    seal.prepare()?;
    seal.run()?;
    alone.run()?;
    let part = seal.part.take().ok_or_else(|| anyhow::anyhow!("no part"))?.finish()?;
    let open = Open {
        record: CommitRecord::new(&seal.object, vec![part.into()], None, None)?,
        object: seal.object,
        opener: None,
        sealed: seal.segments.clone(),
        segments: seal.segments,
    };
    let alone = OpenAlone {
        cipher: alone.cipher,
        sealed: alone.segments.clone(),
        segments: alone.segments,
    };
    Ok((open, alone))
}

/// Suite and operation; and for each backend the cipher alone, then the library.
pub struct Row {
    /// The suite.
    pub suite: Suite,
    /// `seal` or `open`.
    pub operation: &'static str,
    /// By [`Backend::ALL`], two each.
    pub times: Vec<Times>,
}

/// Both suites, both operations, both backends.
///
/// # Errors
/// Whatever goes wrong.
pub fn measure(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for suite in Suite::ALL {
        for operation in ["seal", "open"] {
            let mut contenders: Vec<Contender> = Vec::new();
            for backend in Backend::ALL {
                let (library, alone): (Box<dyn Work>, Box<dyn Work>) = if operation == "seal" {
                    let (library, alone) = sealing(suite, *backend)?;
                    (Box::new(library), Box::new(alone))
                } else {
                    let (library, alone) = opening(suite, *backend)?;
                    (Box::new(library), Box::new(alone))
                };
                contenders.push((format!("{backend:?} alone"), alone));
                contenders.push((format!("sealgate, {backend:?}"), library));
            }
            rows.push(Row {
                suite,
                operation,
                times: measure_all(effort, contenders)?,
            });
        }
    }
    Ok(rows)
}
