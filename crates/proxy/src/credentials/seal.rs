//! Secrets of access keys, sealed and opened as objects are: a header with the wraps of its working key, and one segment.

use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use sealgate_envelope::header::{Carrier, Header, HeaderBuilder, HeaderKey};
use sealgate_envelope::key_service::UnwrapPermit;
use sealgate_envelope::keyring::Keyring;
use sealgate_envelope::object::{Body, PartId};
use sealgate_envelope::opener::Opener;
use sealgate_envelope::sealer::Sealer;
use sealgate_envelope::{
    Domain, Error, OsRandom, Place as BoundPlace, Random as _, Result, WorkingKey, WorkingKeyId,
    Wrap,
};
use zeroize::Zeroizing;

use super::RESERVED_DOMAINS;
use super::file::{CredentialFile, SealedSecret};

/// What the ids of access keys begin with. Those of sessions begin with SGT and have 19 characters, these have 20.
const PREFIX: &str = "SGAK";

/// Random bytes of an access key id: 16 characters.
const ID_LENGTH: usize = 10;

/// Random bytes of a secret: 40 characters, as those of AWS have.
const SECRET_LENGTH: usize = 30;

/// The longest secret that is opened, in bytes.
const SECRET_LIMIT: u64 = 1_024;

/// The domain of a deployment's access keys.
///
/// # Errors
/// None in practice: an id of a deployment is short.
pub(crate) fn domain(deployment: &str) -> Result<Domain> {
    Domain::new(format!("{deployment}{RESERVED_DOMAINS}credentials"))
}

/// What a secret is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) identity: &'a str,
    pub(crate) access_key_id: &'a str,
}

impl Place<'_> {
    /// Neither name has a slash.
    fn object_key(&self) -> String {
        format!("{}/{}", self.identity, self.access_key_id)
    }
}

/// What secrets are sealed under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealingKey<'a> {
    pub(crate) id: WorkingKeyId,
    pub(crate) key: &'a WorkingKey,
    pub(crate) wraps: &'a [Wrap],
}

/// Seals a secret for its place. `now` is in milliseconds since 1970.
///
/// # Errors
/// [`Error::Misuse`] where the wraps of the key have no room.
pub(crate) fn seal(
    key: SealingKey<'_>,
    place: Place<'_>,
    secret: &str,
    now: u64,
) -> Result<SealedSecret> {
    let object_key = place.object_key();
    let bound = BoundPlace::new(place.domain, &object_key)?;
    let SealingKey { id, key, wraps } = key;
    // The secret is whole before it is sealed, so that its header stands for it, and no commit record is needed.
    let body = Body::Verified {
        plaintext_length: secret.len() as u64,
    };
    let sealed = HeaderBuilder::new(bound, HeaderKey { id, key, wraps }, now)
        .carrier(Carrier::File)
        .seal(body, &mut OsRandom)?;
    let mut segment = Vec::new();
    let id = PartId::single(sealed.secrets.object_id());
    let mut sealer = Sealer::new(&sealed.secrets, id)?;
    sealer.push(secret.as_bytes(), &mut segment)?;
    sealer.finish(&mut segment)?;
    Ok(SealedSecret {
        header: BASE64URL_NOPAD.encode(sealed.header.as_bytes()),
        body: BASE64URL_NOPAD.encode(&segment),
    })
}

impl SealedSecret {
    /// Its header, of which nothing is verified yet.
    ///
    /// # Errors
    /// [`Error::Stored`]
    fn header(&self) -> Result<Header> {
        Header::parse(&decode(&self.header)?)
    }
}

/// A working key that a secret was sealed under.
pub(crate) struct UsedKey {
    pub(crate) id: WorkingKeyId,
    pub(crate) key: Arc<WorkingKey>,
    pub(crate) wraps: Vec<Wrap>,
    /// When the secret was sealed, in milliseconds since 1970, by its authenticated header.
    pub(crate) sealed: u64,
}

/// The working key of a file, whose header is verified at its place.
///
/// Cancel safe: an unwrap that others wait for goes on.
///
/// # Errors
/// As [`open`].
pub(crate) async fn used_key(
    keyring: &Keyring,
    permit: &UnwrapPermit,
    domain: &Domain,
    file: &CredentialFile,
) -> Result<UsedKey> {
    let (header, key) = opened_key(keyring, permit, domain, file).await?;
    let object_key = place_of(domain, file).object_key();
    let opened = header.open(&key, BoundPlace::new(domain, &object_key)?)?;
    Ok(UsedKey {
        id: header.working_key_id(),
        wraps: header.wraps().to_vec(),
        sealed: opened.created(),
        key,
    })
}

fn place_of<'a>(domain: &'a Domain, file: &'a CredentialFile) -> Place<'a> {
    Place {
        domain,
        identity: &file.identity,
        access_key_id: &file.access_key_id,
    }
}

/// The header of a file's secret, with the key that it is bound to in place of an object's. Nothing is verified yet.
///
/// # Errors
/// [`Error::Stored`] where there is none.
pub(crate) fn header(domain: &Domain, file: &CredentialFile) -> Result<(Header, String)> {
    let header = file.secret.as_ref().ok_or_else(no_secret)?.header()?;
    Ok((header, place_of(domain, file).object_key()))
}

