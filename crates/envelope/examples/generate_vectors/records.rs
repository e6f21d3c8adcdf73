//! Records of the state bucket.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sealgate_envelope::checksum::{Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumType};
use sealgate_envelope::domain::Domain;
use sealgate_envelope::object::{Body, PartId};
use sealgate_envelope::records::{
    EtagHash, PartLocation, PartRecord, RegistryRecord, UploadRecord, registry_name, stash_name,
};
use sealgate_envelope::{
    AttemptId, KeyReference, Provider, Suite, UploadHash, WorkingKey, WorkingKeyId, Wrap,
};
use serde_json::{Value, json};

use crate::Outcome;
use crate::forge::{Forge, expand, label, mac, prefixed, seal, wrap};
use crate::samples::{Sample, SealedSample, aws_wrap};
use crate::seeded::Seeded;
use crate::vector::Vector;

const UPLOAD_ID: &str = "upload.id/of the+storage~é";

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = upload_records()?;
    vectors.extend(forged_upload_records()?);
    vectors.extend(part_records()?);
    vectors.extend(registry_records()?);
    Ok(vectors)
}

fn multipart(name: &str, suite: Suite) -> Outcome<SealedSample> {
    Sample::new(name, suite, Body::Multipart)?.seal()
}

fn upload_vector(sealed: &SealedSample, name: &str, comment: &str, record: &[u8]) -> Vector {
    Vector::new("upload-record", name, comment)
        .working_keys(&[(sealed.working_key_id, sealed.working_key)])
        .with("domain", sealed.sample.domain.clone())
        .with("object_key", sealed.sample.object_key.clone())
        .base64("record", record)
}

fn upload_records() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    let mut right = None;
    for suite in Suite::ALL {
        for (what, checksum) in [
            ("without-checksum", None),
            (
                "with-checksum",
                Some(ChecksumKind {
                    algorithm: ChecksumAlgorithm::Sha1,
                    r#type: ChecksumType::Composite,
                }),
            ),
        ] {
            let name = format!("upload-{what}-suite-{}", suite.code());
            let sealed = multipart(&name, suite)?;
            let record = UploadRecord {
                created: 1_764_000_000_999,
                checksum,
                bucket: "bucket".to_owned(),
                object_key: sealed.sample.object_key.clone(),
                upload_id: UPLOAD_ID.to_owned(),
                header: sealed.header.clone(),
            };
            let bytes = record.encode(&sealed.secrets)?;
            vectors.push(
                upload_vector(&sealed, &name, "the record of an open upload", &bytes)
                    .with("bucket", record.bucket)
                    .with("upload_id", UPLOAD_ID)
                    .with("created", record.created)
                    .with(
                        "checksum_algorithm",
                        checksum.map_or(0, |kind| kind.algorithm.code()),
                    )
                    .with(
                        "checksum_type",
                        checksum.map_or(0, |kind| kind.r#type.code()),
                    )
                    .opens(),
            );
            right = Some((sealed, bytes));
        }
    }
    let (sealed, right) = right.ok_or("no upload record")?;
    for (name, position) in [
        ("magic", 0),
        ("version", 4),
        ("reserved", 7),
        ("created", 15),
        ("algorithm", 16),
        ("type", 17),
        ("bucket", 22),
        ("object-key", 32),
        ("mac", right.len() - 1),
    ] {
        let mut altered = right.clone();
        if let Some(byte) = altered.get_mut(position) {
            *byte ^= 1;
        }
        vectors.push(
            upload_vector(
                &sealed,
                &format!("upload-altered-{name}"),
                "one bit altered",
                &altered,
            )
            .fails("record", 0),
        );
    }
    vectors.push(
        upload_vector(
            &sealed,
            "upload-truncated",
            "the last byte missing",
            right.get(..right.len() - 1).unwrap_or_default(),
        )
        .fails("record", 0),
    );
    vectors.push(upload_vector(&sealed, "upload-empty", "nothing", &[]).fails("record", 0));
    vectors.push(
        upload_vector(
            &sealed,
            "upload-byte-behind",
            "a byte behind the MAC",
            &[&right[..], &[0]].concat(),
        )
        .fails("record", 0),
    );
    vectors.push(
        upload_vector(
            &sealed,
            "upload-of-another-domain",
            "the record of another domain",
            &right,
        )
        .with("domain", "other")
        .fails("record", 0),
    );
    Ok(vectors)
}

