//! The operations: one function each, from its request to its response.

mod aliases;
mod cryptography;
mod data_keys;
mod key_metadata;
mod key_states;
mod keys;
mod named_keys;
mod paging;
mod replicas;
mod rotations;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::catalogue::{Catalogue, Key};
use crate::constraints::Constraints;
use crate::encryption_context::EncryptionContext;
use crate::error::{ErrorCode, KmsError};
use crate::identifier::{KeyIdentifier, Realm};
use crate::operation::Operation;
use crate::request_log::Record;
use crate::store::Store;

pub(crate) use keys::create_key_for_alias;
pub(crate) use named_keys::named_keys;

/// Longest key identifier, in characters.
const MAX_KEY_ID: usize = 2048;
/// Most grant tokens of a request.
const MAX_GRANT_TOKENS: usize = 10;
/// Room for the longest response that holds a plaintext, so that its buffer never moves and leaves a copy behind.
const RESPONSE_CAPACITY: usize = 16 << 10;

/// One call: the store, the time, and the record of it that goes to the request log.
pub(crate) struct Call<'a> {
    pub(crate) store: &'a Store,
    /// The account and region that the request was signed for.
    pub(crate) realm: &'a Realm,
    pub(crate) now: OffsetDateTime,
    pub(crate) record: &'a mut Record,
}

impl<'a> Call<'a> {
    fn realm(&self) -> &'a Realm {
        self.realm
    }

    /// The region that keys are made in.
    fn home(&self) -> &'a str {
        &self.store.realm().region
    }

    /// Refuses in a region of replicas what only the region that keys are made in offers.
    fn require_home(&self, feature: &str) -> Result<(), KmsError> {
        refuse_feature(
            self.realm.of_replicas,
            &format!("{feature} in a region of replicas; ask in {}", self.home()),
        )
    }

    /// The key that a request names, in the record from then on.
    fn resolve(&mut self, catalogue: &Catalogue, text: &str) -> Result<Arc<Key>, KmsError> {
        self.record.key_id = Some(text.to_owned());
        let key = find_key(catalogue, text, self.realm())?;
        self.record.key_id = Some(self.realm().key_arn(key.id));
        Ok(key)
    }

    /// The same for an operation that refuses aliases.
    fn resolve_id(&mut self, text: &str) -> Result<uuid::Uuid, KmsError> {
        self.record.key_id = Some(text.to_owned());
        let id = KeyIdentifier::parse_id_or_arn(text, self.realm())?;
        self.record.key_id = Some(self.realm().key_arn(id));
        Ok(id)
    }

    fn record_context(&mut self, context: &EncryptionContext) {
        self.record.encryption_context = Some(context.pairs().clone());
    }
}

/// The key that a request names, for operations that do not know `InvalidArnException`.
fn find_key(catalogue: &Catalogue, text: &str, realm: &Realm) -> Result<Arc<Key>, KmsError> {
    Ok(Arc::clone(
        catalogue.resolve(&KeyIdentifier::parse(text, realm)?, realm)?,
    ))
}

