use super::*;
use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::domain::{Domain, Place};
use crate::error::Fault;
use crate::keys::{KeyReference, WorkingKey};
use crate::metadata::Metadata;
use crate::random::OsRandom;
use crate::suite::Backend;
use crate::wrap::Provider;
use proptest::prelude::*;

const LENGTH: Body = Body::Single {
    plaintext_length: 7,
};

fn wraps(count: u8) -> Vec<Wrap> {
    (0u8..count)
        .map(|index| {
            Wrap::new(
                Provider::AwsKms,
                KeyReference::from_bytes([index; 8]),
                vec![5; 184],
            )
            .unwrap()
        })
        .collect()
}

fn working_key() -> WorkingKey {
    WorkingKey::from_bytes([9; 32])
}

fn sealing_key<'a>(key: &'a WorkingKey, wraps: &'a [Wrap]) -> HeaderKey<'a> {
    HeaderKey {
        id: WorkingKeyId::from_bytes([8; 16]),
        key,
        wraps,
    }
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("content-type", "text/plain").unwrap();
    metadata.insert_user("owner", "somebody").unwrap();
    let checksum = Checksum::new(ChecksumAlgorithm::Crc64Nvme, vec![1; 8]).unwrap();
    metadata.insert_checksum(&checksum).unwrap();
    metadata
}

fn sealed(place: Place<'_>, suite: Suite, body: Body) -> SealedHeader {
    HeaderBuilder::new(
        place,
        sealing_key(&working_key(), &wraps(1)),
        1_700_000_000_000,
    )
    .metadata(metadata())
    .suite(suite)
    .seal(body, &mut OsRandom)
    .unwrap()
}

#[test]
fn a_header_opens_in_its_place_only() {
    let domain = Domain::new("deployment/bucket").unwrap();
    let other_domain = Domain::new("deployment/other").unwrap();
    let place = Place::new(&domain, "a/key").unwrap();
    for suite in Suite::ALL {
        for backend in Backend::ALL {
            let sealed = sealed(place, suite, LENGTH);
            let header = Header::from_text(&sealed.header.to_text()).unwrap();
            assert_eq!(header, sealed.header);
            let opened = header.open_with(&working_key(), place, *backend).unwrap();
            assert_eq!(opened.metadata(), &metadata());
            assert_eq!(opened.body(), LENGTH);
            assert_eq!(opened.created(), 1_700_000_000_000);
            assert_eq!(opened.secrets().data_key(), sealed.secrets.data_key());
            for wrong in [
                Place::new(&domain, "a/kez").unwrap(),
                Place::new(&other_domain, "a/key").unwrap(),
                Place::file(&domain),
            ] {
                assert!(header.open_with(&working_key(), wrong, *backend).is_err());
            }
            assert!(
                header
                    .open(&WorkingKey::from_bytes([1; 32]), place)
                    .is_err()
            );
        }
    }
}

#[test]
fn a_copy_keeps_the_data_key_and_nothing_else() {
    let domain = Domain::new("d").unwrap();
    let from = Place::new(&domain, "from").unwrap();
    let to = Place::new(&domain, "to").unwrap();
    let original = sealed(from, Suite::ChaCha20Poly1305, Body::Multipart);
    let opened = original.header.open(&working_key(), from).unwrap();
    let new_key = WorkingKey::from_bytes([77; 32]);
    let mut new_metadata = Metadata::new();
    new_metadata.insert("content-type", "image/png").unwrap();
    let copy = HeaderBuilder::new(to, sealing_key(&new_key, &wraps(2)), 42)
        .metadata(new_metadata.clone())
        .rebind(&opened, &mut OsRandom)
        .unwrap();
    let reopened = copy.open(&new_key, to).unwrap();
    assert_eq!(reopened.secrets().data_key(), opened.secrets().data_key());
    assert_eq!(reopened.object_id(), opened.object_id());
    assert_eq!(
        (copy.suite(), copy.body()),
        (Suite::ChaCha20Poly1305, Body::Multipart)
    );
    assert_eq!(reopened.metadata(), &new_metadata);
    assert_ne!(copy.wrap_salt, original.header.wrap_salt);
    assert!(copy.open(&new_key, from).is_err());
    assert!(copy.open(&working_key(), to).is_err());
}

#[test]
fn a_header_tells_when_it_was_sealed_and_how_its_key_is_wrapped() {
    let domain = Domain::new("d").unwrap();
    let header = sealed(Place::file(&domain), Suite::Aes256Gcm, LENGTH).header;
    assert_eq!(header.created(), 1_700_000_000_000);
    assert_eq!(header.wraps(), wraps(1));
}

#[test]
fn the_number_of_wraps_is_bounded() {
    let domain = Domain::new("d").unwrap();
    for (count, allowed) in [(0, false), (1, true), (2, true), (3, false)] {
        let (key, wraps) = (working_key(), wraps(count));
        let builder = HeaderBuilder::new(Place::file(&domain), sealing_key(&key, &wraps), 0)
            .carrier(Carrier::File);
        match builder.seal(LENGTH, &mut OsRandom) {
            Ok(_) => assert!(allowed, "{count}"),
            Err(error) => assert!(!allowed && error.fault() == Fault::Caller, "{error:?}"),
        }
    }
}

