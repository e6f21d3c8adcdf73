//! Whole objects from memory to memory, by this library and by those that people would take instead.
//!
//! Each does what its users call, with fresh keys and nonces for every object, into a buffer that is there already where its interface allows
//! that. They promise different things: only this one binds an object to its place and lets any range be read.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{Cursor, Read, Write};
use std::rc::Rc;

use aead_stream::{DecryptorBE32, EncryptorBE32, aead::KeyInit};
use aes_gcm::Aes256Gcm;
use anyhow::anyhow;
use sealgate_envelope::header::Header;
use sealgate_envelope::layout::{SEGMENT_LENGTH, SEGMENT_OVERHEAD};
use sealgate_envelope::object::{Body, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::suite::TAG_LENGTH;
use sealgate_envelope::{Backend, OsRandom, Random, Suite};
use tink_core::StreamingAead;
use tink_streaming_aead::subtle::AesGcmHkdf;

use crate::rounds::{Contender, Effort, Times, Work, measure as measure_all};
use crate::sample::Keys;

/// Bytes of content: the smallest is a small object of the gateway, the largest fits no cache.
const SIZES: [usize; 4] = [4 << 10, 64 << 10, 1 << 20, 16 << 20];

/// A library that seals and opens whole objects.
trait Library {
    /// Appends the sealed object.
    fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> anyhow::Result<()>;
    /// Opens what `sealed` holds, and may use its room; returns how many bytes it was.
    fn open(&mut self, sealed: &mut Vec<u8>) -> anyhow::Result<usize>;
}

/// Ours. The header's length stands before it here; a storage has it beside the object.
struct Sealgate {
    keys: Keys,
    suite: Suite,
    backend: Backend,
}

impl Library for Sealgate {
    fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> anyhow::Result<()> {
        let body = Body::Verified {
            plaintext_length: plaintext.len() as u64,
        };
        let header = self.keys.seal(self.suite, self.backend, body)?;
        let text = header.header.to_text();
        sealed.extend_from_slice(&u32::try_from(text.len())?.to_be_bytes());
        sealed.extend_from_slice(text.as_bytes());
        let id = PartId::single(header.secrets.object_id());
        let mut sealer = Sealer::new(&header.secrets, id)?;
        sealer.push(plaintext, sealed)?;
        sealer.finish(sealed)?;
        Ok(())
    }

    fn open(&mut self, sealed: &mut Vec<u8>) -> anyhow::Result<usize> {
        let (length, rest) = sealed.split_first_chunk_mut().ok_or_else(|| anyhow!("short"))?;
        let (text, body) = rest.split_at_mut(u32::from_be_bytes(*length) as usize);
        let header = Header::from_text(std::str::from_utf8(text)?)?;
        let opened = header.open_with(self.keys.key(), self.keys.place()?, self.backend)?;
        let layout = opened.layout().ok_or_else(|| anyhow!("no layout"))?;
        let mut opener = Opener::new(opened.secrets(), layout.plan_all()?)?;
        let mut opened = 0;
        for segment in body.chunks_mut(SEGMENT_LENGTH + SEGMENT_OVERHEAD) {
            opened += black_box(opener.open_segment(segment)?).len();
        }
        opener.finish()?;
        Ok(opened)
    }
}

/// The file format of age and rage, to one X25519 recipient.
struct Age(age::x25519::Identity, Vec<u8>);

impl Library for Age {
    fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> anyhow::Result<()> {
        let recipient = self.0.to_public();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))?;
        let mut writer = encryptor.wrap_output(sealed)?;
        writer.write_all(plaintext)?;
        writer.finish()?;
        Ok(())
    }

    fn open(&mut self, sealed: &mut Vec<u8>) -> anyhow::Result<usize> {
        let decryptor = age::Decryptor::new(sealed.as_slice())?;
        self.1.clear();
        let mut reader = decryptor.decrypt(std::iter::once(&self.0 as &dyn age::Identity))?;
        Ok(reader.read_to_end(&mut self.1)?)
    }
}

/// Tink's streaming AEAD: AES-256-GCM under a key of HKDF for each object, segments of 64 KiB.
struct Tink {
    primitive: AesGcmHkdf,
    output: Shared,
    opened: Vec<u8>,
}

/// Tink wants to own what it writes to.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Library for Tink {
    fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> anyhow::Result<()> {
        std::mem::swap(sealed, &mut *self.output.0.borrow_mut());
        let output = Box::new(self.output.clone());
        let mut writer = self.primitive.new_encrypting_writer(output, b"one.jpeg").map_err(|error| anyhow!("{error}"))?;
        writer.write_all(plaintext)?;
        writer.close().map_err(|error| anyhow!("{error}"))?;
        std::mem::swap(sealed, &mut *self.output.0.borrow_mut());
        Ok(())
    }

    fn open(&mut self, sealed: &mut Vec<u8>) -> anyhow::Result<usize> {
        let input = Box::new(Cursor::new(std::mem::take(sealed)));
        let mut reader = self.primitive.new_decrypting_reader(input, b"one.jpeg").map_err(|error| anyhow!("{error}"))?;
        self.opened.clear();
        Ok(reader.read_to_end(&mut self.opened)?)
    }
}

/// RustCrypto's STREAM with AES-256-GCM, 64 KiB at a time in one buffer. The key of each object is drawn, and would have to be kept somewhere.
struct Stream {
    buffer: Vec<u8>,
    key: [u8; 32],
    nonce: [u8; 7],
}

