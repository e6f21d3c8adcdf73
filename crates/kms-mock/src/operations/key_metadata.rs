//! `KeyMetadata`: what CreateKey and DescribeKey tell of a key.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html>

use serde::Serialize;

use crate::catalogue::{Key, KeyState};
use crate::identifier::{Realm, id_text, is_multi_region};
use crate::wire::Timestamp;

/// The one key spec of this server, in three members of the metadata.
pub(super) const SYMMETRIC_DEFAULT: &str = "SYMMETRIC_DEFAULT";
/// The one key usage of this server.
pub(super) const ENCRYPT_DECRYPT: &str = "ENCRYPT_DECRYPT";
/// The one origin of key material.
pub(super) const AWS_KMS: &str = "AWS_KMS";

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    account: String,
    arn: String,
    creation_date: Timestamp,
    current_key_material_id: String,
    customer_master_key_spec: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<Timestamp>,
    description: String,
    enabled: bool,
    encryption_algorithms: [&'static str; 1],
    key_id: String,
    key_manager: &'static str,
    key_spec: &'static str,
    key_state: &'static str,
    key_usage: &'static str,
    multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region_configuration: Option<MultiRegionConfiguration>,
    origin: &'static str,
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_MultiRegionConfiguration.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionConfiguration {
    multi_region_key_type: &'static str,
    primary_key: RelatedKey,
    replica_keys: Vec<RelatedKey>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RelatedKey {
    arn: String,
    region: String,
}

impl MultiRegionConfiguration {
    fn of(key: &Key, realm: &Realm, home: &str) -> Option<Self> {
        let related = |region: &str| RelatedKey {
            arn: Realm {
                region: region.to_owned(),
                ..realm.clone()
            }
            .key_arn(key.id),
            region: region.to_owned(),
        };
        is_multi_region(key.id).then(|| Self {
            multi_region_key_type: if realm.of_replicas {
                "REPLICA"
            } else {
                "PRIMARY"
            },
            primary_key: related(home),
            replica_keys: key.replicas.iter().map(|region| related(region)).collect(),
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyMetadataResponse {
    key_metadata: KeyMetadata,
}

impl KeyMetadata {
    /// What is told of a key in a region; `home` is the one that keys are made in.
    pub(super) fn new(key: &Key, realm: &Realm, home: &str) -> Self {
        let deletion_date = match key.state {
            KeyState::PendingDeletion { deletion, .. } => Some(Timestamp(deletion)),
            KeyState::Enabled | KeyState::Disabled => None,
        };
        Self {
            account: realm.account.clone(),
            arn: realm.key_arn(key.id),
            creation_date: Timestamp(key.created),
            current_key_material_id: key.current.id().to_string(),
            customer_master_key_spec: SYMMETRIC_DEFAULT,
            deletion_date,
            description: key.description.clone(),
            enabled: key.state == KeyState::Enabled,
            encryption_algorithms: [SYMMETRIC_DEFAULT],
            key_id: id_text(key.id),
            key_manager: "CUSTOMER",
            key_spec: SYMMETRIC_DEFAULT,
            key_state: state_name(key.state),
            key_usage: ENCRYPT_DECRYPT,
            multi_region: is_multi_region(key.id),
            multi_region_configuration: MultiRegionConfiguration::of(key, realm, home),
            origin: AWS_KMS,
        }
    }
}

impl KeyMetadataResponse {
    pub(super) fn new(key: &Key, realm: &Realm, home: &str) -> Self {
        Self {
            key_metadata: KeyMetadata::new(key, realm, home),
        }
    }
}

/// The name of a state in `KeyState`.
pub(super) const fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Enabled => "Enabled",
        KeyState::Disabled => "Disabled",
        KeyState::PendingDeletion { .. } => "PendingDeletion",
    }
}
