//! Objects that the library sealed, from which vectors are made.

use sealgate_envelope::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use sealgate_envelope::commit::{CommitPart, CommitRecord, ObjectChecksum};
use sealgate_envelope::header::{Carrier, Header, HeaderBuilder, HeaderKey};
use sealgate_envelope::layout::sealed_length;
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{
    AttemptId, Domain, KeyReference, Place, Provider, Random, Suite, UploadHash, WorkingKey,
    WorkingKeyId, Wrap,
};

use crate::Outcome;
use crate::pattern::{RecipeNonces, pattern};
use crate::seeded::Seeded;
use crate::vector::Vector;

/// What to seal.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) seed: String,
    pub(crate) suite: Suite,
    pub(crate) body: Body,
    pub(crate) metadata: Metadata,
    pub(crate) domain: String,
    pub(crate) object_key: String,
    pub(crate) created: u64,
    pub(crate) wraps: Vec<Wrap>,
    pub(crate) carrier: Carrier,
}

impl Sample {
    pub(crate) fn new(seed: &str, suite: Suite, body: Body) -> Outcome<Self> {
        let mut metadata = Metadata::new();
        metadata.insert("content-type", "text/plain; charset=utf-8")?;
        metadata.insert_user("owner", "somebody")?;
        Ok(Self {
            seed: seed.to_owned(),
            suite,
            body,
            metadata,
            domain: "deployment/bucket".to_owned(),
            object_key: "folder/a key with ümlaut".to_owned(),
            created: 1_764_000_000_123,
            wraps: vec![aws_wrap(0x11)?],
            carrier: Carrier::Object,
        })
    }

    /// Seals the header.
    pub(crate) fn seal(self) -> Outcome<SealedSample> {
        let mut keys = Seeded::new(&format!("keys {}", self.seed));
        let (id, key): ([u8; 16], [u8; 32]) = (keys.array(), keys.array());
        let mut random = Seeded::new(&self.seed);
        let data_key = random.clone().array();
        let domain = Domain::new(self.domain.clone())?;
        let sealing_key = HeaderKey {
            id: WorkingKeyId::from_bytes(id),
            key: &WorkingKey::from_bytes(key),
            wraps: &self.wraps,
        };
        let place = if self.object_key.is_empty() {
            Place::file(&domain)
        } else {
            Place::new(&domain, &self.object_key)?
        };
        let sealed = HeaderBuilder::new(place, sealing_key, self.created)
            .metadata(self.metadata.clone())
            .suite(self.suite)
            .carrier(self.carrier)
            .seal(self.body, &mut random)?;
        Ok(SealedSample {
            sample: self,
            working_key_id: id,
            working_key: key,
            data_key,
            header: sealed.header,
            secrets: sealed.secrets,
        })
    }
}

/// A wrap as AWS KMS makes it: 184 bytes.
pub(crate) fn aws_wrap(fill: u8) -> Outcome<Wrap> {
    let reference = KeyReference::of(
        Provider::AwsKms,
        "arn:aws:kms:eu-central-1:111122223333:key/vectors",
    )?;
    Ok(Wrap::new(Provider::AwsKms, reference, vec![fill; 184])?)
}

/// A header, and all that is needed to seal a body.
#[derive(Clone)]
pub(crate) struct SealedSample {
    pub(crate) sample: Sample,
    pub(crate) working_key_id: [u8; 16],
    pub(crate) working_key: [u8; 32],
    pub(crate) data_key: [u8; 32],
    pub(crate) header: Header,
    pub(crate) secrets: ObjectSecrets,
}

impl SealedSample {
    /// Seals plaintext of the pattern, beginning at byte `start` of the object, as one part.
    pub(crate) fn part<R: Random>(
        &self,
        id: PartId,
        start: u64,
        length: u64,
        random: R,
    ) -> Outcome<Vec<u8>> {
        let mut buffer = Vec::new();
        let mut sealer = Sealer::with_random(&self.secrets, id, random)?;
        sealer.push(&pattern(start, length), &mut buffer)?;
        sealer.finish(&mut buffer)?;
        Ok(buffer)
    }

