use std::fs;

use super::*;
use crate::domain::Domain;
use crate::key_service::failure_of;
use crate::keys::WorkingKeyId;
use crate::secret_file::Remains;

fn service() -> LocalKeyService {
    service_of([1; 16])
}

fn service_of(id: [u8; 16]) -> LocalKeyService {
    let file = SecretFile {
        labels: vec![HEXLOWER.encode(&id)],
        key: Zeroizing::new([2; 32]),
    };
    LocalKeyService::from_file(&file, Path::new("/nonexistent")).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own policy and audit"
)]
fn permit() -> UnwrapPermit {
    UnwrapPermit::issue("test")
}

fn context(domain: &str, id: u8) -> EncryptionContext {
    EncryptionContext::new(
        Domain::new(domain).unwrap(),
        WorkingKeyId::from_bytes([id; 16]),
    )
}

async fn failure(
    service: &LocalKeyService,
    context: &EncryptionContext,
    wrap: &Wrap,
) -> Option<KeyServiceFailure> {
    failure_of(&service.unwrap(&permit(), context, wrap).await.unwrap_err())
}

#[tokio::test]
async fn wraps_open_for_their_own_context_only() {
    let service = service();
    let (key, wrap) = service.generate(&context("d", 1)).await.unwrap();
    assert_eq!(wrap.blob().len(), 61);
    assert_eq!(
        service
            .unwrap(&permit(), &context("d", 1), &wrap)
            .await
            .unwrap(),
        key
    );
    assert_eq!(
        failure(&service, &context("e", 1), &wrap).await,
        Some(KeyServiceFailure::Refused)
    );
    assert_eq!(
        failure(&service, &context("d", 2), &wrap).await,
        Some(KeyServiceFailure::Refused)
    );
}

#[tokio::test]
async fn every_changed_byte_and_length_is_refused() {
    let service = service();
    let (_, wrap) = service.generate(&context("d", 1)).await.unwrap();
    let with_blob = |blob| Wrap::new(Provider::Local, wrap.key_reference(), blob).unwrap();
    for position in 0..wrap.blob().len() {
        let mut blob = wrap.blob().to_vec();
        blob[position] ^= 0x80;
        assert_eq!(
            failure(&service, &context("d", 1), &with_blob(blob)).await,
            Some(KeyServiceFailure::Refused)
        );
    }
    for length in [1, 12, 13, 28, 29, 60] {
        let blob = wrap.blob()[..length].to_vec();
        assert_eq!(
            failure(&service, &context("d", 1), &with_blob(blob)).await,
            Some(KeyServiceFailure::Refused)
        );
    }
    let longer = [wrap.blob(), &[0]].concat();
    assert_eq!(
        failure(&service, &context("d", 1), &with_blob(longer)).await,
        Some(KeyServiceFailure::Refused)
    );
}

#[tokio::test]
async fn wraps_of_other_keys_are_not_tried() {
    let service = service();
    let other = service_of([9; 16]);
    let (_, wrap) = other.generate(&context("d", 1)).await.unwrap();
    assert_eq!(
        failure(&service, &context("d", 1), &wrap).await,
        Some(KeyServiceFailure::NotConfigured)
    );
}

#[tokio::test]
async fn rewrapping_gives_another_blob_of_the_same_key() {
    let service = service();
    let context = context("d", 1);
    let (key, wrap) = service.generate(&context).await.unwrap();
    let again = service
        .rewrap(&context, &wrap, RewrapSource::SameKey)
        .await
        .unwrap();
    assert_ne!(again, wrap);
    assert_eq!(
        service.unwrap(&permit(), &context, &again).await.unwrap(),
        key
    );
    let error = service
        .rewrap(&context, &wrap, RewrapSource::Key("ff"))
        .await
        .unwrap_err();
    assert_eq!(failure_of(&error), Some(KeyServiceFailure::Misconfigured));
}

/// The blob as FORMAT.md writes it, made here by hand.
#[tokio::test]
async fn blob_is_as_specified() {
    let context = context("d", 1);
    let mut associated_data = Vec::new();
    for (name, value) in [
        ("sealgate:domain", "d"),
        ("sealgate:format", "1"),
        ("sealgate:working-key", &"01".repeat(16)),
    ] {
        for text in [name, value] {
            associated_data.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            associated_data.extend_from_slice(text.as_bytes());
        }
    }
    let cipher = aead(Suite::Aes256Gcm, Backend::default(), &[2; 32]).unwrap();
    let mut sealed = [[7; 32].as_slice(), &[0; 16]].concat();
    cipher
        .seal(&[3; 12], &associated_data, &mut sealed)
        .unwrap();
    let blob = [&[1][..], &[3; 12], &sealed].concat();
    let reference = KeyReference::of(Provider::Local, &"01".repeat(16)).unwrap();
    let wrap = Wrap::new(Provider::Local, reference, blob).unwrap();
    let key = service().unwrap(&permit(), &context, &wrap).await.unwrap();
    assert_eq!(key.expose(), &[7; 32]);
}

