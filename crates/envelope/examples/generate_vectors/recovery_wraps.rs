//! Working keys wrapped for an offline recovery key (section 2).

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sealgate_envelope::key_service::EncryptionContext;
use sealgate_envelope::key_service::recovery::{
    RecoveryPublicKey, RecoverySender, RecoverySenderKey,
};
use sealgate_envelope::{Domain, WorkingKey, WorkingKeyId};
use serde_json::{Value, json};

use crate::Outcome;
use crate::seeded::Seeded;
use crate::vector::Vector;

const DEPLOYMENT: &str = "0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6";
const DOMAIN: &str = "0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6/bucket";
const ID: [u8; 16] = [0x5a; 16];

/// A private key as its text and its public part; a sender key is one like any other.
fn pair(random: &mut Seeded) -> Outcome<(String, RecoveryPublicKey)> {
    let text = BASE64URL_NOPAD.encode(&random.array::<32>());
    let public = RecoverySenderKey::from_text(&text)?.public();
    Ok((text, public))
}

fn blob(
    recipient: RecoveryPublicKey,
    sender: &str,
    deployment: &str,
    domain: &str,
    key: &WorkingKey,
) -> Outcome<Vec<u8>> {
    let sender = RecoverySender::new(recipient, RecoverySenderKey::from_text(sender)?, deployment)?;
    let context = EncryptionContext::new(Domain::new(domain)?, WorkingKeyId::from_bytes(ID));
    let wrap = sender.wrap_with(&mut Seeded::new("recovery ephemeral"), &context, key)?;
    Ok(wrap.blob().to_vec())
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut random = Seeded::new("recovery wraps");
    let (private, public) = pair(&mut random)?;
    let (_, other_public) = pair(&mut random)?;
    let (sender, sender_public) = pair(&mut random)?;
    let (forger, forger_public) = pair(&mut random)?;
    let secret: [u8; 32] = random.array();
    let key = WorkingKey::from_bytes(secret);
    let right = blob(public, &sender, DEPLOYMENT, DOMAIN, &key)?;
    let file = format!("sealgate-recovery-key-1 {DEPLOYMENT} {sender_public} {private}\n");
    let vector = |name: &str, comment: &str, file: &str, blob: &[u8], domain: &str| {
        Vector::new("recovery-wrap", name, comment)
            .with("key_file", file)
            .hex("blob", blob)
            .with(
                "context",
                json!({
                    "sealgate:domain": domain,
                    "sealgate:format": "1",
                    "sealgate:working-key": HEXLOWER.encode(&ID),
                }),
            )
    };
    let flipped = |position: usize| {
        let mut blob = right.clone();
        if let Some(byte) = blob.get_mut(position) {
            *byte ^= 1;
        }
        blob
    };
    let mut zero = right.clone();
    for byte in zero.iter_mut().skip(1).take(32) {
        *byte = 0;
    }
    let mut vectors = vec![
        vector("right", "a wrapped working key", &file, &right, DOMAIN)
            .hex("working_key", &secret)
            .opens(),
    ];
    for (name, comment, file, blob, domain) in [
        (
            "forged",
            "by another sender",
            file.clone(),
            blob(public, &forger, DEPLOYMENT, DOMAIN, &key)?,
            DOMAIN,
        ),
        (
            "other-sender-pinned",
            "the file names another sender",
            file.replace(&sender_public.to_string(), &forger_public.to_string()),
            right.clone(),
            DOMAIN,
        ),
        (
            "other-recipient",
            "for another recovery key",
            file.clone(),
            blob(other_public, &sender, DEPLOYMENT, DOMAIN, &key)?,
            DOMAIN,
        ),
        (
            "other-deployment",
            "by another deployment",
            file.clone(),
            blob(public, &sender, "other", DOMAIN, &key)?,
            DOMAIN,
        ),
        (
            "other-domain",
            "for another domain",
            file.clone(),
            right.clone(),
            "0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6/other",
        ),
        (
            "version-2",
            "a blob of version 2",
            file.clone(),
            [&[2], right.get(1..).unwrap_or_default()].concat(),
            DOMAIN,
        ),
        (
            "flipped-key",
            "one bit of the encapsulated key",
            file.clone(),
            flipped(7),
            DOMAIN,
        ),
        (
            "flipped-tag",
            "one bit of the tag",
            file.clone(),
            flipped(80),
            DOMAIN,
        ),
        (
            "zero-key",
            "an encapsulated key of small order",
            file.clone(),
            zero,
            DOMAIN,
        ),
        (
            "truncated",
            "the last byte missing",
            file.clone(),
            right.get(..80).unwrap_or_default().to_vec(),
            DOMAIN,
        ),
        (
            "longer",
            "one byte more",
            file.clone(),
            [&right[..], &[0]].concat(),
            DOMAIN,
        ),
        (
            "two-words",
            "a deployment id of two words",
            file.replacen(DEPLOYMENT, "two words", 1),
            right.clone(),
            DOMAIN,
        ),
        (
            "no-sender",
            "a file without a sender",
            file.replacen(&format!(" {sender_public}"), "", 1),
            right.clone(),
            DOMAIN,
        ),
    ] {
        vectors.push(vector(name, comment, &file, &blob, domain).fails("record", 0));
    }
    Ok(vectors)
}
