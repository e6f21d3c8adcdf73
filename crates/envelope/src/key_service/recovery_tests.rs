use data_encoding::HEXLOWER;

use super::*;
use crate::domain::Domain;
use crate::key_service::failure_of;
use crate::keys::WorkingKeyId;

fn context(domain: &str, id: u8) -> EncryptionContext {
    EncryptionContext::new(
        Domain::new(domain).unwrap(),
        WorkingKeyId::from_bytes([id; 16]),
    )
}

fn pair() -> (RecoveryKey, RecoverySender) {
    let sender = RecoverySenderKey::generate(&mut OsRandom).unwrap();
    let key = RecoveryKey::new(fresh(&mut OsRandom).unwrap(), "deployment", sender.public());
    let key = key.unwrap();
    let wrapper = RecoverySender::new(key.public(), sender, "deployment").unwrap();
    (key, wrapper)
}

fn refusal(key: &RecoveryKey, context: &EncryptionContext, wrap: &Wrap) -> KeyServiceFailure {
    failure_of(&key.open_wrap(context, wrap).unwrap_err()).unwrap()
}

#[test]
fn wraps_open_for_their_own_context_only() {
    let (key, sender) = pair();
    let working_key = WorkingKey::from_bytes([7; 32]);
    let wrap = sender.wrap(&context("d", 1), &working_key).unwrap();
    assert_eq!(wrap.blob().len(), BLOB_LENGTH);
    assert_eq!(wrap.provider(), Provider::Recovery);
    assert_eq!(key.open_wrap(&context("d", 1), &wrap).unwrap(), working_key);
    for other in [context("e", 1), context("d", 2)] {
        assert_eq!(refusal(&key, &other, &wrap), KeyServiceFailure::Refused);
    }
    assert_ne!(sender.wrap(&context("d", 1), &working_key).unwrap(), wrap);
}

#[test]
fn another_sender_and_another_deployment_are_refused() {
    let (key, sender) = pair();
    let working_key = WorkingKey::from_bytes([7; 32]);
    let forger = RecoverySenderKey::generate(&mut OsRandom).unwrap();
    let forged = RecoverySender::new(key.public(), forger, "deployment").unwrap();
    let elsewhere = RecoverySender::new(key.public(), sender.sender, "other").unwrap();
    for wrapper in [&forged, &elsewhere] {
        let wrap = wrapper.wrap(&context("d", 1), &working_key).unwrap();
        assert_eq!(
            refusal(&key, &context("d", 1), &wrap),
            KeyServiceFailure::Refused
        );
    }
}

/// What Auth mode is for: Base mode, which everybody with the public key can make, does not open.
#[test]
fn a_wrap_without_a_sender_is_refused() {
    let (key, _) = pair();
    let context = context("d", 1);
    let mut random = Fallible {
        random: &mut OsRandom,
        failure: None,
    };
    let (encapsulated, sealed) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &key.public().to_hpke().unwrap(),
            &info("deployment").unwrap(),
            &[7; 32],
            &context.to_associated_data().unwrap(),
            &mut random,
        )
        .unwrap();
    let blob = [&[1][..], &encapsulated.to_bytes(), &sealed].concat();
    let wrap = Wrap::new(Provider::Recovery, key.reference, blob).unwrap();
    assert_eq!(refusal(&key, &context, &wrap), KeyServiceFailure::Refused);
}

#[test]
fn every_changed_byte_and_length_is_refused() {
    let (key, sender) = pair();
    let context = context("d", 1);
    let wrap = sender
        .wrap(&context, &WorkingKey::from_bytes([7; 32]))
        .unwrap();
    let with_blob = |blob| Wrap::new(Provider::Recovery, wrap.key_reference(), blob).unwrap();
    for position in 0..BLOB_LENGTH {
        let mut blob = wrap.blob().to_vec();
        blob[position] ^= 0x40;
        assert_eq!(
            refusal(&key, &context, &with_blob(blob)),
            KeyServiceFailure::Refused
        );
    }
    for length in [1, 33, 80] {
        let blob = wrap.blob()[..length].to_vec();
        assert_eq!(
            refusal(&key, &context, &with_blob(blob)),
            KeyServiceFailure::Refused
        );
    }
    // A point of small order, whose shared secret would be zero.
    let mut blob = wrap.blob().to_vec();
    blob[1..33].fill(0);
    assert_eq!(
        refusal(&key, &context, &with_blob(blob)),
        KeyServiceFailure::Refused
    );
}

#[test]
fn a_file_keeps_key_sender_and_deployment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recovery.key");
    let passphrase = Passphrase::new(Zeroizing::new("correct horse battery".to_owned())).unwrap();
    let sender = RecoverySenderKey::generate(&mut OsRandom).unwrap();
    for passphrase in [None, Some(&passphrase)] {
        let created = RecoveryKey::create(&path, "d-1", sender.public(), passphrase).unwrap();
        assert_eq!(RecoveryKey::is_sealed(&path).unwrap(), passphrase.is_some());
        let opened = RecoveryKey::open(&path, passphrase).unwrap();
        assert_eq!(opened.public(), created.public());
        assert_eq!(
            (opened.sender(), opened.deployment()),
            (sender.public(), "d-1")
        );
        let again = RecoveryKey::create(&path, "d-1", sender.public(), None).unwrap_err();
        assert!(again.detail().contains("never overwritten"), "{again:?}");
        std::fs::remove_file(&path).unwrap();
    }
    assert!(RecoveryKey::create(&path, "two words", sender.public(), None).is_err());
}

#[test]
fn a_sender_key_survives_its_text_and_is_never_shown() {
    let key = RecoverySenderKey::generate(&mut OsRandom).unwrap();
    let text = key.to_text();
    assert_eq!(
        RecoverySenderKey::from_text(&text).unwrap().public(),
        key.public()
    );
    assert!(!format!("{key:?}").contains(text.as_str()));
    for bad in ["", "x", &text[1..], &format!("{}=", *text)] {
        assert!(RecoverySenderKey::from_text(bad).is_err(), "{bad}");
    }
}

/// RFC 9180, A.2.3: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, Auth mode, sequence number 0.
#[test]
fn the_library_opens_the_published_vector() {
    let bytes = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let key = |text: &str| <[u8; 32]>::try_from(bytes(text)).unwrap();
    let recipient = private(&key(
        "3ca22a6d1cda1bb9480949ec5329d3bf0b080ca4c45879c95eddb55c70b80b82",
    ))
    .unwrap();
    assert_eq!(
        HEXLOWER.encode(&RecoveryPublicKey::of(&recipient).0),
        "1a478716d63cb2e16786ee93004486dc151e988b34b475043d3e0175bdb01c44"
    );
    let sender = RecoveryPublicKey(key(
        "f0f4f9e96c54aeed3f323de8534fffd7e0577e4ce269896716bcb95643c8712b",
    ));
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&bytes(
        "f7674cc8cd7baa5872d1f33dbaffe3314239f6197ddf5ded1746760bfc847e0e",
    ))
    .unwrap();
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Auth(sender.to_hpke().unwrap()),
        &recipient,
        &encapsulated,
        &bytes("4f6465206f6e2061204772656369616e2055726e"),
        &bytes(concat!(
            "ab1a13c9d4f01a87ec3440dbd756e2677bd2ecf9df0ce7ed73869b98e00c09be",
            "111cb9fdf077347aeb88e61bdf"
        )),
        &bytes("436f756e742d30"),
    )
    .unwrap();
    assert_eq!(opened, b"Beauty is truth, truth beauty");
}
