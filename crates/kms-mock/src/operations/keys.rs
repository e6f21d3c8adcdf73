//! CreateKey, DescribeKey, ListKeys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::key_metadata::{AWS_KMS, ENCRYPT_DECRYPT, KeyMetadataResponse, SYMMETRIC_DEFAULT};
use super::paging::{Page, PageSize, invalid_marker};
use super::{Call, refuse_feature, refuse_grant_tokens, required_key};
use crate::catalogue::{Key, KeyState};
use crate::constraints::Constraints;
use crate::error::{ErrorCode, KmsError};
use crate::identifier::{KeyIdentifier, check_alias_name, id_text, new_multi_region_id, parse_id};
use crate::material::Material;
use crate::store::Store;

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 8192;
/// Most tags of a key.
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
const KEY_PAGE: PageSize = PageSize {
    max: 1000,
    default: 100,
};

const KEY_USAGES: [&str; 5] = [
    "SIGN_VERIFY",
    ENCRYPT_DECRYPT,
    "GENERATE_VERIFY_MAC",
    "KEY_AGREEMENT",
    "ENCAPSULATE_DECAPSULATE",
];
const KEY_SPECS: [&str; 20] = [
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    SYMMETRIC_DEFAULT,
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
];
const ORIGINS: [&str; 4] = [AWS_KMS, "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"];
const RESOURCE_OWNERS: [&str; 2] = ["SELF", "OTHER_ACCOUNTS_VIA_RAM"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    tag_key: Option<String>,
    tag_value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateKeyRequest {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    customer_master_key_spec: Option<String>,
    key_spec: Option<String>,
    origin: Option<String>,
    custom_key_store_id: Option<String>,
    tags: Option<Vec<Tag>>,
    multi_region: Option<bool>,
    xks_key_id: Option<String>,
}

/// CreateKey: a symmetric key with fresh material.
pub(super) fn create_key(
    call: &mut Call<'_>,
    request: CreateKeyRequest,
) -> Result<KeyMetadataResponse, KmsError> {
    let tags = request.tags.unwrap_or_default();
    let mut constraints = Constraints::default();
    constraints
        .text(
            "description",
            request.description.as_deref(),
            0,
            MAX_DESCRIPTION,
        )
        .one_of("keyUsage", request.key_usage.as_deref(), &KEY_USAGES)
        .one_of(
            "customerMasterKeySpec",
            request.customer_master_key_spec.as_deref(),
            &KEY_SPECS,
        )
        .one_of("keySpec", request.key_spec.as_deref(), &KEY_SPECS)
        .one_of("origin", request.origin.as_deref(), &ORIGINS);
    for (position, tag) in (1..).zip(&tags) {
        let member = |name| format!("tags.{position}.member.{name}");
        constraints
            .required(&member("tagKey"), tag.tag_key.as_ref())
            .text(&member("tagKey"), tag.tag_key.as_deref(), 1, MAX_TAG_KEY)
            .required(&member("tagValue"), tag.tag_value.as_ref())
            .text(
                &member("tagValue"),
                tag.tag_value.as_deref(),
                0,
                MAX_TAG_VALUE,
            );
    }
    constraints.check()?;
    let tags = tags
        .into_iter()
        .filter_map(|tag| Some((tag.tag_key?, tag.tag_value?)))
        .collect();
    let tags = checked_tags(tags)?;

    let specs = (
        request.key_spec.as_deref(),
        request.customer_master_key_spec.as_deref(),
    );
    if let (Some(_), Some(_)) = specs {
        return Err(KmsError::validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request.",
        ));
    }
    let spec = specs.0.or(specs.1).unwrap_or(SYMMETRIC_DEFAULT);
    match (spec, request.key_usage.as_deref()) {
        (SYMMETRIC_DEFAULT, None | Some(ENCRYPT_DECRYPT)) => {}
        (SYMMETRIC_DEFAULT, Some(usage)) => {
            return Err(KmsError::validation(format!(
                "KeyUsage {usage} is not compatible with KeySpec {spec}"
            )));
        }
        (_, None) => {
            return Err(KmsError::validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
            ));
        }
        (_, Some(_)) => refuse_feature(
            true,
            &format!("keys of spec {spec}: its keys are {SYMMETRIC_DEFAULT}"),
        )?,
    }
    if let Some(id) = request.custom_key_store_id {
        return Err(KmsError::new(
            ErrorCode::CustomKeyStoreNotFound,
            format!("there is no custom key store {id}: this server has none"),
        ));
    }
    let foreign =
        request.xks_key_id.is_some() || request.origin.is_some_and(|origin| origin != AWS_KMS);
    refuse_feature(
        foreign,
        &format!("key material from outside: its keys are of origin {AWS_KMS}"),
    )?;
    // To accept a policy and not to enforce it would promise what is not kept.
    refuse_feature(
        request.policy.is_some(),
        "key policies: who may do what is a setting of its principals",
    )?;

    call.require_home("making of keys")?;
    let id = if request.multi_region == Some(true) {
        new_multi_region_id()
    } else {
        Uuid::new_v4()
    };
    let key = new_key(id, request.description.unwrap_or_default(), tags, call.now)?;
    let response = KeyMetadataResponse::new(&key, call.realm(), call.home());
    call.record.key_id = Some(call.realm().key_arn(key.id));
    call.store.change(|catalogue| catalogue.add_key(key))?;
    Ok(response)
}