#[test]
fn a_file_holds_more_metadata_than_an_object() {
    let domain = Domain::new("d").unwrap();
    let mut metadata = Metadata::new();
    metadata.insert_user("big", vec![b'v'; 3_000]).unwrap();
    let (key, wraps) = (working_key(), wraps(1));
    let builder = HeaderBuilder::new(Place::file(&domain), sealing_key(&key, &wraps), 0)
        .metadata(metadata.clone());
    let error = builder.clone().seal(LENGTH, &mut OsRandom).unwrap_err();
    assert!(matches!(error, Error::MetadataTooLarge { .. }), "{error:?}");
    let sealed = builder
        .carrier(Carrier::File)
        .seal(LENGTH, &mut OsRandom)
        .unwrap();
    let opened = sealed.header.open(&key, Place::file(&domain)).unwrap();
    assert_eq!(opened.metadata(), &metadata);
}

#[test]
fn headers_fill_the_budget_exactly() {
    let domain = Domain::new("d").unwrap();
    let (key, wraps) = (working_key(), wraps(1));
    let mut longest = 0;
    for length in 1_000..1_200 {
        let mut metadata = Metadata::new();
        metadata.insert_user("v", vec![b'v'; length]).unwrap();
        let result = HeaderBuilder::new(Place::file(&domain), sealing_key(&key, &wraps), 0)
            .metadata(metadata)
            .seal(LENGTH, &mut OsRandom);
        if let Ok(sealed) = result {
            longest = sealed.header.as_bytes().len();
            let text = sealed.header.to_text();
            assert!(Header::from_text(&text).is_ok(), "{}", text.len());
        }
    }
    assert_eq!(longest, MAXIMUM_OBJECT_HEADER_LENGTH);
}

#[test]
fn a_header_is_parsed_up_to_its_longest_and_with_the_least_of_sealed_metadata() {
    let domain = Domain::new("d").unwrap();
    let sealed = sealed(Place::file(&domain), Suite::Aes256Gcm, LENGTH);
    let bytes = sealed.header.as_bytes();
    let (fixed, rest) = bytes.split_at(FIXED_LENGTH);
    let (_, wraps_and_mac) = rest.split_at(sealed.header.sealed_metadata.len());
    let parse = |sealed_length: usize| {
        let field = u16::try_from(sealed_length).unwrap().to_be_bytes();
        let mut changed = [&fixed[..FIXED_LENGTH - field.len()], &field[..]].concat();
        changed.resize(FIXED_LENGTH + sealed_length, 0);
        changed.extend_from_slice(wraps_and_mac);
        Header::parse(&changed).map(|_| ())
    };
    let most = MAXIMUM_FILE_HEADER_LENGTH - FIXED_LENGTH - wraps_and_mac.len();
    for (sealed_length, wrong) in [
        (
            SEALED_METADATA_OVERHEAD - 1,
            "the header's sealed metadata is too short",
        ),
        (most + 1, "the header is too long"),
    ] {
        assert_eq!(parse(sealed_length).unwrap_err().detail(), wrong);
    }
    for sealed_length in [SEALED_METADATA_OVERHEAD, most] {
        assert!(parse(sealed_length).is_ok(), "{sealed_length}");
    }
}

#[test]
fn there_must_be_exactly_one_value_and_canonical_text() {
    let domain = Domain::new("d").unwrap();
    let text = sealed(Place::file(&domain), Suite::Aes256Gcm, LENGTH)
        .header
        .to_text();
    assert!(Header::from_metadata_values([text.as_str()]).is_ok());
    assert!(Header::from_metadata_values([]).is_err());
    assert!(Header::from_metadata_values([text.as_str(), text.as_str()]).is_err());
    for wrong in [
        format!("{text}="),
        format!("{text},{text}"),
        format!(" {text}"),
        format!("{text}\n"),
        text[..text.len() - 1].to_owned(),
        "A".repeat(2_001),
        String::new(),
    ] {
        assert!(Header::from_text(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_single_bit_counts() {
    let domain = Domain::new("d").unwrap();
    let place = Place::new(&domain, "key").unwrap();
    let bytes = sealed(place, Suite::Aes256Gcm, LENGTH)
        .header
        .as_bytes()
        .to_vec();
    for position in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[position / 8] ^= 1 << (position % 8);
        let result = Header::parse(&changed).and_then(|header| header.open(&working_key(), place));
        // The MAC covers the wk_id too, though nothing here looks it up.
        assert!(result.is_err(), "bit {position}");
    }
    for length in 0..bytes.len() {
        assert!(Header::parse(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Header::parse(&[&bytes[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_parses_is_kept(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let framed = [&b"SGHD\x01\x01\x00\x10"[..], &bytes].concat();
        for bytes in [bytes, framed] {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(header.as_bytes(), &bytes[..]);
            }
        }
    }

    #[test]
    fn headers_round_trip(
        object_key in ".{1,100}",
        domain in "[a-z/]{1,60}",
        created: u64,
        plaintext_length in 0..crate::layout::MAXIMUM_PLAINTEXT_LENGTH,
        verified: bool,
        value in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let domain = Domain::new(domain).unwrap();
        let place = Place::new(&domain, &object_key).unwrap();
        let body = if verified { Body::Verified { plaintext_length } } else { Body::Single { plaintext_length } };
        let mut metadata = Metadata::new();
        metadata.insert_user("value", value).unwrap();
        let (key, wraps) = (working_key(), wraps(2));
        let sealed = HeaderBuilder::new(place, sealing_key(&key, &wraps), created)
            .metadata(metadata.clone())
            .seal(body, &mut OsRandom)
            .unwrap();
        let opened = Header::parse(sealed.header.as_bytes()).unwrap().open(&key, place).unwrap();
        prop_assert_eq!(opened.created(), created);
        prop_assert_eq!(opened.body(), body);
        prop_assert_eq!(opened.metadata(), &metadata);
    }
}
