//! The text of the state file: JSON with every key, its material and every alias.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::catalogue::{Alias, Catalogue, Key, KeyState};
use crate::ciphertext::HeaderKey;
use crate::identifier::{Realm, is_multi_region};
use crate::material::Material;

const FORMAT: &str = "sealgate-kms-mock state";
const VERSION: u32 = 1;

/// What a state file holds.
pub(crate) struct State {
    pub(crate) realm: Realm,
    pub(crate) header_key: HeaderKey,
    pub(crate) catalogue: Catalogue,
}

/// Writes the state as JSON, into a buffer that is erased when dropped and never grows, so that no copy stays behind.
///
/// # Errors
///
/// A text that says what cannot be written.
pub(crate) fn write(
    realm: &Realm,
    header_key: &HeaderKey,
    catalogue: &Catalogue,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let document = Document {
        format: FORMAT.into(),
        version: VERSION,
        region: realm.region.as_str().into(),
        account: realm.account.as_str().into(),
        header_key: SecretText(Zeroizing::new(*header_key.bytes())),
        keys: catalogue
            .keys()
            .values()
            .map(|key| KeyEntry::from(key.as_ref()))
            .collect(),
        aliases: catalogue
            .aliases()
            .iter()
            .map(|(name, alias)| AliasEntry::new(name, alias))
            .collect(),
    };
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &document).map_err(|error| error.to_string())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, &document).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Reads a state file.
///
/// # Errors
///
/// A text that says what is wrong with it; it never repeats a value.
pub(crate) fn read(bytes: &[u8]) -> Result<State, String> {
    let document: Document<'_> = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "it is not a complete state document (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if document.format != FORMAT || document.version != VERSION {
        return Err(format!("its format is not '{FORMAT}' version {VERSION}"));
    }
    let mut keys = BTreeMap::new();
    for entry in document.keys {
        let id = entry.id;
        let key = entry
            .into_key()
            .ok_or_else(|| format!("the entry of key {id} contradicts itself"))?;
        if keys.insert(id, Arc::new(key)).is_some() {
            return Err(format!("key {id} stands twice"));
        }
    }
    let mut aliases = BTreeMap::new();
    for entry in document.aliases {
        if !keys.contains_key(&entry.target) {
            return Err(format!(
                "alias {} points to a key that is not there",
                entry.name
            ));
        }
        let alias = Alias {
            target: entry.target,
            created: entry.created,
            updated: entry.updated,
        };
        aliases.insert(entry.name.into_owned(), alias);
    }
    Ok(State {
        realm: Realm {
            region: document.region.into_owned(),
            account: document.account.into_owned(),
            of_replicas: false,
        },
        header_key: HeaderKey::new(document.header_key.0),
        catalogue: Catalogue::new(keys, aliases),
    })
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    format: Cow<'a, str>,
    version: u32,
    region: Cow<'a, str>,
    account: Cow<'a, str>,
    header_key: SecretText,
    keys: Vec<KeyEntry<'a>>,
    aliases: Vec<AliasEntry<'a>>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum StateName {
    Enabled,
    Disabled,
    PendingDeletion,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry<'a> {
    id: Uuid,
    description: Cow<'a, str>,
    tags: Cow<'a, [(String, String)]>,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    state: StateName,
    #[serde(with = "time::serde::rfc3339::option")]
    deletion: Option<OffsetDateTime>,
    window_days: Option<u8>,
    /// Oldest first; the last is the current one.
    materials: Vec<SecretText>,
    /// When each material but the first became the current one; missing where there is but one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rotations: Vec<Rotation>,
    /// The further regions of a multi-Region key; missing where there are none.
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    replicas: Cow<'a, [String]>,
}

#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Rotation(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);

impl<'a> From<&'a Key> for KeyEntry<'a> {
    fn from(key: &'a Key) -> Self {
        let (state, deletion, window_days) = match key.state {
            KeyState::Enabled => (StateName::Enabled, None, None),
            KeyState::Disabled => (StateName::Disabled, None, None),
            KeyState::PendingDeletion {
                deletion,
                window_days,
            } => (
                StateName::PendingDeletion,
                Some(deletion),
                Some(window_days),
            ),
        };
        let materials = key.earlier.iter().chain([&key.current]);
        Self {
            id: key.id,
            description: key.description.as_str().into(),
            tags: Cow::Borrowed(&key.tags),
            created: key.created,
            state,
            deletion,
            window_days,
            materials: materials
                .map(|material| SecretText(Zeroizing::new(*material.bytes())))
                .collect(),
            rotations: key.rotations.iter().copied().map(Rotation).collect(),
            replicas: Cow::Borrowed(&key.replicas),
        }
    }
}

