//! What is sealed in pieces of any size opens to the same plaintext, and with one bit flipped anywhere it does not open.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{DataKey, ObjectId, Result, Suite};

fn open(object: &ObjectSecrets, mut sealed: &[u8]) -> Result<Vec<u8>> {
    let plan = CommitRecord::single(object, None)?.layout().plan_all()?;
    let mut opener = Opener::new(object, plan)?;
    let mut plaintext = Vec::new();
    while let Some((mut segment, rest)) = opener
        .next_length()
        .map(|length| (sealed[..length].to_vec(), &sealed[length..]))
    {
        let released = opener.open_segment(&mut segment)?;
        plaintext.extend_from_slice(&segment[released]);
        sealed = rest;
    }
    opener.finish()?;
    Ok(plaintext)
}

// The pattern is repeated, so that short inputs reach several segments.
fuzz_target!(|input: (bool, u8, u16, u32, &[u8])| {
    let (chacha, repetitions, piece, flip, pattern) = input;
    let plaintext = pattern.repeat(usize::from(repetitions));
    let plaintext = &plaintext[..plaintext.len().min(200_000)];
    let suite = if chacha {
        Suite::ChaCha20Poly1305
    } else {
        Suite::Aes256Gcm
    };
    let id = ObjectId::from_bytes([2; 16]);
    let body = Body::Single {
        plaintext_length: plaintext.len() as u64,
    };
    let object = ObjectSecrets::new(DataKey::from_bytes([1; 32]), suite, id, body);

    let mut sealed = Vec::new();
    let mut sealer = Sealer::new(&object, PartId::single(id)).expect("a part");
    for piece in plaintext.chunks(usize::from(piece) + 1) {
        sealer.push(piece, &mut sealed).expect("room");
    }
    sealer.finish(&mut sealed).expect("all of the plaintext");
    assert_eq!(open(&object, &sealed).ok().as_deref(), Some(plaintext));
    if !sealed.is_empty() {
        let flip = flip as usize % (8 * sealed.len());
        sealed[flip / 8] ^= 1 << (flip % 8);
        assert!(open(&object, &sealed).is_err());
    }
});