#[test]
fn a_new_file_is_private_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let created = LocalKeyService::create(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = LocalKeyService::create(&path).unwrap_err();
    assert!(error.detail().contains("never overwritten"), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(
        LocalKeyService::open(&path).unwrap().key_id(),
        created.key_id()
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_refused_with_the_fix() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    drop(LocalKeyService::create(&path).unwrap());
    for mode in [0o640, 0o604, 0o620, 0o601] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = LocalKeyService::open(&path).unwrap_err();
        assert!(error.detail().contains("chmod 600"), "{error:?}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    LocalKeyService::open(&path).unwrap();
}

#[test]
fn files_of_the_wrong_kind_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(
        LocalKeyService::open(directory.path())
            .unwrap_err()
            .detail()
            .contains("regular file")
    );
    assert!(
        LocalKeyService::open(directory.path().join("none"))
            .unwrap_err()
            .detail()
            .contains("cannot be read")
    );
    let path = directory.path().join("key");
    let key = LocalKeyService::create(&path).unwrap();
    assert!(
        !format!("{key:?}").contains(
            std::fs::read_to_string(&path)
                .unwrap()
                .split(' ')
                .nth(2)
                .unwrap()
                .trim()
        )
    );
    std::fs::write(&path, vec![b'x'; 10_000]).unwrap();
    assert!(
        LocalKeyService::open(&path)
            .unwrap_err()
            .detail()
            .contains("not a local key file")
    );
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
}

#[test]
fn a_sealed_file_opens_with_its_passphrase_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let right = passphrase("correct horse battery");
    let created = LocalKeyService::create_with(&path, Some(&right)).unwrap();
    assert!(LocalKeyService::is_sealed(&path).unwrap());
    let opened = LocalKeyService::open_with(&path, Some(&right)).unwrap();
    assert_eq!(opened.key_id(), created.key_id());
    for (given, part) in [
        (None, "none is given"),
        (
            Some(passphrase("wrong horse battery")),
            "passphrase is wrong",
        ),
    ] {
        let error = LocalKeyService::open_with(&path, given.as_ref()).unwrap_err();
        assert!(error.detail().contains(part), "{error:?}");
    }
}

#[tokio::test]
async fn sealing_a_file_anew_keeps_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let link = directory.path().join("link");
    let (first, second) = (
        passphrase("the first of them"),
        passphrase("the second of them"),
    );
    let created = LocalKeyService::create(&path).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let context = context("d", 1);
    let (key, wrap) = created.generate(&context).await.unwrap();
    for (old, new) in [
        (None, Some(&first)),
        (Some(&first), Some(&second)),
        (Some(&second), None),
    ] {
        let before = std::fs::read(&path).unwrap();
        assert!(
            LocalKeyService::reseal(&link, Some(&passphrase("some other words")), new).is_err()
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
        drop(LocalKeyService::reseal(&link, old, new).unwrap());
        let service = LocalKeyService::open_with(&path, new).unwrap();
        assert_eq!(
            service.unwrap(&permit(), &context, &wrap).await.unwrap(),
            key
        );
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    let error = LocalKeyService::open_with(&path, Some(&first)).unwrap_err();
    assert!(error.detail().contains("is not sealed"), "{error:?}");
}

#[test]
fn passphrases_are_neither_short_nor_endless_and_never_shown() {
    for length in [0, 11, 1_025] {
        let error = Passphrase::new(Zeroizing::new("x".repeat(length))).unwrap_err();
        assert!(error.detail().contains("12 to 1024 bytes"), "{error:?}");
    }
    assert!(!format!("{:?}", passphrase("correct horse battery")).contains("horse"));
}

#[tokio::test]
async fn a_destroyed_key_is_gone_from_its_file_and_from_memory_and_no_other_file_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (
        directory.path().join("a.key"),
        directory.path().join("b.key"),
    );
    let service = LocalKeyService::create(&path).unwrap();
    let context = context("d", 1);
    let (_, wrap) = service.generate(&context).await.unwrap();
    // Another key came into its place.
    let content = fs::read(&path).unwrap();
    LocalKeyService::create(&other).unwrap();
    fs::rename(&other, &path).unwrap();
    let refused = service.schedule_deletion(7).await.unwrap_err();
    assert!(refused.detail().contains("another key"), "{refused:?}");
    assert!(path.exists());
    fs::write(&path, &content).unwrap();
    // Whoever holds the file open sees what it holds now.
    let mut open = fs::File::open(&path).unwrap();
    let deletion = service.schedule_deletion(7).await.unwrap();
    assert_eq!(deletion.manner, DeletionManner::Overwritten);
    assert!(!path.exists());
    let mut left = Vec::new();
    std::io::Read::read_to_end(&mut open, &mut left).unwrap();
    assert_eq!(left, vec![0; content.len()]);
    let permit = UnwrapPermit::self_check();
    for error in [
        service.unwrap(&permit, &context, &wrap).await.unwrap_err(),
        service.generate(&context).await.unwrap_err(),
        service.schedule_deletion(7).await.unwrap_err(),
    ] {
        assert_eq!(failure_of(&error), Some(KeyServiceFailure::NotFound));
    }
}

#[test]
fn a_file_is_overwritten_only_if_it_has_the_key_and_stays_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    let key_id = LocalKeyService::create(&path).unwrap().key_id().to_owned();
    let refused = LocalKeyService::overwrite_file(&path, &"0".repeat(32)).unwrap_err();
    assert!(refused.detail().contains("nothing was done"), "{refused:?}");
    assert_eq!(secret_file::remains(&path).unwrap(), Remains::Present);
    LocalKeyService::open(&path).unwrap();
    LocalKeyService::overwrite_file(&path, &key_id).unwrap();
    assert_eq!(secret_file::remains(&path).unwrap(), Remains::Overwritten);
    assert!(LocalKeyService::open(&path).is_err());
    secret_file::remove_overwritten(&path).unwrap();
    assert_eq!(secret_file::remains(&path).unwrap(), Remains::Missing);
    // What is not there is not overwritten.
    assert!(LocalKeyService::overwrite_file(&path, &key_id).is_err());
}
