//! Seals an asynchronous stream of bytes into another one, and opens it again: `cargo run --example byte_stream`.
//!
//! Neither side ever holds more than a segment beside what the source gives, whatever the size of the object.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealgate_envelope::commit::{CommitRecord, CommitSearch, first_suffix_length};
use sealgate_envelope::object::{Body, ObjectSecrets};
use sealgate_envelope::stream::{OpenStream, SealStream};
use sealgate_envelope::{DataKey, ObjectId, OsRandom, Suite};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // These come from a header: `HeaderBuilder::seal` for a new object, `Header::open` for a stored one.
    let plaintext_length = 100 * 10_000;
    let object = ObjectSecrets::new(
        DataKey::generate(&mut OsRandom)?,
        Suite::Aes256Gcm,
        ObjectId::generate(&mut OsRandom)?,
        Body::Single { plaintext_length },
    );

    // As a network would: pieces of any size.
    let source = stream::iter((0..100u8).map(|piece| Ok::<_, Infallible>(vec![piece; 10_000])));
    let mut stored = Vec::new();
    let mut sealing = SealStream::object(&object, source)?;
    while let Some(bytes) = sealing.next().await {
        stored.extend_from_slice(&bytes?);
    }

    // The commit record first, from the end of the stored body.
    let total = stored.len() as u64;
    let mut suffix_length = first_suffix_length(total);
    let record = loop {
        let start = usize::try_from(total - suffix_length)?;
        let suffix = stored.get(start..).ok_or("the body is too short")?;
        match CommitRecord::open_suffix(&object, suffix, total)? {
            CommitSearch::Found(record) => break record,
            CommitSearch::NeedMore {
                suffix_length: more,
            } => suffix_length = more,
        }
    };

    // Then the stored bytes that the plan names, in pieces of any size.
    let plan = record.layout().plan_all()?;
    let fetched = usize::try_from(plan.ciphertext().end)?;
    let pieces: Vec<_> = stored
        .get(..fetched)
        .ok_or("the body is too short")?
        .chunks(1_460)
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    let opened = OpenStream::new(&object, plan, stream::iter(pieces))?
        .try_fold(0, |sum, plaintext| async move { Ok(sum + plaintext.len()) })
        .await?;
    writeln!(
        io::stdout(),
        "{opened} bytes came back from {total} stored ones"
    )?;
    Ok(())
}
