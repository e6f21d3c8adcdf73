//! Reads a few bytes from the middle of a multipart object, fetching only what holds them: `cargo run --example
//! range_read`.

use std::error::Error;
use std::io::{self, Write};
use std::ops::Range;

use sealgate_envelope::commit::{CommitRecord, CommitSearch, first_suffix_length};
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{AttemptId, DataKey, ObjectId, OsRandom, Suite};

/// A storage that counts what is fetched from it.
struct Storage {
    body: Vec<u8>,
    requests: u32,
    fetched: usize,
}

impl Storage {
    fn fetch(&mut self, range: Range<u64>) -> Result<Vec<u8>, Box<dyn Error>> {
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        let bytes = self.body.get(range).ok_or("beyond the body")?.to_vec();
        self.requests += 1;
        self.fetched += bytes.len();
        Ok(bytes)
    }
}

/// Three parts of 6 MiB, as a multipart upload makes them.
fn upload(object: &ObjectSecrets) -> Result<Storage, Box<dyn Error>> {
    let (mut body, mut parts) = (Vec::new(), Vec::new());
    for number in 1..=3u8 {
        let id = PartId::multipart(number.into(), AttemptId::generate(&mut OsRandom)?)?;
        let mut sealer = Sealer::new(object, id)?;
        sealer.push(&vec![number; 6 << 20], &mut body)?;
        parts.push(sealer.finish(&mut body)?.into());
    }
    body.extend(CommitRecord::new(object, parts, None, None)?.seal_region(object)?);
    Ok(Storage {
        body,
        requests: 0,
        fetched: 0,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    // These come from the object's header.
    let object = ObjectSecrets::new(
        DataKey::generate(&mut OsRandom)?,
        Suite::ChaCha20Poly1305,
        ObjectId::generate(&mut OsRandom)?,
        Body::Multipart,
    );
    let mut storage = upload(&object)?;
    let total = storage.body.len() as u64;

    // One request for the commit record, which a cache may keep.
    let suffix = storage.fetch(total - first_suffix_length(total)..total)?;
    let CommitSearch::Found(record) = CommitRecord::open_suffix(&object, &suffix, total)? else {
        return Err("an object of three parts has a short record".into());
    };

    // One request for the segments that hold the range, here across the border of two parts.
    let border = 6 << 20;
    let plan = record.layout().plan(border - 3..border + 3)?;
    let mut ciphertext = storage.fetch(plan.ciphertext())?;
    let mut opener = Opener::new(&object, plan)?;
    let (mut plaintext, mut rest) = (Vec::new(), ciphertext.as_mut_slice());
    while let Some(length) = opener.next_length() {
        let (segment, behind) = rest
            .split_at_mut_checked(length)
            .ok_or("the answer is short")?;
        let released = opener.open_segment(segment)?;
        plaintext.extend_from_slice(segment.get(released).unwrap_or_default());
        rest = behind;
    }
    opener.finish()?;
    let Storage {
        requests, fetched, ..
    } = storage;
    writeln!(
        io::stdout(),
        "{plaintext:?}: {fetched} of {total} bytes fetched in {requests} requests"
    )?;
    Ok(())
}
