//! `[[identity]]`: the clients that may sign requests.

use std::collections::BTreeSet;

use super::secret::{Secret, Surroundings};
use super::table::{Table, Value};

/// The longest name and the longest access key id, in bytes. Ids are part of every signature's text.
const NAME_LIMIT: usize = 128;

/// The shortest secret of a client, in bytes. A signature can be searched for a short one offline.
const SECRET_MINIMUM: usize = 8;

/// A client.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Its name in logs.
    pub name: String,
    /// Its access keys; at least one.
    pub credentials: Vec<ClientCredential>,
}

/// One access key of a client.
#[derive(Clone, Debug)]
pub struct ClientCredential {
    /// The id that requests name; unique among all identities.
    pub access_key_id: String,
    /// The secret that signs requests.
    pub secret_access_key: Secret,
}

/// Reads all `[[identity]]`.
pub(super) fn read_all(
    root: &mut Table<'_>,
    surroundings: Surroundings<'_>,
) -> Option<Vec<IdentityConfig>> {
    let tables = root.tables("identity");
    if tables.is_empty() {
        return root.problem(
            "there is no identity, so nobody could sign a request",
            "add [[identity]] with name, and [[identity.credential]] with access_key_id and secret_access_key",
        );
    }
    let count = tables.len();
    let mut taken = Taken::default();
    let identities: Vec<_> = tables
        .into_iter()
        .filter_map(|table| read(table, surroundings, &mut taken))
        .collect();
    (identities.len() == count).then_some(identities)
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
    let tables = table.tables("credential");
    let count = tables.len();
    if count == 0 {
        table.problem::<()>(
            "has no credential",
            "add [[identity.credential]] with access_key_id and secret_access_key below it",
        );
    }
    let credentials: Vec<_> = tables
        .into_iter()
        .filter_map(|table| read_credential(table, surroundings, taken))
        .collect();
    table.finish();
    (count > 0 && credentials.len() == count).then_some(())?;
    Some(IdentityConfig {
        name: name?,
        credentials,
    })
}

fn read_credential(
    mut table: Table<'_>,
    surroundings: Surroundings<'_>,
    taken: &mut Taken,
) -> Option<ClientCredential> {
    let access_key_id = table
        .require_text("access_key_id", "access_key_id = \"ID\"")
        .and_then(|value| {
            let id = surroundings
                .text_or_reference(&value)
                .and_then(|id| checked_name(&value, &id))?;
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
            if secret.expose().len() >= SECRET_MINIMUM {
                return Some(secret);
            }
            value.problem(
                "the secret is too short",
                format!("use at least {SECRET_MINIMUM} characters, better 40"),
            )
        });
    table.finish();
    Some(ClientCredential {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
    })
}

/// Names stand in logs and ids in `Credential=` of the Authorization header, between slashes and commas.
fn checked_name(value: &Value<'_>, name: &str) -> Option<String> {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@' | b'+');
    if name.len() <= NAME_LIMIT && name.bytes().all(legal) {
        return Some(name.to_owned());
    }
    value.problem(
        "has characters that are not allowed, or too many",
        format!("use at most {NAME_LIMIT} of A-Z a-z 0-9 - _ . @ +"),
    )
}