    /// The whole body of an object that is one part of the pattern.
    pub(crate) fn single_body(&self) -> Outcome<Vec<u8>> {
        let length = self
            .sample
            .body
            .plaintext_length()
            .ok_or("the sample is multipart")?;
        let id = PartId::single(self.secrets.object_id());
        let mut body = self.part(id, 0, length, RecipeNonces::new(0))?;
        body.extend(CommitRecord::single(&self.secrets, None)?.seal_region(&self.secrets)?);
        Ok(body)
    }

    /// The fields of an object vector that do not depend on its body.
    pub(crate) fn vector(&self, name: &str, comment: &str) -> Vector {
        Vector::new("object", name, comment)
            .working_keys(&[(self.working_key_id, self.working_key)])
            .with("domain", self.sample.domain.clone())
            .with("object_key", self.sample.object_key.clone())
            .with("header", self.header.to_text())
    }

    /// What a reader must find in the header.
    pub(crate) fn expected(&self, vector: Vector) -> Vector {
        let metadata: serde_json::Map<String, serde_json::Value> = self
            .sample
            .metadata
            .iter()
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    data_encoding::HEXLOWER.encode(value).into(),
                )
            })
            .collect();
        let flags = match self.sample.body {
            Body::Single { .. } => 0,
            Body::Multipart => 1,
            Body::Verified { .. } => 2,
        };
        vector
            .with("metadata", metadata)
            .with("created", self.sample.created)
            .with("suite", self.sample.suite.code())
            .with("flags", flags)
    }
}

/// The parts of a recipe: number and length each. The attempt follows from number and seed.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) sealed: SealedSample,
    pub(crate) upload_id: Option<&'static str>,
    pub(crate) checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    pub(crate) parts: Vec<(u16, u64)>,
}

impl Recipe {
    fn id(&self, number: u16) -> Outcome<PartId> {
        if number == 0 {
            return Ok(PartId::single(self.sealed.secrets.object_id()));
        }
        let seed = format!("attempt {} {number}", self.sealed.sample.seed);
        Ok(PartId::multipart(
            number,
            AttemptId::from_bytes(Seeded::new(&seed).array()),
        )?)
    }

    /// A checksum value: any bytes, since nobody computes them here.
    fn value(&self, of: &str) -> Outcome<Option<Checksum>> {
        let Some((algorithm, _)) = self.checksum else {
            return Ok(None);
        };
        let bytes: [u8; 64] = Seeded::new(&format!("checksum {of}")).array();
        let value = bytes.into_iter().take(algorithm.width()).collect();
        Ok(Some(Checksum::new(algorithm, value)?))
    }

    pub(crate) fn record(&self) -> Outcome<CommitRecord> {
        let parts = self
            .parts
            .iter()
            .map(|(number, length)| {
                Ok(CommitPart {
                    id: self.id(*number)?,
                    plaintext_length: *length,
                    checksum: self.value(&format!("of part {number}"))?,
                })
            })
            .collect::<Outcome<_>>()?;
        let checksum = self
            .checksum
            .zip(self.value("of the object")?)
            .map(|((_, r#type), checksum)| ObjectChecksum { checksum, r#type });
        let upload = self.upload_id.map(UploadHash::of);
        Ok(CommitRecord::new(
            &self.sealed.secrets,
            parts,
            upload,
            checksum,
        )?)
    }

    /// Segments, part by part.
    pub(crate) fn sealed_parts(&self) -> Outcome<Vec<Vec<u8>>> {
        let mut start = 0;
        self.parts
            .iter()
            .map(|(number, length)| {
                let sealed = self.sealed.part(
                    self.id(*number)?,
                    start,
                    *length,
                    RecipeNonces::new(*number),
                )?;
                start += length;
                Ok(sealed)
            })
            .collect()
    }

    pub(crate) fn body(&self) -> Outcome<Vec<u8>> {
        let mut body = self.sealed_parts()?.concat();
        body.extend(self.record()?.seal_region(&self.sealed.secrets)?);
        if Some(body.len() as u64) != sealed_length(self.length()) {
            return Err("the body does not have the length C(P)".into());
        }
        Ok(body)
    }

    pub(crate) fn length(&self) -> u64 {
        self.parts.iter().map(|(_, length)| length).sum()
    }
}