/// Records whose MAC is right, but which break a rule.
fn forged_upload_records() -> Outcome<Vec<Value>> {
    let forge = Forge {
        flags: 1,
        length: u64::MAX,
        ..Forge::new("forged upload", 0)
    };
    let single = Forge {
        flags: 0,
        length: 5,
        ..forge.clone()
    };
    let other_key = Forge {
        object_key: "another".to_owned(),
        ..forge.clone()
    };
    let record =
        |start: [u8; 8], kind: [u8; 2], header: &[u8], excess: &[u8]| -> Outcome<Vec<u8>> {
            let bytes = [
                &start[..],
                &5u64.to_be_bytes(),
                &kind,
                &prefixed(b"bucket"),
                &prefixed(forge.object_key.as_bytes()),
                &prefixed(UPLOAD_ID.as_bytes()),
                &prefixed(header),
                excess,
            ]
            .concat();
            let mac = mac(&forge.key("upload", &[])?, &bytes)?;
            Ok([&bytes[..], &mac].concat())
        };
    let start = *b"SGUP\x01\0\0\0";
    let header = forge.header()?;
    let vector = |name: &str, comment: &str, record: &[u8]| {
        Vector::new("upload-record", name, comment)
            .working_keys(&[(forge.working_key_id, forge.working_key)])
            .with("domain", forge.domain.clone())
            .with("object_key", forge.object_key.clone())
            .base64("record", record)
    };
    let mut vectors = vec![
        vector(
            "upload-forged",
            "made by the second writer, with every rule kept",
            &record(start, [0, 0], &header, &[])?,
        )
        .with("bucket", "bucket")
        .with("upload_id", UPLOAD_ID)
        .with("created", 5)
        .with("checksum_algorithm", 0)
        .with("checksum_type", 0)
        .opens(),
    ];
    for (name, comment, bytes) in [
        (
            "single-header",
            "the header of a single object",
            record(start, [0, 0], &single.header()?, &[])?,
        ),
        (
            "header-of-another-key",
            "a header bound to another key",
            record(start, [0, 0], &other_key.header()?, &[])?,
        ),
        (
            "version-2",
            "version 2",
            record(*b"SGUP\x02\0\0\0", [0, 0], &header, &[])?,
        ),
        (
            "reserved",
            "a reserved byte that is not zero",
            record(*b"SGUP\x01\0\0\x01", [0, 0], &header, &[])?,
        ),
        (
            "algorithm-11",
            "an unknown checksum algorithm",
            record(start, [11, 1], &header, &[])?,
        ),
        (
            "algorithm-without-type",
            "a checksum algorithm without a type",
            record(start, [1, 0], &header, &[])?,
        ),
        (
            "excess",
            "a byte between header and MAC",
            record(start, [0, 0], &header, &[0])?,
        ),
        (
            "over-limit",
            "more than 65,536 bytes",
            record(start, [0, 0], &header, &vec![0; 65_536])?,
        ),
    ] {
        vectors.push(
            vector(
                &format!("upload-forged-{name}"),
                &format!("{comment}; the MAC is right"),
                &bytes,
            )
            .fails("record", 0),
        );
    }
    Ok(vectors)
}

fn part_vector(sealed: &SealedSample, name: &str, comment: &str, path: &str) -> Vector {
    // The schema's field `name` is the record's name here, so the vector's own goes in front of its comment.
    Vector::new("part-record", path, &format!("{name}: {comment}"))
        .working_keys(&[(sealed.working_key_id, sealed.working_key)])
        .with("domain", sealed.sample.domain.clone())
        .with("object_key", sealed.sample.object_key.clone())
        .with("header", sealed.header.to_text())
        .with("upload_id", UPLOAD_ID)
}

