//! `[[identity]]`: the clients that may sign requests.

use std::collections::BTreeSet;

use sealgate_access::token::is_session_key;

use super::environment::{self, EnvironmentCredential};
use super::listener::ListenerConfig;
use super::rates::{self, RatesConfig};
use super::secret::{Secret, Surroundings};
use super::table::{Table, Value, read_each};
use crate::listener::client_certificate;

/// The longest name and the longest access key id, in bytes. Ids are part of every signature's text.
const NAME_LIMIT: usize = 128;

/// The shortest secret of a client, in bytes. A signature can be searched for a short one offline.
const SECRET_MINIMUM: usize = 8;

/// A client.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Its name in logs and policies.
    pub name: String,
    /// The groups that it belongs to, to which policies may give rights.
    pub groups: Vec<String>,
    /// Its access keys; at least one, but where `[credentials]` may hold others.
    pub credentials: Vec<ClientCredential>,
    /// Names of client certificates, such as `DNS:app.example.org`: its requests must come over a connection with one of them. None where any
    /// connection will do.
    pub certificates: Option<Vec<String>>,
    /// Its own bounds, in the place of `limits.per_identity`.
    pub limits: Option<RatesConfig>,
}

/// One access key of a client.
#[derive(Clone, Debug)]
pub struct ClientCredential {
    /// The id that requests name; unique among all identities.
    pub access_key_id: String,
    /// The secret that signs requests.
    pub secret_access_key: Secret,
}

/// Reads all `[[identity]]`, and what the environment adds. Where there is a directory of credentials, an identity may have all of its own there.
pub(super) fn read_all(
    root: &mut Table<'_>,
    surroundings: Surroundings<'_>,
    listener: Option<&ListenerConfig>,
    has_directory: bool,
) -> Option<Vec<IdentityConfig>> {
    let tables = root.tables("identity");
    let of_environment = environment::read(root, surroundings);
    if tables.is_empty() && matches!(of_environment, Ok(None)) {
        return root.problem(
            "there is no identity, so nobody could sign a request",
            "add [[identity]] with name, and [[identity.credential]] with access_key_id and secret_access_key; or set SEALGATE_ACCESS_KEY_ID and SEALGATE_SECRET_ACCESS_KEY in the environment",
        );
    }
    let count = tables.len();
    let mut taken = Taken::default();
    let mut identities: Vec<_> = tables
        .into_iter()
        .filter_map(|table| read(table, surroundings, listener, has_directory, &mut taken))
        .collect();
    (identities.len() == count).then_some(())?;
    if let Some(EnvironmentCredential {
        identity,
        credential,
    }) = of_environment.ok()?
    {
        if taken.access_key_ids.contains(&credential.access_key_id) {
            return root.problem(
                "another credential has the access key id of SEALGATE_ACCESS_KEY_ID",
                "give each credential an id of its own",
            );
        }
        match identities.iter_mut().find(|known| known.name == identity) {
            Some(known) => known.credentials.push(credential),
            None => identities.push(IdentityConfig {
                name: identity,
                groups: Vec::new(),
                credentials: vec![credential],
                certificates: None,
                limits: None,
            }),
        }
    }
    Some(identities)
}

/// What must be unique among all identities.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    access_key_ids: BTreeSet<String>,
}

fn read(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
    listener: Option<&ListenerConfig>,
    has_directory: bool,
    taken: &mut Taken,
) -> Option<IdentityConfig> {
    let name = table
        .require_text("name", "name = \"NAME\"")
        .and_then(|value| {
            let name = checked_name(&value, value.text()?)?;
            if taken.names.insert(name.clone()) {
                return Some(name);
            }
            value.problem(
                "another identity has this name",
                "give each identity a name of its own",
            )
        });
    let groups = match table.take("groups") {
        Some(value) => read_groups(&value),
        None => Some(Vec::new()),
    };
    let tables = table.tables("credential");
    let count = tables.len();
    let has_some = count > 0 || has_directory;
    if !has_some {
        table.problem::<()>(
            "has no credential",
            "add [[identity.credential]] with access_key_id and secret_access_key below it, or [credentials] with a directory for `sealgate credentials add`",
        );
    }
    let credentials: Vec<_> = tables
        .into_iter()
        .filter_map(|table| read_credential(table, surroundings, taken))
        .collect();
    let certificates = table
        .take("certificates")
        .map(|value| read_certificates(&value, listener));
    let limits = table
        .take("limits")
        .map(|value| value.table().and_then(rates::read_identity));
    table.finish();
    (has_some && credentials.len() == count).then_some(())?;
    Some(IdentityConfig {
        name: name?,
        groups: groups?,
        credentials,
        certificates: match certificates {
            Some(certificates) => Some(certificates?),
            None => None,
        },
        limits: match limits {
            Some(limits) => Some(limits?),
            None => None,
        },
    })
}

