//! What is destroyed, as it was chosen and found before anything was, and what has become of each key since.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use sealgate_envelope::{Provider, Wrap};
use serde::{Deserialize, Serialize};

use super::certificate::DestroyedKey;
use crate::config::{Config, KeyServiceConfig};
use crate::scan::key_name::KeyName;

/// A key that was chosen by the configuration and the operator's words, and by nothing that the storage shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChosenKey {
    /// Its `[[key_service]]`; none for the recovery key.
    pub(super) key_service: Option<String>,
    /// Provider and reference.
    pub(super) key: KeyName,
    /// Its full name in its service.
    pub(super) full_name: String,
    /// Where it lies: a server, a token, a file. A key of the same name elsewhere is another one.
    pub(super) place: String,
}

impl ChosenKey {
    /// What people call it.
    pub(super) fn service(&self) -> &str {
        self.key_service.as_deref().unwrap_or("recovery key")
    }
}

/// Where the key of a key service lies.
pub(super) fn place_of(service: &KeyServiceConfig) -> String {
    match service {
        KeyServiceConfig::AwsKms(config) => match &config.endpoint {
            Some(endpoint) => format!("{endpoint} in {}", config.region),
            None => format!("AWS KMS in {}", config.region),
        },
        KeyServiceConfig::VaultTransit(config) => {
            let namespace = config.namespace.as_deref().unwrap_or_default();
            format!(
                "{} namespace {namespace:?} key {}/{}",
                config.endpoint, config.mount, config.key
            )
        }
        KeyServiceConfig::Pkcs11(config) => format!(
            "token {:?} of {} key {:?}",
            config.token,
            config.module.display(),
            config.key
        ),
        KeyServiceConfig::Local { file, .. } => place_of_file(file),
    }
}

/// Where a key file lies.
pub(super) fn place_of_file(file: &Path) -> String {
    let absolute = std::path::absolute(file);
    format!("file {}", absolute.as_deref().unwrap_or(file).display())
}

/// What has become of a key. Written down before and after each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "WrittenState")]
pub(super) enum KeyState {
    /// It can be used, as far as is known.
    Planned,
    /// Its destruction was asked for, and the answer is not known.
    Asked,
    /// The zeros in the place of its file are on disk; the file may still be there.
    Overwritten,
    /// It is gone, or going.
    Destroyed(DestroyedKey),
    /// Nothing shows what has become of it, and the operator states that it is destroyed; with what was known of it then.
    ByWord(String),
}

/// The same as files have it, those of earlier versions, too. These need a confirmation, which finds out what each key is.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenState {
    Planned,
    Asked,
    Refused(#[expect(dead_code, reason = "it was said then")] String),
    Overwritten,
    Stated,
    Destroyed(DestroyedKey),
    OutOfReach(DestroyedKey),
    TakenBack(#[expect(dead_code, reason = "it does not count any more")] DestroyedKey),
    ByWord(String),
}

impl From<WrittenState> for KeyState {
    fn from(written: WrittenState) -> Self {
        match written {
            WrittenState::Planned => Self::Planned,
            WrittenState::Asked
            | WrittenState::Refused(_)
            | WrittenState::Stated
            | WrittenState::TakenBack(_) => Self::Asked,
            WrittenState::Overwritten => Self::Overwritten,
            WrittenState::Destroyed(key) | WrittenState::OutOfReach(key) => Self::Destroyed(key),
            WrittenState::ByWord(known) => Self::ByWord(known),
        }
    }
}

/// A key that is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedKey {
    pub(super) chosen: ChosenKey,
    pub(super) state: KeyState,
    /// Its destruction was asked for at some time: it may be heard late, whatever the key shows.
    #[serde(default)]
    pub(super) was_asked: bool,
    /// Nothing tells whether its destruction was asked for.
    #[serde(default)]
    pub(super) may_have_been_asked: bool,
    /// The operator has stated at some time that it is destroyed.
    #[serde(default)]
    pub(super) was_stated: bool,
    /// What it showed last, of a key that is to go and that cannot be used: disabled, say, or scheduled by somebody else.
    #[serde(default)]
    pub(super) shown: Option<String>,
}

impl PlannedKey {
    pub(super) fn new(chosen: ChosenKey) -> Self {
        Self {
            chosen,
            state: KeyState::Planned,
            was_asked: false,
            may_have_been_asked: false,
            was_stated: false,
            shown: None,
        }
    }

    /// Whether it is the key of the key service of this name.
    pub(super) fn is_of(&self, key_service: &str) -> bool {
        self.chosen.key_service.as_deref() == Some(key_service)
    }

    /// Whether it may be gone.
    pub(super) fn may_be_gone(&self) -> bool {
        self.state != KeyState::Planned
    }