impl KeyEntry<'_> {
    fn into_key(self) -> Option<Key> {
        let id = self.id;
        let state = match (self.state, self.deletion, self.window_days) {
            (StateName::Enabled, None, None) => KeyState::Enabled,
            (StateName::Disabled, None, None) => KeyState::Disabled,
            (StateName::PendingDeletion, Some(deletion), Some(window_days)) => {
                KeyState::PendingDeletion {
                    deletion,
                    window_days,
                }
            }
            _ => return None,
        };
        if self.rotations.len() + 1 != self.materials.len()
            || !self.replicas.is_empty() && !is_multi_region(id)
        {
            return None;
        }
        let rotations = self.rotations.iter().map(|rotation| rotation.0).collect();
        let mut materials: Vec<_> = self
            .materials
            .into_iter()
            .map(|secret| Arc::new(Material::new(id, secret.0)))
            .collect();
        Some(Key {
            id,
            description: self.description.into_owned(),
            tags: self.tags.into_owned(),
            created: self.created,
            state,
            current: materials.pop()?,
            earlier: materials,
            rotations,
            replicas: self.replicas.into_owned(),
        })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AliasEntry<'a> {
    name: Cow<'a, str>,
    target: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated: OffsetDateTime,
}

impl<'a> AliasEntry<'a> {
    fn new(name: &'a str, alias: &Alias) -> Self {
        Self {
            name: name.into(),
            target: alias.target,
            created: alias.created,
            updated: alias.updated,
        }
    }
}

/// 32 secret bytes, in the file as base64.
struct SecretText(Zeroizing<[u8; 32]>);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(self.0.as_ref())))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("32 bytes in base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let wrong = || E::custom("not 32 bytes in base64");
                let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| wrong())?);
                let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| wrong())?;
                Ok(SecretText(Zeroizing::new(*bytes)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        // That of a multi-Region key: the version is 8.
        let id = Uuid::from_bytes([3, 3, 3, 3, 3, 3, 0x83, 3, 0x83, 3, 3, 3, 3, 3, 3, 3]);
        let realm = Realm {
            region: "us-east-1".to_owned(),
            account: "111122223333".to_owned(),
            of_replicas: false,
        };
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let mut catalogue = Catalogue::default();
        let key = Key {
            id,
            description: "a \"quoted\" description".to_owned(),
            tags: vec![("team".to_owned(), "storage".to_owned())],
            created: now,
            state: KeyState::Enabled,
            current: Arc::new(Material::generate(id).unwrap()),
            earlier: vec![Arc::new(Material::generate(id).unwrap())],
            rotations: vec![now],
            replicas: vec!["eu-central-1".to_owned()],
        };
        catalogue.add_key(key).unwrap();
        catalogue.add_alias("alias/a", id, &realm, now).unwrap();
        catalogue.schedule_deletion(id, 30, &realm, now).unwrap();
        State {
            realm,
            header_key: HeaderKey::generate().unwrap(),
            catalogue,
        }
    }

    fn text(state: &State) -> String {
        String::from_utf8(
            write(&state.realm, &state.header_key, &state.catalogue)
                .unwrap()
                .to_vec(),
        )
        .unwrap()
    }

    #[test]
    fn reads_what_it_wrote() {
        let before = state();
        let after = read(text(&before).as_bytes()).unwrap();
        assert_eq!(after.realm, before.realm);
        assert_eq!(after.header_key.bytes(), before.header_key.bytes());
        assert_eq!(after.catalogue.aliases(), before.catalogue.aliases());
        let key = |state: &State| state.catalogue.keys().values().next().cloned().unwrap();
        let (before, after) = (key(&before), key(&after));
        assert_eq!(after.current.bytes(), before.current.bytes());
        assert_eq!(after.earlier[0].id(), before.earlier[0].id());
        assert_eq!(after.rotations, before.rotations);
        assert_eq!(
            (after.state, &after.tags, &after.description),
            (before.state, &before.tags, &before.description)
        );
    }

    #[test]
    fn refuses_what_is_damaged() {
        let good = text(&state());
        let refused = |from: &str, to: &str| {
            assert!(good.contains(from), "{good}");
            read(good.replace(from, to).as_bytes())
                .err()
                .expect("refused")
        };
        refused("\"version\":1", "\"version\":2");
        refused("\"state\":\"PendingDeletion\"", "\"state\":\"Enabled\"");
        refused("\"format\"", "\"formats\"");
        refused(
            ",\"rotations\":[\"2026",
            ",\"rotations\":[\"2026-01-01T00:00:00Z\",\"2026",
        );
        refused("\"target\":\"03", "\"target\":\"04");
        assert!(read(&good.as_bytes()[..good.len() - 1]).is_err());
        let start = good.find("materials\":[\"").unwrap() + 13;
        let mut short = good.clone();
        short.replace_range(start..start + 4, "");
        let message = read(short.as_bytes()).err().unwrap();
        assert!(!message.contains(&good[start + 4..start + 12]), "{message}");
    }
}