fn read_certificates(value: &Value<'_>, listener: Option<&ListenerConfig>) -> Option<Vec<String>> {
    let names = value.texts()?;
    if names.is_empty() {
        return value.problem(
            "names no certificate, so that nobody could be this identity",
            "name one, or remove the key",
        );
    }
    // Where the listener is wrong, that is the problem to tell.
    let asks = |listener: &ListenerConfig| {
        listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.clients.is_some())
    };
    if listener.is_some_and(|listener| !asks(listener)) {
        return value.problem(
            "the listener asks for no certificates, so that nobody could be this identity",
            "add client_ca to listener.tls, or remove the key",
        );
    }
    read_each(&names, |name| {
        let text = name.text()?;
        let has_form = client_certificate::FORMS
            .iter()
            .any(|form| text.len() > form.len() && text.starts_with(form));
        if has_form {
            return Some(text.to_owned());
        }
        name.problem(
                "not the name of a certificate",
                "write the common name of its subject as \"CN=NAME\", or an alternative name as \"DNS:NAME\", \"URI:NAME\" or \"EMAIL:NAME\"",
            )
    })
}

pub(super) fn read_groups(value: &Value<'_>) -> Option<Vec<String>> {
    read_each(&value.texts()?, |item| checked_name(item, item.text()?))
}

fn read_credential(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
    taken: &mut Taken,
) -> Option<ClientCredential> {
    let access_key_id = table
        .require_text("access_key_id", "access_key_id = \"ID\"")
        .and_then(|value| {
            let id = surroundings.text_or_reference(&value)?;
            if let Some((message, fix)) = access_key_id_fault(&id) {
                return value.problem(message, fix);
            }
            if taken.access_key_ids.insert(id.clone()) {
                return Some(id);
            }
            value.problem(
                "another credential has this access key id",
                "give each credential an id of its own",
            )
        });
    let secret_access_key = table
        .require_text(
            "secret_access_key",
            "secret_access_key = \"env:NAME\" or \"file:PATH\"",
        )
        .and_then(|value| {
            let secret = surroundings.secret(&value)?;
            match secret_fault(&secret) {
                None => Some(secret),
                Some((message, fix)) => value.problem(message, fix),
            }
        });
    table.finish();
    Some(ClientCredential {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
    })
}

/// Names stand in logs and ids in `Credential=` of the Authorization header, between slashes and commas.
pub(super) fn checked_name(value: &Value<'_>, name: &str) -> Option<String> {
    match name_fault(name) {
        None => Some(name.to_owned()),
        Some((message, fix)) => value.problem(message, fix),
    }
}

/// What is wrong, and what to do about it.
pub(super) type Fault = (String, String);

pub(super) fn name_fault(name: &str) -> Option<Fault> {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@' | b'+');
    let is_fine = name.len() <= NAME_LIMIT && name.bytes().all(legal);
    (!is_fine).then(|| {
        (
            "has characters that are not allowed, or too many".to_owned(),
            format!("use at most {NAME_LIMIT} of A-Z a-z 0-9 - _ . @ +"),
        )
    })
}

/// A request that names a session's access key id brings the session's token: one of the configuration with that form could be mistaken for it.
pub(super) fn access_key_id_fault(id: &str) -> Option<Fault> {
    name_fault(id).or_else(|| {
        is_session_key(id).then(|| {
            (
                "has the form of a session's access key id".to_owned(),
                "give it another form: any but SGT and 16 characters".to_owned(),
            )
        })
    })
}

pub(super) fn secret_fault(secret: &Secret) -> Option<Fault> {
    (secret.expose().len() < SECRET_MINIMUM).then(|| {
        (
            "the secret is too short".to_owned(),
            format!("use at least {SECRET_MINIMUM} characters, better 40"),
        )
    })
}
