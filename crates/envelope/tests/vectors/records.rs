//! Records of the state bucket.

use data_encoding::HEXLOWER;
use sealgate_envelope::checksum::ChecksumKind;
use sealgate_envelope::header::{Header, OpenedHeader};
use sealgate_envelope::records::{PartLocation, PartRecordName, RegistryRecord, UploadRecord};
use sealgate_envelope::{Backend, Domain, Error, Place, UploadHash, WorkingKeyId};
use serde_json::Value;

use crate::Outcome;
use crate::fields::Fields;

fn outcome(result: Result<(), Error>) -> Outcome {
    match result {
        Ok(()) => Outcome::Opened,
        Err(error) => Outcome::Refused(0, error),
    }
}

fn open_header(vector: &Value, header: &Header, backend: Backend) -> Result<OpenedHeader, Error> {
    let domain = Domain::new(vector.text("domain"))?;
    let place = Place::new(&domain, vector.text("object_key"))?;
    header.open_with(
        &vector.working_key(header.working_key_id())?,
        place,
        backend,
    )
}

pub(crate) fn upload(vector: &Value, backend: Backend) -> Outcome {
    outcome((|| {
        let record = UploadRecord::parse(&vector.base64("record"))?;
        let header = open_header(vector, record.header(), backend)?;
        // A vector that must fail names neither: any will do, for the MAC is checked first.
        let bucket = vector["bucket"].as_str().unwrap_or("bucket");
        let upload_id = vector["upload_id"]
            .as_str()
            .unwrap_or("upload.id/of the+storage~é");
        let record = record.verify(
            header.secrets(),
            bucket,
            vector.text("object_key"),
            UploadHash::of(upload_id),
        )?;
        if vector.text("expect") == "opens" {
            assert_eq!(record.created, vector.number("created"));
            let code = |of: fn(ChecksumKind) -> u8| u64::from(record.checksum.map_or(0, of));
            assert_eq!(
                code(|kind| kind.algorithm.code()),
                vector.number("checksum_algorithm")
            );
            assert_eq!(
                code(|kind| kind.r#type.code()),
                vector.number("checksum_type")
            );
        }
        Ok(())
    })())
}

pub(crate) fn part(vector: &Value, backend: Backend) -> Outcome {
    outcome((|| {
        let header = Header::from_text(vector.text("header"))?;
        let header = open_header(vector, &header, backend)?;
        let record = PartRecordName::parse(vector.text("name"))?
            .open(header.secrets(), UploadHash::of(vector.text("upload_id")))?;
        if vector.text("expect") == "opens" {
            assert_eq!(u64::from(record.id.number()), vector.number("number"));
            assert_eq!(record.id.attempt().to_string(), vector.text("attempt"));
            assert_eq!(record.plaintext_length, vector.number("length"));
            assert_eq!(record.crc64nvme.to_string(), vector.text("crc64nvme"));
            let (stashed, etag) = match record.location {
                PartLocation::Stash => (true, [0; 32]),
                PartLocation::Upstream(etag) => (false, *etag.as_bytes()),
            };
            assert_eq!(Some(stashed), vector["stashed"].as_bool());
            assert_eq!(HEXLOWER.encode(&etag), vector.text("etag_sha256"));
            let checksum = record.checksum.as_ref();
            let algorithm = checksum.map_or(0, |checksum| checksum.algorithm().code());
            assert_eq!(u64::from(algorithm), vector.number("checksum_algorithm"));
            let value =
                checksum.map_or(String::new(), |checksum| HEXLOWER.encode(checksum.value()));
            assert_eq!(value, vector.text("checksum"));
        }
        Ok(())
    })())
}

pub(crate) fn registry(vector: &Value) -> Outcome {
    outcome((|| {
        let name = vector.text("name").strip_prefix("registry/").unwrap();
        let id: WorkingKeyId = name.parse()?;
        let record = RegistryRecord::parse(&vector.base64("record"), id)?;
        let record = record.verify(
            &vector.working_key(id)?,
            &Domain::new(vector.text("domain"))?,
        )?;
        if vector.text("expect") == "opens" {
            assert_eq!(record.id.to_string(), vector.text("wk_id"));
            assert_eq!(record.created, vector.number("created"));
            let wraps: Vec<(u64, String, String)> = record
                .wraps
                .iter()
                .map(|wrap| {
                    let provider = u64::from(wrap.provider().code());
                    (
                        provider,
                        wrap.key_reference().to_string(),
                        HEXLOWER.encode(wrap.blob()),
                    )
                })
                .collect();
            let expected: Vec<(u64, String, String)> = vector["wraps"]
                .as_array()
                .unwrap()
                .iter()
                .map(|wrap| {
                    let (reference, blob) = (wrap.text("key_reference"), wrap.text("blob"));
                    (
                        wrap.number("provider"),
                        reference.to_owned(),
                        blob.to_owned(),
                    )
                })
                .collect();
            assert_eq!(wraps, expected);
        }
        Ok(())
    })())
}