fn part_records() -> Outcome<Vec<Value>> {
    let upload = UploadHash::of(UPLOAD_ID);
    let mut vectors = Vec::new();
    let mut right = None;
    let mut random = Seeded::new("part records");
    for suite in Suite::ALL {
        let sealed = multipart(&format!("part-records-{}", suite.code()), suite)?;
        for (number, length, location, algorithm) in [
            (
                1,
                5_242_880,
                PartLocation::Upstream(EtagHash::of("\"0123456789abcdef0123456789abcdef\"")),
                None,
            ),
            (77, 0, PartLocation::Stash, Some(ChecksumAlgorithm::Crc32)),
            (
                10_000,
                1 << 45,
                PartLocation::Stash,
                Some(ChecksumAlgorithm::Sha512),
            ),
            (
                9_999,
                6_000_000,
                PartLocation::Upstream(EtagHash::of("etag")),
                Some(ChecksumAlgorithm::XxHash128),
            ),
        ] {
            let checksum = algorithm
                .map(|algorithm| {
                    Checksum::new(
                        algorithm,
                        random
                            .array::<64>()
                            .into_iter()
                            .take(algorithm.width())
                            .collect(),
                    )
                })
                .transpose()?;
            let record = PartRecord {
                id: PartId::multipart(number, AttemptId::from_bytes(random.array()))?,
                plaintext_length: length,
                crc64nvme: u64::from_be_bytes(random.array()),
                location,
                checksum: checksum.clone(),
            };
            let path = record.seal_name(&sealed.secrets, upload, &mut random)?;
            let (stashed, etag) = match location {
                PartLocation::Upstream(etag) => (0, *etag.as_bytes()),
                PartLocation::Stash => (1, [0; 32]),
            };
            vectors.push(
                part_vector(&sealed, "part", "a part record", &path)
                    .with("number", number)
                    .with("attempt", record.id.attempt().to_string())
                    .with("length", length)
                    .with("crc64nvme", record.crc64nvme.to_string())
                    .with("stashed", stashed == 1)
                    .hex("etag_sha256", &etag)
                    .with(
                        "checksum_algorithm",
                        algorithm.map_or(0, ChecksumAlgorithm::code),
                    )
                    .with(
                        "checksum",
                        checksum
                            .map_or(String::new(), |checksum| HEXLOWER.encode(checksum.value())),
                    )
                    .opens(),
            );
            right = Some((sealed.clone(), record.id, path));
        }
    }
    let (sealed, id, path) = right.ok_or("no part record")?;
    let text = path.rsplit('/').next().ok_or("no text")?.to_owned();
    let with_text = |text: &str| {
        format!(
            "{}{text}",
            path.strip_suffix(path.rsplit('/').next().unwrap_or_default())
                .unwrap_or_default()
        )
    };
    let attempt = id.attempt().to_string();
    for (name, comment, path) in [
        (
            "part-other-upload",
            "moved to another upload",
            path.replace(&upload.to_string(), &UploadHash::of("x").to_string()),
        ),
        (
            "part-other-number",
            "moved to another number",
            path.replace("/09999/", "/09998/"),
        ),
        (
            "part-other-attempt",
            "moved to another attempt",
            path.replace(&attempt, &"0".repeat(32)),
        ),
        (
            "part-number-0",
            "number 0",
            path.replace("/09999/", "/00000/"),
        ),
        (
            "part-number-10001",
            "number 10,001",
            path.replace("/09999/", "/10001/"),
        ),
        (
            "part-number-short",
            "four digits",
            path.replace("/09999/", "/9999/"),
        ),
        (
            "part-number-sign",
            "a sign",
            path.replace("/09999/", "/+9999/"),
        ),
        (
            "part-upper-case",
            "base32 in upper case",
            with_text(&text.to_uppercase()),
        ),
        (
            "part-padded",
            "base32 padding",
            with_text(&format!("{text}===")),
        ),
        (
            "part-truncated",
            "eight characters missing",
            with_text(text.get(..text.len() - 8).unwrap_or_default()),
        ),
        ("part-empty", "no record", with_text("")),
        (
            "part-flipped",
            "one character altered",
            with_text(
                &text
                    .chars()
                    .enumerate()
                    .map(|(index, letter)| {
                        if index == 30 {
                            if letter == 'a' { 'b' } else { 'a' }
                        } else {
                            letter
                        }
                    })
                    .collect::<String>(),
            ),
        ),
        (
            "part-in-stash",
            "the name of a stash",
            stash_name(upload, id),
        ),
        (
            "part-deeper",
            "a path segment too many",
            format!("{path}/x"),
        ),
    ] {
        vectors.push(part_vector(&sealed, name, comment, &path).fails("record", 0));
    }
    // Sealed by the second writer, breaking a rule.
    let etag = [7; 32];
    let plaintext =
        |stashed: u8, etag: [u8; 32], rest: &[u8]| [&[0; 16][..], &[stashed], &etag, rest].concat();
    for (name, comment, plaintext) in [
        (
            "part-forged-stashed-2",
            "neither in the stash nor not",
            plaintext(2, [0; 32], &[0]),
        ),
        (
            "part-forged-etag-of-stash",
            "in the stash, with an ETag",
            plaintext(1, etag, &[0]),
        ),
        (
            "part-forged-algorithm",
            "an unknown algorithm",
            plaintext(0, etag, &[11]),
        ),
        (
            "part-forged-width",
            "a checksum that is too short",
            plaintext(0, etag, &[5, 1, 2, 3]),
        ),
        (
            "part-forged-excess",
            "a byte too many",
            plaintext(0, etag, &[0, 0]),
        ),
    ] {
        let suite = sealed.sample.suite.code();
        let part_label = label(suite, "part-rec");
        let key = expand(&sealed.data_key, &part_label)?;
        let nonce: [u8; 12] = random.array();
        let aad = [
            &part_label[..],
            sealed.secrets.object_id().as_bytes(),
            upload.as_bytes(),
            &id.number().to_be_bytes(),
            id.attempt().as_bytes(),
        ]
        .concat();
        let bytes = [&nonce[..], &seal(suite, &key, nonce, &aad, &plaintext)?].concat();
        let path = with_text(&BASE32_NOPAD.encode(&bytes).to_lowercase());
        vectors.push(
            part_vector(
                &sealed,
                name,
                &format!("{comment}; the record opens"),
                &path,
            )
            .fails("record", 0),
        );
    }
    Ok(vectors)
}