/// Runs an operation: the body of the request in, the body of the response out.
///
/// # Errors
///
/// The error that the client gets.
pub(crate) fn run(
    operation: Operation,
    call: &mut Call<'_>,
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let nothing = |()| Zeroizing::new(Vec::new());
    match operation {
        Operation::CancelKeyDeletion => {
            answer(&key_states::cancel_key_deletion(call, &read(body)?)?)
        }
        Operation::CreateAlias => aliases::create_alias(call, &read(body)?).map(nothing),
        Operation::CreateKey => answer(&keys::create_key(call, read(body)?)?),
        Operation::Decrypt => answer(&cryptography::decrypt(call, read(body)?)?),
        Operation::DeleteAlias => aliases::delete_alias(call, &read(body)?).map(nothing),
        Operation::DescribeKey => answer(&keys::describe_key(call, &read(body)?)?),
        Operation::DisableKey => key_states::disable_key(call, &read(body)?).map(nothing),
        Operation::EnableKey => key_states::enable_key(call, &read(body)?).map(nothing),
        Operation::Encrypt => answer(&cryptography::encrypt(call, read(body)?)?),
        Operation::GenerateDataKey => answer(&data_keys::generate_data_key(call, read(body)?)?),
        Operation::GenerateDataKeyWithoutPlaintext => answer(
            &data_keys::generate_data_key_without_plaintext(call, read(body)?)?,
        ),
        Operation::GenerateRandom => answer(&data_keys::generate_random(&read(body)?)?),
        Operation::ListAliases => answer(&aliases::list_aliases(call, &read(body)?)?),
        Operation::ListKeyRotations => answer(&rotations::list_key_rotations(call, &read(body)?)?),
        Operation::ListKeys => answer(&keys::list_keys(call, &read(body)?)?),
        Operation::ReplicateKey => answer(&replicas::replicate_key(call, &read(body)?)?),
        Operation::ReEncrypt => answer(&cryptography::re_encrypt(call, read(body)?)?),
        Operation::RotateKeyOnDemand => {
            answer(&rotations::rotate_key_on_demand(call, &read(body)?)?)
        }
        Operation::ScheduleKeyDeletion => {
            answer(&key_states::schedule_key_deletion(call, &read(body)?)?)
        }
    }
}

/// Whether an operation changes the state and so waits for the disk.
pub(crate) fn waits_for_disk(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CancelKeyDeletion
            | Operation::CreateAlias
            | Operation::CreateKey
            | Operation::DeleteAlias
            | Operation::DisableKey
            | Operation::EnableKey
            | Operation::ReplicateKey
            | Operation::RotateKeyOnDemand
            | Operation::ScheduleKeyDeletion
    )
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body).map_err(|error| {
        // The place alone: the message of serde_json can quote a value, and a value can be a plaintext.
        KmsError::new(
            ErrorCode::Serialization,
            format!(
                "the body is not the JSON document that the operation takes: line {}, column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

fn answer<T: Serialize>(response: &T) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(RESPONSE_CAPACITY));
    serde_json::to_writer(&mut *bytes, response)
        .map_err(|_| KmsError::internal("the response cannot be written"))?;
    Ok(bytes)
}

/// The key identifier of a request, which must be there.
fn required_key<'a>(
    constraints: &mut Constraints,
    member: &str,
    value: Option<&'a String>,
) -> &'a str {
    constraints
        .required(member, value)
        .text(member, value.map(String::as_str), 1, MAX_KEY_ID);
    value.map(String::as_str).unwrap_or_default()
}

fn optional_key(constraints: &mut Constraints, member: &str, value: Option<&String>) {
    constraints.text(member, value.map(String::as_str), 1, MAX_KEY_ID);
}

/// Refuses grant tokens: this server issues none, so none can be valid.
fn refuse_grant_tokens(tokens: Option<&Vec<String>>) -> Result<(), KmsError> {
    let tokens = tokens.map(Vec::as_slice).unwrap_or_default();
    Constraints::default()
        .list("grantTokens", tokens, MAX_GRANT_TOKENS)
        .check()?;
    if tokens.is_empty() {
        return Ok(());
    }
    Err(KmsError::new(
        ErrorCode::InvalidGrantToken,
        "the grant token is not valid: this server has no grants; give the principal the operation instead",
    ))
}

/// Refuses features of KMS that this server does not have.
fn refuse_feature(present: bool, feature: &str) -> Result<(), KmsError> {
    if present {
        return Err(KmsError::new(
            ErrorCode::UnsupportedOperation,
            format!("this server does not offer {feature}"),
        ));
    }
    Ok(())
}

/// The end of a dry run, which would have succeeded.
fn end_dry_run(dry_run: Option<bool>) -> Result<(), KmsError> {
    if dry_run == Some(true) {
        return Err(KmsError::new(
            ErrorCode::DryRunOperation,
            "The request would have succeeded, but the DryRun option is set.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
