//! Objects and files: read as a whole, in order, by section 11.

use std::io::{Cursor, Read};

use data_encoding::HEXLOWER;
use sealgate_envelope::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use sealgate_envelope::commit::{
    CommitPart, CommitRecord, CommitSearch, ObjectChecksum, first_suffix_length,
};
use sealgate_envelope::header::{Header, OpenedHeader};
use sealgate_envelope::io::SealedFile;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::parts::ObjectLayout;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{AttemptId, Backend, DataKey, Domain, Error, Place, UploadHash};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::fields::Fields;
use crate::pattern::{RecipeNonces, pattern};

/// The right plaintext: what a vector that opens names, or the pattern.
fn check_plaintext(vector: &Value, released: &[u8]) {
    if let Some(text) = vector["plaintext"]["hex"].as_str() {
        assert_eq!(HEXLOWER.encode(released), text);
    } else {
        assert!(
            released == pattern(0, released.len() as u64),
            "{}: wrong plaintext",
            vector.text("name")
        );
    }
}

fn check_opened(vector: &Value, header: &OpenedHeader, released: &[u8]) {
    check_plaintext(vector, released);
    if let Some(length) = vector["plaintext"]["pattern"].as_u64() {
        assert_eq!(released.len() as u64, length);
    }
    let metadata: Vec<(String, String)> = header
        .metadata()
        .iter()
        .map(|(name, value)| (name.to_owned(), HEXLOWER.encode(value)))
        .collect();
    let expected: Vec<(String, String)> = vector["metadata"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(metadata, expected);
    assert_eq!(header.created(), vector.number("created"));
    assert_eq!(
        u64::from(header.secrets().suite().code()),
        vector.number("suite")
    );
    let flags = match header.body() {
        Body::Single { .. } => 0,
        Body::Multipart => 1,
        Body::Verified { .. } => 2,
    };
    assert_eq!(flags, vector.number("flags"));
}

fn open_header(vector: &Value, backend: Backend) -> Result<OpenedHeader, Error> {
    let values: Vec<&str> = match &vector["header"] {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap()).collect(),
        value => vec![value.as_str().unwrap()],
    };
    let header = Header::from_metadata_values(values)?;
    let domain = Domain::new(vector.text("domain"))?;
    let place = Place::new(&domain, vector.text("object_key"))?;
    let opened = header.open_with(
        &vector.working_key(header.working_key_id())?,
        place,
        backend,
    )?;
    if let Some(recipe) = vector.get("recipe") {
        let data_key = DataKey::from_slice(&recipe.hex("dek")).unwrap();
        let rebuilt =
            ObjectSecrets::new(data_key, header.suite(), header.object_id(), header.body());
        assert_eq!(
            seal_nothing(&rebuilt),
            seal_nothing(opened.secrets()),
            "the recipe's data key is not the header's"
        );
    }
    Ok(opened)
}

/// Something that depends on the data key and tells nothing about it.
fn seal_nothing(object: &ObjectSecrets) -> Vec<u8> {
    let id = match object.body() {
        Body::Multipart => PartId::multipart(1, AttemptId::from_bytes([0; 16])).unwrap(),
        Body::Single { .. } | Body::Verified { .. } => PartId::single(object.object_id()),
    };
    let parts = vec![CommitPart {
        id,
        plaintext_length: object.body().plaintext_length().unwrap_or_default(),
        checksum: None,
    }];
    CommitRecord::new(object, parts, None, None)
        .unwrap()
        .seal_region(object)
        .unwrap()
}

