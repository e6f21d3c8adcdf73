//! ReplicateKey: a multi-Region key in another region, with the same id and the same material.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html>

use serde::{Deserialize, Serialize};

use super::key_metadata::KeyMetadata;
use super::{Call, refuse_feature, required_key};
use crate::constraints::Constraints;
use crate::error::KmsError;
use crate::identifier::Realm;

/// Longest name of a region, in characters.
const MAX_REGION: usize = 32;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReplicateKeyRequest {
    key_id: Option<String>,
    replica_region: Option<String>,
    policy: Option<String>,
    description: Option<String>,
    tags: Option<Vec<serde_json::Value>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReplicateKeyResponse {
    replica_key_metadata: KeyMetadata,
}

/// ReplicateKey. A replica shares description, tags and state with its primary key here, which AWS keeps apart.
pub(super) fn replicate_key(
    call: &mut Call<'_>,
    request: &ReplicateKeyRequest,
) -> Result<ReplicateKeyResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    let region = request.replica_region.as_deref();
    constraints
        .required("replicaRegion", request.replica_region.as_ref())
        .text("replicaRegion", region, 1, MAX_REGION);
    constraints.check()?;
    let own = request.policy.is_some() || request.description.is_some() || request.tags.is_some();
    refuse_feature(
        own,
        "replicas with a policy, description or tags of their own",
    )?;
    let id = call.resolve_id(name)?;
    call.require_home("replication of keys")?;
    let region = region.unwrap_or_default();
    let replica = call.replica_realm(region)?;
    call.store
        .change(|catalogue| catalogue.replicate(id, call.realm, &replica))?;
    let catalogue = call.store.catalogue();
    Ok(ReplicateKeyResponse {
        replica_key_metadata: KeyMetadata::new(catalogue.key(id, &replica)?, &replica, call.home()),
    })
}

impl Call<'_> {
    /// The realm of another region that this server answers for.
    fn replica_realm(&self, region: &str) -> Result<Realm, KmsError> {
        let replica = self.store.replica_realm(region).cloned();
        replica.ok_or_else(|| {
            KmsError::validation(format!(
                "this server does not answer for the region {region:?}; start it with --replica-region"
            ))
        })
    }
}