const STREAM_SEGMENT: usize = 64 << 10;

impl Library for Stream {
    fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> anyhow::Result<()> {
        OsRandom.fill(&mut self.key)?;
        OsRandom.fill(&mut self.nonce)?;
        let cipher = Aes256Gcm::new(&self.key.into());
        let mut encryptor = EncryptorBE32::<Aes256Gcm>::from_aead(cipher, &self.nonce.into());
        let (segments, last) = plaintext.split_at((plaintext.len() - 1) / STREAM_SEGMENT * STREAM_SEGMENT);
        for segment in segments.chunks(STREAM_SEGMENT) {
            self.buffer.clear();
            self.buffer.extend_from_slice(segment);
            encryptor.encrypt_next_in_place(b"", &mut self.buffer).map_err(|_| anyhow!("not sealed"))?;
            sealed.extend_from_slice(&self.buffer);
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(last);
        encryptor.encrypt_last_in_place(b"", &mut self.buffer).map_err(|_| anyhow!("not sealed"))?;
        sealed.extend_from_slice(&self.buffer);
        Ok(())
    }

    fn open(&mut self, sealed: &mut Vec<u8>) -> anyhow::Result<usize> {
        const SEALED: usize = STREAM_SEGMENT + TAG_LENGTH;
        let cipher = Aes256Gcm::new(&self.key.into());
        let mut decryptor = DecryptorBE32::<Aes256Gcm>::from_aead(cipher, &self.nonce.into());
        let (segments, last) = sealed.split_at((sealed.len() - 1) / SEALED * SEALED);
        let mut opened = 0;
        for segment in segments.chunks(SEALED) {
            self.buffer.clear();
            self.buffer.extend_from_slice(segment);
            decryptor.decrypt_next_in_place(b"", &mut self.buffer).map_err(|_| anyhow!("not opened"))?;
            opened += self.buffer.len();
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(last);
        decryptor.decrypt_last_in_place(b"", &mut self.buffer).map_err(|_| anyhow!("not opened"))?;
        Ok(opened + self.buffer.len())
    }
}

struct Seal {
    library: Box<dyn Library>,
    plaintext: Vec<u8>,
    sealed: Vec<u8>,
}

impl Work for Seal {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.sealed.clear();
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        self.library.seal(&self.plaintext, &mut self.sealed)
    }
}

struct Open {
    library: Box<dyn Library>,
    length: usize,
    sealed: Vec<u8>,
    buffer: Vec<u8>,
}

impl Work for Open {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.sealed);
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let opened = self.library.open(&mut self.buffer)?;
        anyhow::ensure!(opened == self.length, "{opened} bytes, not {}", self.length);
        Ok(())
    }
}

fn libraries() -> anyhow::Result<Vec<(&'static str, Box<dyn Library>)>> {
    let ours = |suite, backend| -> anyhow::Result<Box<dyn Library>> {
        Ok(Box::new(Sealgate {
            keys: Keys::new()?,
            suite,
            backend,
        }))
    };
    let tink = AesGcmHkdf::new(&[1; 32], tink_proto::HashType::Sha256, 32, SEGMENT_LENGTH, 0);
    Ok(vec![
        ("sealgate, AES-256-GCM", ours(Suite::Aes256Gcm, Backend::AwsLc)?),
        ("sealgate, ChaCha20-Poly1305", ours(Suite::ChaCha20Poly1305, Backend::AwsLc)?),
        ("sealgate, AES-256-GCM of RustCrypto", ours(Suite::Aes256Gcm, Backend::RustCrypto)?),
        ("age (rage), ChaCha20-Poly1305", Box::new(Age(age::x25519::Identity::generate(), Vec::new()))),
        (
            "tink-streaming-aead, AES-256-GCM",
            Box::new(Tink {
                primitive: tink.map_err(|error| anyhow!("{error}"))?,
                output: Shared::default(),
                opened: Vec::new(),
            }),
        ),
        (
            "aead-stream, AES-256-GCM",
            Box::new(Stream {
                buffer: Vec::with_capacity(STREAM_SEGMENT + TAG_LENGTH),
                key: [0; 32],
                nonce: [0; 7],
            }),
        ),
    ])
}

/// All libraries at one size and operation.
pub struct Row {
    /// `seal` or `open`.
    pub operation: &'static str,
    /// Bytes of content.
    pub size: usize,
    /// One for each library, always in the same order.
    pub times: Vec<Times>,
}

/// Every size, sealed and opened.
///
/// # Errors
/// Whatever goes wrong.
pub fn measure(effort: Effort) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for operation in ["seal", "open"] {
        for size in SIZES {
            let mut contenders: Vec<Contender> = Vec::new();
            for (name, mut library) in libraries()? {
                let plaintext = vec![5; size];
                let mut sealed = Vec::with_capacity(size + size / 64 + (4 << 10));
                let work: Box<dyn Work> = if operation == "seal" {
                    Box::new(Seal {
                        library,
                        plaintext,
                        sealed,
                    })
                } else {
                    library.seal(&plaintext, &mut sealed)?;
                    Box::new(Open {
                        library,
                        length: size,
                        buffer: Vec::with_capacity(sealed.len()),
                        sealed,
                    })
                };
                contenders.push((name.to_owned(), work));
            }
            rows.push(Row {
                operation,
                size,
                times: measure_all(effort, contenders)?,
            });
        }
    }
    Ok(rows)
}