    /// Whether its destruction was asked for at any time, as far as is known.
    pub(super) fn was_asked_for(&self) -> bool {
        self.was_asked || self.may_be_gone()
    }

    /// Whether its destruction was asked for at any time, or may have been, so that it may be gone by now.
    pub(super) fn was_ever_asked(&self) -> bool {
        self.was_asked_for() || self.may_have_been_asked
    }

    /// Whether nobody is asked about it any more, by the operator's word.
    pub(super) fn is_not_asked(&self) -> bool {
        matches!(self.state, KeyState::ByWord(_))
    }

    /// The key file that it lies in, if it does.
    pub(super) fn file(&self, config: &Config, recovery: Option<&PathBuf>) -> Option<PathBuf> {
        let Some(name) = &self.chosen.key_service else {
            return recovery.cloned();
        };
        match configured(config, name) {
            Some(KeyServiceConfig::Local { file, .. }) => Some(file.clone()),
            _ => None,
        }
    }
}

fn configured<'a>(config: &'a Config, key_service: &str) -> Option<&'a KeyServiceConfig> {
    config
        .key_services
        .get(config.key_service_place(key_service)?)
}

/// What is destroyed, as it was found before anything was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// All names of the domain, the present one first.
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<PlannedKey>,
    /// The buckets that were looked at.
    pub(super) buckets: Vec<String>,
    /// Working keys of the domain whose records were verified, each with its id.
    pub(super) records: Vec<String>,
    /// Versions of objects in the domain.
    pub(super) objects: u64,
    pub(super) sample: Vec<SampledObject>,
    /// What was found and is nobody's refusal, but for whoever reads the certificate.
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// The keys that go, by name.
    pub(super) fn has(&self, key: &KeyName) -> bool {
        self.keys.iter().any(|planned| planned.chosen.key == *key)
    }

    /// The keys that nobody is asked about any more.
    pub(super) fn not_asked(&self) -> Vec<KeyName> {
        let keys = self.keys.iter().filter(|key| key.is_not_asked());
        keys.map(|key| key.chosen.key.clone()).collect()
    }

    /// The same before anything was asked for.
    pub(super) fn as_planned(&self) -> Self {
        let keys = self.keys.iter().map(|key| key.chosen.clone());
        Self {
            keys: keys.map(PlannedKey::new).collect(),
            ..Self::default()
        }
    }

    /// Whether any key may be gone.
    pub(super) fn is_begun(&self) -> bool {
        self.keys.iter().any(PlannedKey::was_ever_asked)
    }

    /// Whether none is, as far as was found out.
    pub(super) fn is_whole(&self) -> bool {
        !self.keys.iter().any(PlannedKey::may_be_gone)
    }

    /// That the configuration still has each key where it was.
    ///
    /// # Errors
    ///
    /// Where it has not: then nobody can tell whether what is not found there is gone.
    pub(super) fn check_places(&self, config: &Config) -> anyhow::Result<()> {
        for PlannedKey { chosen, .. } in &self.keys {
            let Some(name) = &chosen.key_service else {
                continue;
            };
            let service = configured(config, name).with_context(|| {
                format!("no [[key_service]] has the name {name} any more; this run needs the configuration that it began with")
            })?;
            let place = place_of(service);
            ensure!(
                place == chosen.place,
                "the key of the key service {name} was at {} when the order was given, and the configuration says {place} now: what is not found there need not be gone. This run needs the configuration that it began with",
                chosen.place
            );
        }
        Ok(())
    }
}

/// One version of an object that opened before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampledObject {
    pub(super) version: StoredVersion,
    /// The domain that it opened in.
    pub(super) domain: String,
    /// The id of its working key.
    pub(super) working_key: String,
    /// All wraps of that key, of its header and of its record: so that they can be tried whatever becomes of both.
    pub(super) wraps: Vec<KeptWrap>,
}

/// A wrap, as an order keeps it: ciphertext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptWrap {
    provider: u8,
    key_reference: String,
    /// In base64.
    blob: String,
}

impl KeptWrap {
    pub(super) fn of(wrap: &Wrap) -> Self {
        Self {
            provider: wrap.provider().code(),
            key_reference: wrap.key_reference().to_string(),
            blob: BASE64.encode(wrap.blob()),
        }
    }

    pub(super) fn wrap(&self) -> anyhow::Result<Wrap> {
        Ok(Wrap::new(
            Provider::from_code(self.provider)?,
            self.key_reference.parse()?,
            BASE64.decode(self.blob.as_bytes())?,
        )?)
    }
}

/// Where one version of an object lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredVersion {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version_id: Option<String>,
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
