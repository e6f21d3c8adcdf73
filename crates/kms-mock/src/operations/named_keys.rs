//! Which keys a request is about, before its operation has looked at it: faults are chosen by them.

use serde::Deserialize;
use uuid::Uuid;

use crate::catalogue::Catalogue;
use crate::ciphertext;
use crate::identifier::{KeyIdentifier, Realm, id_text};
use crate::store::Store;
use crate::wire::Blob;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    key_id: Option<String>,
    source_key_id: Option<String>,
    destination_key_id: Option<String>,
    target_key_id: Option<String>,
    alias_name: Option<String>,
    ciphertext_blob: Option<Blob>,
}

/// Every name of the keys that a request is about: as it has them, and the ARN, id and aliases of what they name. Empty
/// where it names none or cannot be read, which its operation will say.
pub(crate) fn named_keys(store: &Store, realm: &Realm, body: &[u8]) -> Vec<String> {
    let Ok(named) = serde_json::from_slice::<Named>(body) else {
        return Vec::new();
    };
    let catalogue = store.catalogue();
    let mut names = Vec::new();
    let texts = [
        named.key_id,
        named.source_key_id,
        named.destination_key_id,
        named.target_key_id,
        named.alias_name,
    ];
    for text in texts.into_iter().flatten() {
        let key = KeyIdentifier::parse(&text, realm)
            .and_then(|identifier| catalogue.resolve(&identifier, realm).cloned());
        if let Ok(key) = key {
            add(&mut names, realm, &catalogue, key.id);
        }
        names.push(text);
    }
    if let Some(Blob(bytes)) = named.ciphertext_blob
        && let Ok(blob) = ciphertext::Blob::parse(&bytes, store.header_key())
    {
        add(&mut names, realm, &catalogue, blob.key_id());
    }
    names
}

fn add(names: &mut Vec<String>, realm: &Realm, catalogue: &Catalogue, id: Uuid) {
    names.extend([realm.key_arn(id), id_text(id)]);
    names.extend(
        catalogue
            .aliases_after(None, Some(id))
            .map(|(name, _)| name.to_owned()),
    );
}