fn checked_tags(tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, KmsError> {
    if tags.len() > MAX_TAGS {
        return Err(KmsError::new(
            ErrorCode::LimitExceeded,
            format!("a key has at most {MAX_TAGS} tags"),
        ));
    }
    let mut names: Vec<&str> = tags.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < tags.len() || names.iter().any(|name| name.starts_with("aws:")) {
        return Err(KmsError::new(
            ErrorCode::Tag,
            "tag keys must be different and must not begin with aws:",
        ));
    }
    Ok(tags)
}

fn new_key(
    id: Uuid,
    description: String,
    tags: Vec<(String, String)>,
    now: OffsetDateTime,
) -> Result<Key, KmsError> {
    let current = Arc::new(Material::generate(id)?);
    Ok(Key {
        id,
        description,
        tags,
        created: now,
        state: KeyState::Enabled,
        current,
        earlier: Vec::new(),
        rotations: Vec::new(),
        replicas: Vec::new(),
    })
}

/// Finds the key of an alias, or creates both in one change; the key's id.
///
/// # Errors
///
/// What CreateAlias refuses, and `KMSInternalException` when the state cannot be written.
pub(crate) fn create_key_for_alias(
    store: &Store,
    name: &str,
    now: OffsetDateTime,
) -> Result<Uuid, KmsError> {
    super::aliases::check_name(name)?;
    check_alias_name(name)?;
    let identifier = KeyIdentifier::Alias(name.to_owned());
    if let Ok(key) = store.catalogue().resolve(&identifier, store.realm()) {
        return Ok(key.id);
    }
    let id = Uuid::new_v4();
    let key = new_key(id, String::new(), Vec::new(), now)?;
    store.change(|catalogue| {
        catalogue.add_key(key)?;
        catalogue.add_alias(name, id, store.realm(), now)
    })?;
    Ok(id)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeKeyRequest {
    key_id: Option<String>,
    grant_tokens: Option<Vec<String>>,
}

/// DescribeKey.
pub(super) fn describe_key(
    call: &mut Call<'_>,
    request: &DescribeKeyRequest,
) -> Result<KeyMetadataResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    constraints.check()?;
    refuse_grant_tokens(request.grant_tokens.as_ref())?;
    let key = call.resolve(&call.store.catalogue(), name)?;
    Ok(KeyMetadataResponse::new(&key, call.realm(), call.home()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeysRequest {
    limit: Option<i64>,
    marker: Option<String>,
    resource_owners: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyListEntry {
    key_arn: String,
    key_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeysResponse {
    keys: Vec<KeyListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// ListKeys.
pub(super) fn list_keys(
    call: &Call<'_>,
    request: &ListKeysRequest,
) -> Result<ListKeysResponse, KmsError> {
    let owners = request.resource_owners.as_deref();
    let mut constraints = Constraints::default();
    constraints.blob(
        "resourceOwners",
        owners.map(<[String]>::len),
        1,
        RESOURCE_OWNERS.len(),
    );
    for owner in owners.unwrap_or_default() {
        constraints.one_of("resourceOwners", Some(owner), &RESOURCE_OWNERS);
    }
    constraints.check()?;
    let page = Page::read(request.limit, request.marker.as_deref(), &KEY_PAGE)?;
    let after = page
        .after()
        .map(|name| parse_id(name).ok_or_else(invalid_marker))
        .transpose()?;
    let own = owners.is_none_or(|owners| owners.iter().any(|owner| owner == "SELF"));
    let catalogue = call.store.catalogue();
    let (keys, next_marker) = page.take(
        catalogue
            .keys_after(after)
            .filter(|key| own && key.is_in(call.realm())),
        |key| id_text(key.id),
    );
    let keys = keys.iter().map(|key| KeyListEntry {
        key_arn: call.realm().key_arn(key.id),
        key_id: id_text(key.id),
    });
    Ok(ListKeysResponse {
        keys: keys.collect(),
        truncated: next_marker.is_some(),
        next_marker,
    })
}
