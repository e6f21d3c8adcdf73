//! `KeyMetadata`: what CreateKey and DescribeKey tell of a key.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html>

use serde::Serialize;

use crate::catalogue::{Key, KeyState};
use crate::identifier::Realm;
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
    origin: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyMetadataResponse {
    key_metadata: KeyMetadata,
}

impl KeyMetadataResponse {
    pub(super) fn new(key: &Key, realm: &Realm) -> Self {
        let deletion_date = match key.state {
            KeyState::PendingDeletion { deletion, .. } => Some(Timestamp(deletion)),
            KeyState::Enabled | KeyState::Disabled => None,
        };
        let key_metadata = KeyMetadata {
            account: realm.account.clone(),
            arn: realm.key_arn(key.id),
            creation_date: Timestamp(key.created),
            current_key_material_id: key.current.id().to_string(),
            customer_master_key_spec: SYMMETRIC_DEFAULT,
            deletion_date,
            description: key.description.clone(),
            enabled: key.state == KeyState::Enabled,
            encryption_algorithms: [SYMMETRIC_DEFAULT],
            key_id: key.id.to_string(),
            key_manager: "CUSTOMER",
            key_spec: SYMMETRIC_DEFAULT,
            key_state: state_name(key.state),
            key_usage: ENCRYPT_DECRYPT,
            multi_region: false,
            origin: AWS_KMS,
        };
        Self { key_metadata }
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
