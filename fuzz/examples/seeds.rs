//! Writes the seeds that are sealed or signed with the secrets of this package into `seeds/`: `cargo run --example seeds`; with
//! `--no-default-features` those of `sealgate-envelope` alone.

use std::error::Error;
use std::fs;
use std::path::Path;

use sealgate_envelope::commit::{CommitPart, CommitRecord};
use sealgate_envelope::header::{HeaderBuilder, HeaderKey, SealedHeader};
use sealgate_envelope::layout::MINIMUM_PART_LENGTH;
use sealgate_envelope::object::{Body, PartId};
use sealgate_envelope::records::{
    EtagHash, PartLocation, PartRecord, RegistryRecord, UploadRecord,
};
use sealgate_envelope::{AttemptId, KeyReference, Place, Provider, Wrap};
use sealgate_fuzz::{
    CountingRandom, UPLOAD_ID, domain, object, object_with_id, upload, working_key,
};

/// A point in time, in milliseconds since 1970.
const CREATED: u64 = 1_767_225_600_000;

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name), bytes)?)
}

fn wraps() -> Result<Vec<Wrap>, Box<dyn Error>> {
    let wrap = |provider, name, length| -> Result<Wrap, Box<dyn Error>> {
        Ok(Wrap::new(
            provider,
            KeyReference::of(provider, name)?,
            vec![0x77; length],
        )?)
    };
    Ok(vec![
        wrap(Provider::AwsKms, "key-1", 40)?,
        wrap(Provider::Recovery, "key-2", 1)?,
    ])
}

fn header(body: Body, wraps: &[Wrap]) -> Result<SealedHeader, Box<dyn Error>> {
    let (id, key) = working_key();
    let (domain, key) = (
        domain(),
        HeaderKey {
            id,
            key: &key,
            wraps,
        },
    );
    let builder = HeaderBuilder::new(Place::new(&domain, "folder/object")?, key, CREATED);
    Ok(builder.seal(body, &mut CountingRandom::default())?)
}

/// What the target reads before the suffix: the kind of the object and its plaintext length.
fn commit_seed(multipart: bool, plaintext_length: u64, suffix: &[u8]) -> Vec<u8> {
    [
        &[u8::from(multipart)][..],
        &plaintext_length.to_le_bytes(),
        suffix,
    ]
    .concat()
}

/// Requests for grants with what becomes of them, and the checkpoints of a log.
#[cfg(feature = "gateway")]
fn write_documents() -> Result<(), Box<dyn Error>> {
    use sealgate_fuzz::documents;

    let approval = documents::approval(1);
    for (name, text) in [
        ("request", documents::request_text()),
        ("grant", documents::grant().to_text()?),
        ("record", documents::record().to_text()?),
        ("revocations-1", documents::revocation_list(1).to_text()?),
        ("revocations-2", documents::revocation_list(2).to_text()?),
        (
            "approval",
            format!(
                r#"{{ "key": "{}", "signature": "{}" }}"#,
                approval.key, approval.signature
            ),
        ),
    ] {
        write("grant_documents", name, text)?;
    }
    let checkpoint = documents::checkpoint();
    let line = sealgate_audit::history::write(&checkpoint)?;
    write("audit_records", "history", line)?;
    write("audit_records", "note-checkpoint", checkpoint.to_string())?;
    write("audit_records", "text-checkpoint", checkpoint.text())?;
    let cosigned = documents::cosigned_checkpoint().to_string();
    write("audit_records", "note-cosigned", cosigned)
}

fn main() -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "gateway")]
    write_documents()?;
    let wraps = wraps()?;
    let plaintext_length = 1_000;
    for (name, body, count) in [
        ("single", Body::Single { plaintext_length }, 1),
        ("verified", Body::Verified { plaintext_length }, 2),
        ("multipart", Body::Multipart, 2),
    ] {
        let header = header(body, &wraps[..count])?.header;
        write("header", name, header.as_bytes())?;
        write("header", &format!("{name}-text"), header.to_text())?;
    }

    let single = object(Body::Single { plaintext_length });
    let region = CommitRecord::single(&single, None)?.seal_region(&single)?;
    write(
        "commit_record",
        "single",
        commit_seed(false, plaintext_length, &region),
    )?;
    write(
        "commit_record",
        "tail",
        commit_seed(false, plaintext_length, &region[region.len() - 8..]),
    )?;
    let multipart = object(Body::Multipart);
    let part = |number, plaintext_length| -> Result<CommitPart, Box<dyn Error>> {
        let id = PartId::multipart(number, AttemptId::from_bytes([0x55; 16]))?;
        Ok(CommitPart {
            id,
            plaintext_length,
            checksum: None,
        })
    };
    let parts = vec![part(1, MINIMUM_PART_LENGTH)?, part(7, 12)?];
    let region =
        CommitRecord::new(&multipart, parts, Some(upload()), None)?.seal_region(&multipart)?;
    write(
        "commit_record",
        "multipart",
        commit_seed(true, MINIMUM_PART_LENGTH + 12, &region),
    )?;

    let (id, key) = working_key();
    let domain = domain();
    let registry = RegistryRecord {
        id,
        created: CREATED,
        domain,
        wraps: wraps.clone(),
    };
    write("registry_record", "two-wraps", registry.encode(&key)?)?;

    let header = header(Body::Multipart, &wraps)?.header;
    let sealing = object_with_id(header.object_id(), Body::Multipart);
    let record = UploadRecord {
        created: CREATED,
        checksum: None,
        bucket: "bucket".to_owned(),
        object_key: "folder/object".to_owned(),
        upload_id: UPLOAD_ID.to_owned(),
        header,
    };
    write(
        "upload_record",
        "without-checksum",
        record.encode(&sealing)?,
    )?;

    for (name, location) in [
        (
            "upstream",
            PartLocation::Upstream(EtagHash::of("5d41402abc4b2a76b9719d911017c592")),
        ),
        ("stash", PartLocation::Stash),
    ] {
        let id = PartId::multipart(7, AttemptId::from_bytes([0x55; 16]))?;
        let record = PartRecord {
            id,
            plaintext_length,
            crc64nvme: 1,
            location,
            checksum: None,
        };
        let text = record.seal_name(&multipart, upload(), &mut CountingRandom::default())?;
        write("part_record_name", name, text)?;
    }
    Ok(())
}
