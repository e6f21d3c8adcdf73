use super::*;
use crate::checksum::{Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumType};
use crate::domain::{Domain, Place};
use crate::header::{
    Carrier, HeaderBuilder, HeaderKey, MAXIMUM_OBJECT_HEADER_LENGTH, SealedHeader,
};
use crate::keys::{AttemptId, KeyReference, UploadHash, WorkingKey, WorkingKeyId};
use crate::metadata::Metadata;
use crate::object::{Body, PartId};
use crate::random::OsRandom;
use crate::wrap::{Provider, Wrap};
use proptest::prelude::*;

fn wraps(count: usize) -> Vec<Wrap> {
    let wrap = Wrap::new(
        Provider::AwsKms,
        KeyReference::from_bytes([1; 8]),
        vec![5; 50],
    )
    .unwrap();
    vec![wrap; count]
}

fn working_key() -> WorkingKey {
    WorkingKey::from_bytes([9; 32])
}

fn header(body: Body) -> SealedHeader {
    let domain = Domain::new("d/bucket").unwrap();
    let key = HeaderKey {
        id: WorkingKeyId::from_bytes([8; 16]),
        key: &working_key(),
        wraps: &wraps(1),
    };
    HeaderBuilder::new(Place::new(&domain, "key").unwrap(), key, 5)
        .seal(body, &mut OsRandom)
        .unwrap()
}

fn upload_record(header: &SealedHeader) -> UploadRecord {
    UploadRecord {
        created: 17,
        checksum: Some(ChecksumKind {
            algorithm: ChecksumAlgorithm::Sha256,
            r#type: ChecksumType::Composite,
        }),
        bucket: "bucket".to_owned(),
        object_key: "key".to_owned(),
        upload_id: "upload".to_owned(),
        header: header.header.clone(),
    }
}

#[test]
fn an_upload_has_a_header_that_fits_into_the_metadata_of_an_object() {
    let domain = Domain::new("d/bucket").unwrap();
    let sealed = |length: usize| {
        let mut metadata = Metadata::new();
        metadata.insert_user("v", vec![b'v'; length]).unwrap();
        let key = HeaderKey {
            id: WorkingKeyId::from_bytes([8; 16]),
            key: &working_key(),
            wraps: &wraps(1),
        };
        HeaderBuilder::new(Place::new(&domain, "key").unwrap(), key, 5)
            .metadata(metadata)
            .carrier(Carrier::File)
            .seal(Body::Multipart, &mut OsRandom)
            .unwrap()
    };
    let of_length = |wanted: usize| {
        let mut all = (1_000..1_500).map(sealed);
        all.find(|made| made.header.as_bytes().len() == wanted)
            .unwrap()
    };
    let longest = of_length(MAXIMUM_OBJECT_HEADER_LENGTH);
    let bytes = upload_record(&longest).encode(&longest.secrets).unwrap();
    assert!(UploadRecord::parse(&bytes).is_ok());
    let longer = of_length(MAXIMUM_OBJECT_HEADER_LENGTH + 1);
    assert!(upload_record(&longer).encode(&longer.secrets).is_err());
}

#[test]
fn records_are_read_and_written_up_to_one_length() {
    let longest = vec![7; MAXIMUM_RECORD_LENGTH];
    assert!(split_mac(&longest).is_ok());
    assert!(check_length(longest.clone()).is_ok());
    let longer = [&longest[..], &[7]].concat();
    let error = split_mac(&longer).unwrap_err();
    assert_eq!(error.detail(), "a record is too long");
    assert!(check_length(longer).is_err());
    assert!(split_mac(&[7; MAC_LENGTH]).is_ok());
    assert!(split_mac(&[7; MAC_LENGTH - 1]).is_err());
}

#[test]
fn an_upload_record_round_trips_and_every_bit_counts() {
    let header = header(Body::Multipart);
    let record = upload_record(&header);
    let bytes = record.encode(&header.secrets).unwrap();
    let verify = |bytes: &[u8], bucket: &str, key: &str, upload: &str| {
        UploadRecord::parse(bytes)?.verify(&header.secrets, bucket, key, UploadHash::of(upload))
    };
    assert_eq!(verify(&bytes, "bucket", "key", "upload").unwrap(), record);
    assert!(verify(&bytes, "bucket2", "key", "upload").is_err());
    assert!(verify(&bytes, "bucket", "key2", "upload").is_err());
    assert!(verify(&bytes, "bucket", "key", "upload2").is_err());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(
            verify(&changed, "bucket", "key", "upload").is_err(),
            "bit {bit}"
        );
    }
}