/// A working key of its own for every vector, since the record's name is the vector's.
struct Registered {
    id: [u8; 16],
    key: [u8; 32],
}

const DOMAIN: &str = "deployment/bucket";

impl Registered {
    fn new(seed: &str) -> Self {
        let mut random = Seeded::new(&format!("registry record {seed}"));
        Self {
            id: random.array(),
            key: random.array(),
        }
    }

    fn vector(&self, what: &str, comment: &str, record: &[u8]) -> Vector {
        let name = registry_name(WorkingKeyId::from_bytes(self.id));
        Vector::new("registry-record", &name, &format!("{what}: {comment}"))
            .working_keys(&[(self.id, self.key)])
            .with("domain", DOMAIN)
            .base64("record", record)
    }

    fn record(&self, wraps: Vec<Wrap>) -> Outcome<RegistryRecord> {
        Ok(RegistryRecord {
            id: WorkingKeyId::from_bytes(self.id),
            created: 1_764_000_000_000,
            domain: Domain::new(DOMAIN)?,
            wraps,
        })
    }

    fn right(&self) -> Outcome<Vec<u8>> {
        Ok(self
            .record(vec![aws_wrap(1)?])?
            .encode(&WorkingKey::from_bytes(self.key))?)
    }

    /// A record with a right MAC over anything.
    fn forged(&self, start: [u8; 8], id: [u8; 16], domain: &str, wraps: &[u8]) -> Outcome<Vec<u8>> {
        let bytes = [
            &start[..],
            &id,
            &5u64.to_be_bytes(),
            &prefixed(domain.as_bytes()),
            wraps,
        ]
        .concat();
        let mac = mac(&expand(&self.key, &label(0, "registry"))?, &bytes)?;
        Ok([&bytes[..], &mac].concat())
    }
}