/// Seals the body of a recipe, compares it with the hash that the vector names, and puts its pieces together.
fn recipe_body(vector: &Value, object: &ObjectSecrets) -> Vec<u8> {
    let recipe = &vector["recipe"];
    let algorithm =
        ChecksumAlgorithm::from_code(recipe.number("checksum_algorithm") as u8).unwrap();
    let checksum = |of: &Value| {
        algorithm.map(|algorithm| Checksum::new(algorithm, of.hex("checksum")).unwrap())
    };
    let (mut body, mut parts, mut start) = (Vec::new(), Vec::new(), 0);
    for part in recipe["parts"].as_array().unwrap() {
        let number = part.number("number") as u16;
        let attempt = AttemptId::from_bytes(part.hex("attempt").try_into().unwrap());
        let id = if number == 0 {
            PartId::single(object.object_id())
        } else {
            PartId::multipart(number, attempt).unwrap()
        };
        assert_eq!(id.attempt(), attempt);
        let length = part.number("length");
        let mut sealer = Sealer::with_random(object, id, RecipeNonces::new(number)).unwrap();
        for piece in pattern(start, length).chunks(1 << 20) {
            sealer.push(piece, &mut body).unwrap();
        }
        sealer.finish(&mut body).unwrap();
        parts.push(CommitPart {
            id,
            plaintext_length: length,
            checksum: checksum(part),
        });
        start += length;
    }
    let object_checksum = checksum(recipe).map(|checksum| ObjectChecksum {
        checksum,
        r#type: match recipe.number("checksum_type") {
            1 => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        },
    });
    let upload = recipe["upload_id"].as_str().map(UploadHash::of);
    let record = CommitRecord::new(object, parts, upload, object_checksum).unwrap();
    body.extend(record.seal_region(object).unwrap());
    assert!(body.ends_with(&vector.hex("region")));
    assert_eq!(body.len() as u64, vector.number("body_length"));
    assert_eq!(Sha256::digest(&body)[..], vector.hex("body_sha256"));
    let Some(pieces) = vector.get("pieces") else {
        return body;
    };
    let mut altered = Vec::new();
    for piece in pieces.as_array().unwrap() {
        if piece.get("hex").is_some() {
            altered.extend(piece.hex("hex"));
        } else {
            altered.extend(&body[piece.number("from") as usize..piece.number("to") as usize]);
        }
    }
    altered
}

/// Steps 4 and 5: the length, and the commit record where it is needed.
fn layout(header: &OpenedHeader, body: &[u8]) -> Result<ObjectLayout, Error> {
    header.check_sealed_length(body.len() as u64)?;
    if header.body().needs_commit_record() {
        Ok(open_region(header, body)?.layout().clone())
    } else {
        Ok(header.layout().unwrap())
    }
}

/// Finds the record from the end, as a client does, and checks all of the region, as a whole reader must.
fn open_region(header: &OpenedHeader, body: &[u8]) -> Result<CommitRecord, Error> {
    let mut wanted = first_suffix_length(body.len() as u64);
    for _ in 0..2 {
        let suffix = &body[body.len() - wanted as usize..];
        match CommitRecord::open_suffix(header.secrets(), suffix, body.len() as u64)? {
            CommitSearch::NeedMore { suffix_length } => wanted = suffix_length,
            CommitSearch::Found(record) => {
                let all = &body[record.layout().segments_length() as usize..];
                CommitRecord::open_suffix(header.secrets(), all, body.len() as u64)?;
                return Ok(record);
            }
        }
    }
    panic!("the commit record was not found in two requests");
}

pub(crate) fn object(vector: &Value, backend: Backend) -> Outcome {
    let header = match open_header(vector, backend) {
        Ok(header) => header,
        Err(error) => return Outcome::Refused(0, error),
    };
    let body = match vector.get("recipe") {
        Some(_) => recipe_body(vector, header.secrets()),
        None => vector.base64("body"),
    };
    let layout = match layout(&header, &body) {
        Ok(layout) => layout,
        Err(error) => return Outcome::Refused(0, error),
    };
    let mut opener = Opener::new(header.secrets(), layout.plan_all().unwrap()).unwrap();
    let (mut released, mut rest) = (Vec::new(), &body[..]);
    while let Some(length) = opener.next_length() {
        let (segment, behind) = rest.split_at(length);
        let mut segment = segment.to_vec();
        match opener.open_segment(&mut segment) {
            Ok(range) => released.extend_from_slice(&segment[range]),
            Err(error) => {
                check_plaintext(vector, &released);
                return Outcome::Refused(released.len() as u64, error);
            }
        }
        rest = behind;
    }
    opener.finish().unwrap();
    if let Err(error) = open_region(&header, &body) {
        return Outcome::Refused(released.len() as u64, error);
    }
    check_opened(vector, &header, &released);
    Outcome::Opened
}

pub(crate) fn file(vector: &Value, backend: Backend) -> Outcome {
    let inner = |error: std::io::Error| match error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>())
    {
        Some(inner) => inner.clone(),
        None => panic!("{error}"),
    };
    let file = vector.base64("file");
    let opened = SealedFile::read(Cursor::new(&file)).and_then(|sealed| {
        let key = vector.working_key(sealed.header().working_key_id())?;
        sealed.open_with(&key, &Domain::new(vector.text("domain"))?, backend)
    });
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => return Outcome::Refused(0, inner(error)),
    };
    let mut released = Vec::new();
    if let Err(error) = reader.read_to_end(&mut released) {
        check_plaintext(vector, &released);
        return Outcome::Refused(released.len() as u64, inner(error));
    }
    check_opened(vector, reader.header(), &released);
    Outcome::Opened
}
