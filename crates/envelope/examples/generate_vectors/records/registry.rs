//! Registry records.

use data_encoding::HEXLOWER;
use sealgate_envelope::domain::Domain;
use sealgate_envelope::records::{RegistryRecord, registry_name};
use sealgate_envelope::{KeyReference, Provider, WorkingKey, WorkingKeyId, Wrap};
use serde_json::{Value, json};

use crate::Outcome;
use crate::forge::{expand, label, mac, prefixed, wrap};
use crate::samples::aws_wrap;
use crate::seeded::Seeded;
use crate::vector::Vector;

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

pub(super) fn vectors() -> Outcome<Vec<Value>> {
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
    vectors.extend(forged()?);
    Ok(vectors)
}

/// Makes a record of a key, a right start and a right wrap.
type Make = fn(&Registered, [u8; 8], &[u8]) -> Outcome<Vec<u8>>;

fn forged() -> Outcome<Vec<Value>> {
    let start = *b"SGWK\x01\0\0\0";
    let one = [vec![1], wrap(1, &[1; 40])].concat();
    let mut vectors = Vec::new();
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