fn registry_records() -> Outcome<Vec<Value>> {
    let second = Wrap::new(
        Provider::VaultTransit,
        KeyReference::from_bytes([3; 8]),
        b"vault:v1:abc".to_vec(),
    )?;
    let mut vectors = Vec::new();
    for (what, wraps) in [
        ("one-wrap", vec![aws_wrap(1)?]),
        ("sixteen-wraps", vec![second.clone(); 16]),
        ("two-wraps", vec![aws_wrap(1)?, second]),
    ] {
        let registered = Registered::new(what);
        let record = registered.record(wraps)?;
        let bytes = record.encode(&WorkingKey::from_bytes(registered.key))?;
        let wraps: Vec<Value> = record
            .wraps
            .iter()
            .map(|wrap| json!({"provider": wrap.provider().code(), "key_reference": wrap.key_reference().to_string(), "blob": HEXLOWER.encode(wrap.blob())}))
            .collect();
        vectors.push(
            registered
                .vector(what, "the record of a working key", &bytes)
                .with("wk_id", HEXLOWER.encode(&registered.id))
                .with("created", record.created)
                .with("wraps", wraps)
                .opens(),
        );
    }
    for (what, position) in [
        ("magic", 0),
        ("version", 4),
        ("reserved", 5),
        ("wk-id", 8),
        ("created", 31),
        ("domain", 36),
        ("blob", 150),
        ("mac", 275),
    ] {
        let registered = Registered::new(what);
        let mut altered = registered.right()?;
        let length = altered.len();
        *altered
            .get_mut(position)
            .ok_or(format!("the record has only {length} bytes"))? ^= 1;
        vectors.push(
            registered
                .vector(&format!("altered-{what}"), "one bit altered", &altered)
                .fails("record", 0),
        );
    }
    vectors.extend(forged_registry_records()?);
    Ok(vectors)
}

fn forged_registry_records() -> Outcome<Vec<Value>> {
    let start = *b"SGWK\x01\0\0\0";
    let one = [vec![1], wrap(1, &[1; 40])].concat();
    let mut vectors = Vec::new();
    type Make = fn(&Registered, [u8; 8], &[u8]) -> Outcome<Vec<u8>>;
    let makers: [(&str, &str, Make); 11] = [
        ("truncated", "the last byte missing", |of, _, _| {
            let right = of.right()?;
            Ok(right.get(..right.len() - 1).unwrap_or_default().to_vec())
        }),
        ("empty", "nothing", |_, _, _| Ok(Vec::new())),
        ("byte-behind", "a byte behind the MAC", |of, _, _| {
            Ok([&of.right()?[..], &[0]].concat())
        }),
        (
            "forged-other-id",
            "the identifier is not that of the name; the MAC is right",
            |of, start, one| of.forged(start, [1; 16], DOMAIN, one),
        ),
        (
            "forged-other-domain",
            "another domain; the MAC is right",
            |of, start, one| of.forged(start, of.id, "deployment/other", one),
        ),
        (
            "forged-version",
            "version 2; the MAC is right",
            |of, _, one| of.forged(*b"SGWK\x02\0\0\0", of.id, DOMAIN, one),
        ),
        (
            "forged-no-wraps",
            "no wraps; the MAC is right",
            |of, start, _| of.forged(start, of.id, DOMAIN, &[0]),
        ),
        (
            "forged-17-wraps",
            "17 wraps; the MAC is right",
            |of, start, _| {
                of.forged(
                    start,
                    of.id,
                    DOMAIN,
                    &[vec![17], wrap(1, &[1; 40]).repeat(17)].concat(),
                )
            },
        ),
        (
            "forged-excess",
            "a byte behind the wraps; the MAC is right",
            |of, start, one| of.forged(start, of.id, DOMAIN, &[one, &[0]].concat()),
        ),
        (
            "forged-1000-wraps",
            "1,000 wraps; the MAC is right",
            |of, start, _| {
                of.forged(
                    start,
                    of.id,
                    DOMAIN,
                    &[vec![255], wrap(1, &[1; 6]).repeat(1_000)].concat(),
                )
            },
        ),
        (
            "forged-over-limit",
            "more than 65,536 bytes; the MAC is right",
            |of, start, one| of.forged(start, of.id, DOMAIN, &[one, &vec![0; 65_536]].concat()),
        ),
    ];
    for (what, comment, make) in makers {
        let registered = Registered::new(what);
        let record = make(&registered, start, &one)?;
        vectors.push(registered.vector(what, comment, &record).fails("record", 0));
    }
    let registered = Registered::new("no-key");
    let record = registered.right()?;
    vectors.push(
        registered
            .vector("no-key", "the reader has no such working key", &record)
            .working_keys(&[])
            .fails("record", 0),
    );
    let registered = Registered::new("wrong-key");
    let record = registered.right()?;
    let wrong = [(registered.id, [5; 32])];
    vectors.push(
        registered
            .vector("wrong-key", "another key under this identifier", &record)
            .working_keys(&wrong)
            .fails("record", 0),
    );
    Ok(vectors)
}