#[test]
fn upload_records_need_their_own_multipart_header() {
    let single = header(Body::Single {
        plaintext_length: 1,
    });
    assert!(upload_record(&single).encode(&single.secrets).is_err());
    let (first, second) = (header(Body::Multipart), header(Body::Multipart));
    assert!(upload_record(&first).encode(&second.secrets).is_err());
    let bytes = upload_record(&first).encode(&first.secrets).unwrap();
    let parsed = UploadRecord::parse(&bytes).unwrap();
    assert!(
        parsed
            .verify(&second.secrets, "bucket", "key", UploadHash::of("upload"))
            .is_err()
    );
    let mut huge = upload_record(&first);
    huge.upload_id = "u".repeat(65_536);
    assert!(huge.encode(&first.secrets).is_err());
}

#[test]
fn a_part_record_belongs_to_one_upload_part_and_attempt() {
    let header = header(Body::Multipart);
    let upload = UploadHash::of("upload");
    for algorithm in ChecksumAlgorithm::ALL.into_iter().map(Some).chain([None]) {
        for location in [
            PartLocation::Stash,
            PartLocation::Upstream(EtagHash::of("\"etag\"")),
        ] {
            let record = PartRecord {
                id: PartId::multipart(37, AttemptId::from_bytes([0xab; 16])).unwrap(),
                plaintext_length: 1 << 40,
                crc64nvme: u64::MAX - 1,
                location,
                checksum: algorithm
                    .map(|algorithm| Checksum::new(algorithm, vec![3; algorithm.width()]).unwrap()),
            };
            let name = record
                .seal_name(&header.secrets, upload, &mut OsRandom)
                .unwrap();
            assert!(name.split('/').all(|segment| segment.len() <= 255));
            assert!(name.starts_with(&format!("{}00037/abab", part_record_prefix(upload))));
            let open =
                |name: &str, upload| PartRecordName::parse(name)?.open(&header.secrets, upload);
            assert_eq!(open(&name, upload).unwrap(), record);
            assert!(open(&name, UploadHash::of("other")).is_err());
            for (from, to) in [
                ("/00037/", "/00038/"),
                ("/00037/", "/37/"),
                ("/00037/", "/+0037/"),
                ("/00037/", "/00000/"),
                ("/00037/", "/10001/"),
                ("/abab", "/acab"),
                ("/abab", "/ABab"),
                ("/parts/", "/stash/"),
                ("uploads/", "Uploads/"),
            ] {
                assert!(
                    open(&name.replacen(from, to, 1), upload).is_err(),
                    "{from} {to}"
                );
            }
            assert!(open(&format!("{name}/"), upload).is_err());
            assert!(open(&name[..name.len() - 1], upload).is_err());
        }
    }
    assert_eq!(EtagHash::of("etag"), EtagHash::of("\"etag\""));
}

#[test]
fn a_registry_record_belongs_to_one_key_and_domain() {
    let id = WorkingKeyId::from_bytes([8; 16]);
    let domain = Domain::new("d/bucket").unwrap();
    let record = RegistryRecord {
        id,
        created: 1_700_000_000_000,
        domain: domain.clone(),
        wraps: wraps(16),
    };
    let bytes = record.encode(&working_key()).unwrap();
    let parsed = RegistryRecord::parse(&bytes, id).unwrap();
    assert_eq!(parsed.wraps(), &record.wraps);
    assert_eq!(parsed.claimed_domain(), &domain);
    assert_eq!(parsed.claimed_creation(), record.created);
    assert_eq!(
        parsed.clone().verify(&working_key(), &domain).unwrap(),
        record
    );
    assert!(
        parsed
            .clone()
            .verify(&WorkingKey::from_bytes([1; 32]), &domain)
            .is_err()
    );
    assert!(parsed.verify(&working_key(), &Domain::file()).is_err());
    assert!(RegistryRecord::parse(&bytes, WorkingKeyId::from_bytes([7; 16])).is_err());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let result = RegistryRecord::parse(&changed, id)
            .and_then(|record| record.verify(&working_key(), &domain));
        assert!(result.is_err(), "bit {bit}");
    }
    for count in [0, 17] {
        let wrong = RegistryRecord {
            wraps: wraps(count),
            ..record.clone()
        };
        assert!(wrong.encode(&working_key()).is_err(), "{count}");
    }
}

#[test]
fn names_are_as_specified() {
    let upload = UploadHash::of("u");
    let id = PartId::multipart(7, AttemptId::from_bytes([0; 16])).unwrap();
    assert_eq!(
        stash_name(upload, id),
        format!(
            "{}stash/00007/00000000000000000000000000000000",
            upload_prefix(upload)
        )
    );
    assert_eq!(
        upload_record_name(upload),
        format!("uploads/{upload}/record")
    );
    assert_eq!(
        registry_name(WorkingKeyId::from_bytes([0xfe; 16])),
        format!("registry/{}", "fe".repeat(16))
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, name: String) {
        let _ = UploadRecord::parse(&bytes);
        let _ = RegistryRecord::parse(&bytes, WorkingKeyId::from_bytes([0; 16]));
        prop_assert!(PartRecordName::parse(&name).is_err());
    }
}
