//! Encrypt, Decrypt, ReEncrypt.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::key_metadata::SYMMETRIC_DEFAULT;
use super::{
    Call, end_dry_run, find_key, optional_key, refuse_feature, refuse_grant_tokens, required_key,
};
use crate::catalogue::{Catalogue, Key};
use crate::ciphertext::{self, seal};
use crate::constraints::Constraints;
use crate::encryption_context::EncryptionContext;
use crate::error::{ErrorCode, KmsError};
use crate::material::MaterialId;
use crate::wire::Blob;

/// Longest plaintext of Encrypt, in bytes.
const MAX_PLAINTEXT: usize = 4096;
/// Longest ciphertext blob, in bytes.
const MAX_CIPHERTEXT: usize = 6144;
/// The encryption algorithms of the API; keys of this server have the first.
const ENCRYPTION_ALGORITHMS: [&str; 4] = [
    SYMMETRIC_DEFAULT,
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "SM2PKE",
];
const IGNORE_CIPHERTEXT: &str = "IGNORE_CIPHERTEXT";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EncryptRequest {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    encryption_context: Option<BTreeMap<String, String>>,
    grant_tokens: Option<Vec<String>>,
    encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EncryptResponse {
    ciphertext_blob: Blob,
    encryption_algorithm: &'static str,
    key_id: String,
}

/// Encrypt.
pub(super) fn encrypt(
    call: &mut Call<'_>,
    request: EncryptRequest,
) -> Result<EncryptResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    constraints
        .required("plaintext", request.plaintext.as_ref())
        .blob(
            "plaintext",
            request.plaintext.as_ref().map(|blob| blob.0.len()),
            1,
            MAX_PLAINTEXT,
        );
    let algorithm = algorithm(
        &mut constraints,
        "encryptionAlgorithm",
        request.encryption_algorithm.as_ref(),
    );
    constraints.check()?;
    let context = EncryptionContext::new(request.encryption_context, "encryptionContext")?;
    call.record_context(&context);
    refuse_grant_tokens(request.grant_tokens.as_ref())?;
    let key = call.resolve(&call.store.catalogue(), name)?;
    key.check_usable(call.realm())?;
    check_algorithm(call, &key, algorithm)?;
    end_dry_run(request.dry_run)?;

    let plaintext = request.plaintext.unwrap_or_else(|| Blob::new(Vec::new()));
    let blob = seal(
        key.id,
        &key.current,
        call.store.header_key(),
        &context,
        &plaintext.0,
    )?;
    Ok(EncryptResponse {
        ciphertext_blob: Blob::new(blob),
        encryption_algorithm: SYMMETRIC_DEFAULT,
        key_id: call.realm().key_arn(key.id),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DecryptRequest {
    ciphertext_blob: Option<Blob>,
    encryption_context: Option<BTreeMap<String, String>>,
    grant_tokens: Option<Vec<String>>,
    key_id: Option<String>,
    encryption_algorithm: Option<String>,
    recipient: Option<IgnoredAny>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DecryptResponse {
    encryption_algorithm: &'static str,
    key_id: String,
    key_material_id: String,
    plaintext: Blob,
}

/// Decrypt, with or without naming the key.
pub(super) fn decrypt(
    call: &mut Call<'_>,
    request: DecryptRequest,
) -> Result<DecryptResponse, KmsError> {
    let source = Source {
        blob: request.ciphertext_blob,
        key: request.key_id,
        key_member: "keyId",
        algorithm: request.encryption_algorithm,
        algorithm_member: "encryptionAlgorithm",
        dry_run: request.dry_run,
        modifiers: request.dry_run_modifiers.unwrap_or_default(),
    };
    source.check(&mut Constraints::default())?;
    let context = EncryptionContext::new(request.encryption_context, "encryptionContext")?;
    call.record_context(&context);
    refuse_grant_tokens(request.grant_tokens.as_ref())?;
    refuse_feature(request.recipient.is_some(), "attested recipients")?;
    let opened = source.open(call, &call.store.catalogue(), &context)?;
    end_dry_run(request.dry_run)?;
    let (plaintext, material) = opened.content()?;
    Ok(DecryptResponse {
        encryption_algorithm: SYMMETRIC_DEFAULT,
        key_id: call.realm().key_arn(opened.key.id),
        key_material_id: material.to_string(),
        plaintext,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReEncryptRequest {
    ciphertext_blob: Option<Blob>,
    source_encryption_context: Option<BTreeMap<String, String>>,
    source_key_id: Option<String>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<BTreeMap<String, String>>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReEncryptResponse {
    ciphertext_blob: Blob,
    destination_encryption_algorithm: &'static str,
    destination_key_material_id: String,
    key_id: String,
    source_encryption_algorithm: &'static str,
    source_key_id: String,
    source_key_material_id: String,
}

/// ReEncrypt: from one key and context to another, without the plaintext leaving the server.
pub(super) fn re_encrypt(
    call: &mut Call<'_>,
    request: ReEncryptRequest,
) -> Result<ReEncryptResponse, KmsError> {
    let source = Source {
        blob: request.ciphertext_blob,
        key: request.source_key_id,
        key_member: "sourceKeyId",
        algorithm: request.source_encryption_algorithm,
        algorithm_member: "sourceEncryptionAlgorithm",
        dry_run: request.dry_run,
        modifiers: request.dry_run_modifiers.unwrap_or_default(),
    };
    let mut constraints = Constraints::default();
    let name = required_key(
        &mut constraints,
        "destinationKeyId",
        request.destination_key_id.as_ref(),
    );
    let wanted = request.destination_encryption_algorithm.as_ref();
    let wanted = algorithm(&mut constraints, "destinationEncryptionAlgorithm", wanted);
    source.check(&mut constraints)?;
    let from =
        EncryptionContext::new(request.source_encryption_context, "sourceEncryptionContext")?;
    let to = EncryptionContext::new(
        request.destination_encryption_context,
        "destinationEncryptionContext",
    )?;
    call.record.source_encryption_context = Some(from.pairs().clone());
    call.record_context(&to);
    refuse_grant_tokens(request.grant_tokens.as_ref())?;
    let catalogue = call.store.catalogue();
    let opened = source.open(call, &catalogue, &from)?;
    call.record.source_key_id = call.record.key_id.take();
    let key = call.resolve(&catalogue, name)?;
    key.check_usable(call.realm())?;
    check_algorithm(call, &key, wanted)?;
    end_dry_run(request.dry_run)?;

    let (plaintext, material) = opened.content()?;
    let blob = seal(
        key.id,
        &key.current,
        call.store.header_key(),
        &to,
        &plaintext.0,
    )?;
    Ok(ReEncryptResponse {
        ciphertext_blob: Blob::new(blob),
        destination_encryption_algorithm: SYMMETRIC_DEFAULT,
        destination_key_material_id: key.current.id().to_string(),
        key_id: call.realm().key_arn(key.id),
        source_encryption_algorithm: SYMMETRIC_DEFAULT,
        source_key_id: call.realm().key_arn(opened.key.id),
        source_key_material_id: material.to_string(),
    })
}

/// What a ciphertext is to be opened with.
struct Source {
    blob: Option<Blob>,
    key: Option<String>,
    key_member: &'static str,
    algorithm: Option<String>,
    algorithm_member: &'static str,
    dry_run: Option<bool>,
    modifiers: Vec<String>,
}

/// A key, and what it opened; nothing for a dry run that ignores the ciphertext.
struct Opened {
    key: Arc<Key>,
    content: Option<(Blob, MaterialId)>,
}

impl Opened {
    fn content(&self) -> Result<(Blob, MaterialId), KmsError> {
        self.content
            .clone()
            .ok_or_else(|| KmsError::internal("a dry run has no plaintext"))
    }
}

impl Source {
    fn ignores_ciphertext(&self) -> bool {
        !self.modifiers.is_empty()
    }

    fn check(&self, constraints: &mut Constraints) -> Result<(), KmsError> {
        optional_key(constraints, self.key_member, self.key.as_ref());
        algorithm(constraints, self.algorithm_member, self.algorithm.as_ref());
        for modifier in &self.modifiers {
            constraints.one_of("dryRunModifiers", Some(modifier), &[IGNORE_CIPHERTEXT]);
        }
        let length = self.blob.as_ref().map(|blob| blob.0.len());
        constraints.blob("ciphertextBlob", length, 1, MAX_CIPHERTEXT);
        if self.ignores_ciphertext() {
            if self.dry_run != Some(true) {
                constraints.violated(
                    "Value",
                    "dryRunModifiers",
                    "Member must not be set without DryRun",
                );
            }
            constraints.required(self.key_member, self.key.as_ref());
        } else {
            constraints.required("ciphertextBlob", self.blob.as_ref());
        }
        constraints.check()
    }

    /// Finds the key, checks that it is the one the request names and may be used, and opens the ciphertext.
    fn open(
        &self,
        call: &mut Call<'_>,
        catalogue: &Catalogue,
        context: &EncryptionContext,
    ) -> Result<Opened, KmsError> {
        let named = match &self.key {
            Some(name) => Some(call.resolve(catalogue, name)?),
            None => None,
        };
        let wanted = self.algorithm.as_deref().unwrap_or(SYMMETRIC_DEFAULT);
        if let (true, Some(key)) = (self.ignores_ciphertext(), &named) {
            key.check_usable(call.realm())?;
            check_algorithm(call, key, wanted)?;
            return Ok(Opened {
                key: Arc::clone(key),
                content: None,
            });
        }
        let bytes = self
            .blob
            .as_ref()
            .map(|blob| blob.0.as_slice())
            .unwrap_or_default();
        let blob = ciphertext::Blob::parse(bytes, call.store.header_key())?;
        let key = match named {
            Some(key) if key.id == blob.key_id() => key,
            Some(_) => {
                return Err(KmsError::new(
                    ErrorCode::IncorrectKey,
                    "The key ID in the request does not identify a CMK that can perform this operation.",
                ));
            }
            None => {
                let arn = call.realm().key_arn(blob.key_id());
                call.record.key_id = Some(arn.clone());
                find_key(catalogue, &arn, call.realm()).map_err(|_| {
                    KmsError::new(
                        ErrorCode::AccessDenied,
                        "The ciphertext refers to a customer master key that does not exist, does not exist in this \
                         region, or you are not allowed to access.",
                    )
                })?
            }
        };
        key.check_usable(call.realm())?;
        check_algorithm(call, &key, wanted)?;
        let material = blob.material_id();
        let secret = key
            .material(material)
            .ok_or_else(|| KmsError::invalid_ciphertext("unknown key material"))?;
        let plaintext = blob.open(secret, context)?;
        Ok(Opened {
            content: Some((Blob(plaintext), material)),
            key,
        })
    }
}

/// The encryption algorithm of a request, which must be one of the API.
fn algorithm<'a>(
    constraints: &mut Constraints,
    member: &str,
    value: Option<&'a String>,
) -> &'a str {
    let value = value.map(String::as_str);
    constraints.one_of(member, value, &ENCRYPTION_ALGORITHMS);
    value.unwrap_or(SYMMETRIC_DEFAULT)
}

/// Refuses an algorithm that the key does not have.
fn check_algorithm(call: &Call<'_>, key: &Key, algorithm: &str) -> Result<(), KmsError> {
    if algorithm == SYMMETRIC_DEFAULT {
        return Ok(());
    }
    Err(KmsError::new(
        ErrorCode::InvalidKeyUsage,
        format!(
            "{} is a key of spec {SYMMETRIC_DEFAULT}; it cannot be used with the algorithm {algorithm}",
            call.realm().key_arn(key.id)
        ),
    ))
}