async fn opened_key(
    keyring: &Keyring,
    permit: &UnwrapPermit,
    domain: &Domain,
    file: &CredentialFile,
) -> Result<(Header, Arc<WorkingKey>)> {
    let header = file.secret.as_ref().ok_or_else(no_secret)?.header()?;
    let key = keyring
        .opening_key(permit, header.working_key_id(), header.wraps(), domain)
        .await?;
    Ok((header, key))
}

fn no_secret() -> Error {
    Error::stored("the access key has no secret any more")
}

/// Opens the secret of a file, with the working key that its header names.
///
/// Cancel safe: an unwrap that others wait for goes on.
///
/// # Errors
/// [`Error::KeyService`] where no key service opens the working key, [`Error::Stored`] where the secret is not genuine or of another place.
pub(crate) async fn open(
    keyring: &Keyring,
    permit: &UnwrapPermit,
    domain: &Domain,
    file: &CredentialFile,
) -> Result<Zeroizing<String>> {
    let (header, key) = opened_key(keyring, permit, domain, file).await?;
    let sealed = file.secret.as_ref().ok_or_else(no_secret)?;
    let object_key = place_of(domain, file).object_key();
    let opened = header.open(&key, BoundPlace::new(domain, &object_key)?)?;
    let layout = opened
        .layout()
        .filter(|layout| (1..=SECRET_LIMIT).contains(&layout.plaintext_length()))
        .ok_or_else(|| Error::stored("no secret of an access key has this length"))?;
    let mut segment = Zeroizing::new(decode(&sealed.body)?);
    let mut opener = Opener::new(opened.secrets(), layout.plan_all()?)?;
    if opener.next_length() != Some(segment.len()) {
        return Err(Error::stored("the sealed secret has another length"));
    }
    let released = opener.open_segment(&mut segment)?;
    opener.finish()?;
    let secret = segment.get(released).unwrap_or_default();
    std::str::from_utf8(secret)
        .map(|secret| Zeroizing::new(secret.to_owned()))
        .map_err(|_| Error::stored("the secret is no text"))
}

/// A new access key id.
///
/// # Errors
/// [`Error::Machine`] where the system has no randomness.
pub(crate) fn new_access_key_id() -> Result<String> {
    let mut bytes = [0; ID_LENGTH];
    OsRandom.fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes)))
}

/// Whether an access key id has the form of those that are made for a directory.
pub(crate) fn is_stored_id(access_key_id: &str) -> bool {
    access_key_id
        .strip_prefix(PREFIX)
        .is_some_and(|id| id.len() == ID_LENGTH * 8 / 5)
}

/// A new secret.
///
/// # Errors
/// As [`new_access_key_id`].
pub(crate) fn new_secret() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_LENGTH]);
    OsRandom.fill(bytes.as_mut_slice())?;
    Ok(Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_slice())))
}

fn decode(text: &str) -> Result<Vec<u8>> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| Error::stored("not base64url"))
}

#[cfg(test)]
mod tests {
    use sealgate_envelope::key_service::local::LocalKeyService;

    use super::super::file::Moment;
    use super::*;

    fn permit() -> UnwrapPermit {
        crate::policy::permit_credentials()
    }

    #[tokio::test]
    async fn a_secret_opens_at_its_place_and_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let service = LocalKeyService::create(directory.path().join("key")).unwrap();
        let keyring = Keyring::builder(Arc::new(service)).build().unwrap();
        let of_deployment = domain("d").unwrap();
        let made = keyring.sealing_key(&of_deployment).await.unwrap();
        let key = SealingKey {
            id: made.id(),
            key: made.key(),
            wraps: made.inline_wraps(),
        };
        let id = new_access_key_id().unwrap();
        let secret = new_secret().unwrap();
        assert_eq!((id.len(), secret.len()), (20, 40));
        assert!(is_stored_id(&id));
        assert!(!sealgate_access::token::is_session_key(&id));
        let place = Place {
            domain: &of_deployment,
            identity: "app",
            access_key_id: &id,
        };
        let sealed = seal(key, place, &secret, 1).unwrap();
        let file = CredentialFile::new("app", id.clone(), Moment::now(), sealed);
        assert!(!file.to_text().unwrap().contains(secret.as_str()));

        let opened = async |file: &CredentialFile, domain: &Domain| {
            open(&keyring, &permit(), domain, file).await
        };
        assert_eq!(opened(&file, &of_deployment).await.unwrap(), secret);
        let mut moved = file.clone();
        moved.identity = "admin".to_owned();
        assert!(opened(&moved, &of_deployment).await.is_err());
        let mut renamed = file.clone();
        renamed.access_key_id = new_access_key_id().unwrap();
        assert!(opened(&renamed, &of_deployment).await.is_err());
        assert!(opened(&file, &domain("e").unwrap()).await.is_err());
        for changes_body in [true, false] {
            let mut changed = file.clone();
            let sealed = changed.secret.as_mut().unwrap();
            let text = if changes_body {
                &mut sealed.body
            } else {
                &mut sealed.header
            };
            let mut bytes = decode(text).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            *text = BASE64URL_NOPAD.encode(&bytes);
            assert!(opened(&changed, &of_deployment).await.is_err());
        }
    }
}
