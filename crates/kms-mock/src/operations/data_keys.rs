//! GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Call, end_dry_run, refuse_feature, refuse_grant_tokens, required_key};
use crate::ciphertext::seal;
use crate::constraints::Constraints;
use crate::encryption_context::EncryptionContext;
use crate::error::{ErrorCode, KmsError};
use crate::material::fill_random;
use crate::wire::Blob;

/// Most random bytes of one request.
const MAX_RANDOM_BYTES: u16 = 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GenerateDataKeyRequest {
    key_id: Option<String>,
    encryption_context: Option<BTreeMap<String, String>>,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    grant_tokens: Option<Vec<String>>,
    recipient: Option<IgnoredAny>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GenerateDataKeyResponse {
    ciphertext_blob: Blob,
    key_id: String,
    key_material_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<Blob>,
}

/// GenerateDataKey: a random key, in clear and wrapped.
pub(super) fn generate_data_key(
    call: &mut Call<'_>,
    request: GenerateDataKeyRequest,
) -> Result<GenerateDataKeyResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    constraints
        .range(
            "numberOfBytes",
            request.number_of_bytes,
            1,
            i64::from(MAX_RANDOM_BYTES),
        )
        .one_of(
            "keySpec",
            request.key_spec.as_deref(),
            &["AES_256", "AES_128"],
        )
        .check()?;
    let length = match (request.key_spec.as_deref(), request.number_of_bytes) {
        (Some("AES_128"), None) => 16,
        (Some(_), None) => 32,
        (None, Some(number)) => random_length(number),
        _ => {
            return Err(KmsError::validation(
                "Please specify either number of bytes or key spec.",
            ));
        }
    };
    let context = EncryptionContext::new(request.encryption_context, "encryptionContext")?;
    call.record_context(&context);
    refuse_grant_tokens(request.grant_tokens.as_ref())?;
    refuse_feature(request.recipient.is_some(), "attested recipients")?;
    let key = call.resolve(&call.store.catalogue(), name)?;
    key.check_usable(call.realm())?;
    end_dry_run(request.dry_run)?;

    let plaintext = random(length)?;
    let blob = seal(
        key.id,
        &key.current,
        call.store.header_key(),
        &context,
        &plaintext,
    )?;
    Ok(GenerateDataKeyResponse {
        ciphertext_blob: Blob::new(blob),
        key_id: call.realm().key_arn(key.id),
        key_material_id: key.current.id().to_string(),
        plaintext: Some(Blob(plaintext)),
    })
}

/// GenerateDataKeyWithoutPlaintext: a random key, wrapped alone.
pub(super) fn generate_data_key_without_plaintext(
    call: &mut Call<'_>,
    request: GenerateDataKeyRequest,
) -> Result<GenerateDataKeyResponse, KmsError> {
    let response = generate_data_key(call, request)?;
    Ok(GenerateDataKeyResponse {
        plaintext: None,
        ..response
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GenerateRandomRequest {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<IgnoredAny>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GenerateRandomResponse {
    plaintext: Blob,
}

/// GenerateRandom.
pub(super) fn generate_random(
    request: &GenerateRandomRequest,
) -> Result<GenerateRandomResponse, KmsError> {
    Constraints::default()
        .range(
            "numberOfBytes",
            request.number_of_bytes,
            1,
            i64::from(MAX_RANDOM_BYTES),
        )
        .check()?;
    let Some(number) = request.number_of_bytes else {
        return Err(KmsError::validation("NumberOfBytes is required."));
    };
    if let Some(id) = &request.custom_key_store_id {
        return Err(KmsError::new(
            ErrorCode::CustomKeyStoreNotFound,
            format!("there is no custom key store {id}: this server has none"),
        ));
    }
    refuse_feature(request.recipient.is_some(), "attested recipients")?;
    Ok(GenerateRandomResponse {
        plaintext: Blob(random(random_length(number))?),
    })
}

/// A number of bytes that has been checked against [`MAX_RANDOM_BYTES`].
fn random_length(number: i64) -> usize {
    usize::try_from(number)
        .unwrap_or_default()
        .min(usize::from(MAX_RANDOM_BYTES))
}

fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    fill_random(&mut bytes)?;
    Ok(bytes)
}
