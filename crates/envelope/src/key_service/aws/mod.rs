//! Working keys wrapped by AWS KMS, or by any server that speaks its protocol.
//!
//! The key in AWS KMS never leaves the service. Calls: `GenerateDataKey`, `Encrypt`, `Decrypt`, `ReEncrypt` and
//! `DescribeKey`, and `ScheduleKeyDeletion` where somebody asks for it, each bounded in time ([`AwsKmsLimits`]). Source: AWS KMS API Reference; FORMAT.md section 2.
//!
//! A working key crosses the connection inside a JSON answer. Our copies are wiped; the SDK's and the TLS library's
//! buffers are theirs and are freed, not wiped, which happens soon: idle connections, whose buffers hold the last answer,
//! are closed after some seconds. A program whose allocator wipes what is freed leaves nothing behind.

mod bounded_client;
mod classification;
mod client;
mod configuration;

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::{Blob, DateTime};
use aws_sdk_kms::types::{DataKeySpec, KeyMetadata, KeySpec, KeyState, KeyUsageType};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

pub use self::configuration::{AwsCredentials, AwsKmsConfiguration, AwsKmsLimits};
pub use super::trust::TrustRoots;

use self::classification::classify;
use self::configuration::KeyArn;
use super::{
    DeletionManner, EncryptionContext, KeyAvailability, KeyDeletion, KeyDescription, KeyService,
    RewrapSource, UnwrapPermit, check_wrap_is_for, failure_of, key_service_error,
};
use crate::error::{Error, KeyServiceFailure, Result};
use crate::keys::{KeyReference, WorkingKey};
use crate::wrap::{Provider, Wrap};

/// A symmetric key in AWS KMS.
pub struct AwsKms {
    client: Client,
    configured_key: String,
    related_regions: Vec<String>,
    is_at_aws: bool,
    key: OnceCell<PinnedKey>,
}

/// The one key that this service uses from its first call to its last.
struct PinnedKey {
    arn: String,
    reference: KeyReference,
    /// The same multi-Region key in the other Regions that were configured.
    related: Vec<KeyReference>,
}

impl PinnedKey {
    /// `None` where the text is not the ARN of a key.
    fn new(arn: &str, related_regions: &[String]) -> Result<Option<Self>> {
        let Some(parsed) = KeyArn::parse(arn) else {
            return Ok(None);
        };
        if !related_regions.is_empty() && !parsed.is_multi_region() {
            return Err(key_service_error(
                KeyServiceFailure::Misconfigured,
                &format!(
                    "KMS key {arn} is not a multi-Region key (its id does not begin with mrk-), so no other Region has a \
                     key that is related to it; configure none, or a multi-Region key"
                ),
            ));
        }
        let related = related_regions
            .iter()
            .map(|region| KeyReference::of(Provider::AwsKms, &parsed.in_region(region)))
            .collect::<Result<_>>()?;
        Ok(Some(Self {
            arn: arn.to_owned(),
            reference: KeyReference::of(Provider::AwsKms, arn)?,
            related,
        }))
    }

    fn opens(&self, reference: KeyReference) -> bool {
        self.reference == reference || self.related.contains(&reference)
    }
}

impl AwsKms {
    /// Prepares a client. Nothing is sent to the key service yet, so this succeeds while it is down.
    ///
    /// With [`AwsCredentials::DefaultChain`], profile files are read here, and the region is looked up where neither the
    /// configuration nor the key's ARN names one.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] for settings that cannot work: a malformed key name or endpoint, an
    /// unencrypted endpoint that was not allowed, certificates that do not parse, no region.
    /// [`KeyServiceFailure::Misconfigured`] for related Regions of a key that is in one alone.
    pub async fn connect(configuration: AwsKmsConfiguration) -> Result<Self> {
        configuration.check()?;
        let client = client::build(&configuration).await?;
        let known = PinnedKey::new(&configuration.key, &configuration.related_regions)?;
        let key = OnceCell::new_with(known);
        Ok(Self {
            client,
            is_at_aws: configuration.is_at_aws(),
            configured_key: configuration.key,
            related_regions: configuration.related_regions,
            key,
        })
    }

    /// The key's ARN, asked for once. A failure is not kept: the next call asks again.
    async fn pinned_key(&self) -> Result<&PinnedKey> {
        self.key
            .get_or_try_init(|| async {
                let (operation, arn) = match self.describe_key(&self.configured_key).await {
                    Ok(metadata) => ("DescribeKey", metadata.arn.unwrap_or_default()),
                    // Who may only generate sees the name in the answer to that.
                    Err(error) if failure_of(&error) == Some(KeyServiceFailure::Denied) => {
                        let arn = self.name_by_generating().await.map_err(|_| error)?;
                        ("GenerateDataKey", arn)
                    }
                    Err(error) => return Err(error),
                };
                PinnedKey::new(&arn, &self.related_regions)?.ok_or_else(|| {
                    impossible(
                        operation,
                        &self.configured_key,
                        "the answer has no ARN of a key",
                    )
                })
            })
            .await
    }

    /// The ARN of the configured key, as the answer to a request for a data key names it. The data key is thrown away.
    async fn name_by_generating(&self) -> Result<String> {
        let answer = self
            .client
            .generate_data_key()
            .key_id(&self.configured_key)
            .key_spec(DataKeySpec::Aes256)
            .encryption_context("sealgate", "name of the key")
            .send()
            .await
            .map_err(|error| classify("GenerateDataKey", &self.configured_key, &error))?;
        drop(Zeroizing::new(
            answer.plaintext.map(Blob::into_inner).unwrap_or_default(),
        ));
        Ok(answer.key_id.unwrap_or_default())
    }

    /// What the service says about the pinned key.
    async fn describe_pinned_key(&self, key: &PinnedKey) -> Result<KeyMetadata> {
        let metadata = self.describe_key(&key.arn).await?;
        // Who goes by what is said of another key believes one usable, or gone, that is not.
        check_answered_key("DescribeKey", key, metadata.arn())?;
        Ok(metadata)
    }

    async fn describe_key(&self, key: &str) -> Result<KeyMetadata> {
        let answer = self
            .client
            .describe_key()
            .key_id(key)
            .send()
            .await
            .map_err(|error| classify("DescribeKey", key, &error))?;
        answer
            .key_metadata
            .ok_or_else(|| impossible("DescribeKey", key, "the answer has no metadata"))
    }

    /// Puts a blob from an answer into a wrap, if the answer is about the pinned key and the blob has a legal length.
    fn wrap_from_answer(
        operation: &str,
        key: &PinnedKey,
        answered_key: Option<&str>,
        blob: Option<Blob>,
    ) -> Result<Wrap> {
        check_answered_key(operation, key, answered_key)?;
        let blob =
            blob.ok_or_else(|| impossible(operation, &key.arn, "the answer has no ciphertext"))?;
        Wrap::new(Provider::AwsKms, key.reference, blob.into_inner())
            .map_err(|error| impossible(operation, &key.arn, error.detail()))
    }

    fn working_key_from_answer(
        operation: &str,
        key: &PinnedKey,
        plaintext: Option<Blob>,
    ) -> Result<WorkingKey> {
        // The blob owns its buffer alone, so this moves the bytes, and wipes them when it goes out of scope.
        let plaintext = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
        WorkingKey::from_slice(&plaintext).map_err(|_| {
            impossible(
                operation,
                &key.arn,
                &format!(
                    "a working key has 32 bytes, the answer has {}",
                    plaintext.len()
                ),
            )
        })
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AwsKms")
            .field("key", &self.configured_key)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyService for AwsKms {
    fn provider(&self) -> Provider {
        Provider::AwsKms
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(self.pinned_key().await?.reference)
    }

    async fn opens(&self, reference: KeyReference) -> Result<bool> {
        Ok(self.pinned_key().await?.opens(reference))
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        let key = self.pinned_key().await?;
        let answer = self
            .client
            .generate_data_key()
            .key_id(&key.arn)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(context_map(context)))
            .send()
            .await
            .map_err(|error| classify("GenerateDataKey", &key.arn, &error))?;
        let working_key = Self::working_key_from_answer("GenerateDataKey", key, answer.plaintext)?;
        let wrap = Self::wrap_from_answer(
            "GenerateDataKey",
            key,
            answer.key_id.as_deref(),
            answer.ciphertext_blob,
        )?;
        Ok((working_key, wrap))
    }

    async fn wrap(&self, context: &EncryptionContext, working_key: &WorkingKey) -> Result<Wrap> {
        let key = self.pinned_key().await?;
        let answer = self
            .client
            .encrypt()
            .key_id(&key.arn)
            .plaintext(Blob::new(working_key.expose().to_vec()))
            .set_encryption_context(Some(context_map(context)))
            .send()
            .await
            .map_err(|error| classify("Encrypt", &key.arn, &error))?;
        Self::wrap_from_answer(
            "Encrypt",
            key,
            answer.key_id.as_deref(),
            answer.ciphertext_blob,
        )
    }

    async fn unwrap(
        &self,
        _permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        let key = self.pinned_key().await?;
        let named = wrap.key_reference();
        // A related key has the same material.
        let expected = if key.opens(named) {
            named
        } else {
            key.reference
        };
        check_wrap_is_for(Provider::AwsKms, expected, wrap)?;
        // Without KeyId the service would use whatever key the ciphertext itself names.
        let answer = self
            .client
            .decrypt()
            .key_id(&key.arn)
            .ciphertext_blob(Blob::new(wrap.blob()))
            .set_encryption_context(Some(context_map(context)))
            .send()
            .await
            .map_err(|error| classify("Decrypt", &key.arn, &error))?;
        let working_key = Self::working_key_from_answer("Decrypt", key, answer.plaintext)?;
        check_answered_key("Decrypt", key, answer.key_id.as_deref())?;
        Ok(working_key)
    }

    async fn rewrap(
        &self,
        context: &EncryptionContext,
        wrap: &Wrap,
        source: RewrapSource<'_>,
    ) -> Result<Wrap> {
        let key = self.pinned_key().await?;
        let source_arn = match source {
            RewrapSource::SameKey => key.arn.as_str(),
            RewrapSource::Key(name) => name,
        };
        check_wrap_is_for(
            Provider::AwsKms,
            KeyReference::of(Provider::AwsKms, source_arn)?,
            wrap,
        )?;
        let answer = self
            .client
            .re_encrypt()
            .source_key_id(source_arn)
            .destination_key_id(&key.arn)
            .ciphertext_blob(Blob::new(wrap.blob()))
            .set_source_encryption_context(Some(context_map(context)))
            .set_destination_encryption_context(Some(context_map(context)))
            .send()
            .await
            .map_err(|error| classify("ReEncrypt", &key.arn, &error))?;
        Self::wrap_from_answer(
            "ReEncrypt",
            key,
            answer.key_id.as_deref(),
            answer.ciphertext_blob,
        )
    }

    async fn describe(&self) -> Result<KeyDescription> {
        let key = self.pinned_key().await?;
        let metadata = self.describe_pinned_key(key).await?;
        let symmetric = metadata.key_usage() == Some(&KeyUsageType::EncryptDecrypt)
            && metadata
                .key_spec()
                .is_none_or(|spec| *spec == KeySpec::SymmetricDefault);
        if !symmetric {
            return Err(key_service_error(
                KeyServiceFailure::Misconfigured,
                &format!(
                    "KMS key {} is not a symmetric encryption key; create one with KeySpec SYMMETRIC_DEFAULT",
                    key.arn
                ),
            ));
        }
        let availability = match metadata.key_state() {
            Some(KeyState::Enabled) => KeyAvailability::Enabled,
            Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => {
                KeyAvailability::PendingDeletion
            }
            Some(KeyState::Disabled) => KeyAvailability::Disabled,
            _ => KeyAvailability::Unavailable,
        };
        let mut described = KeyDescription::new(key.arn.clone(), key.reference, availability);
        described.related_keys = related_keys(&metadata, &key.arn);
        if availability == KeyAvailability::PendingDeletion {
            let date = metadata.deletion_date().copied();
            described.deletion = date.and_then(|date| self.deletion(&key.arn, date));
        }
        Ok(described)
    }

    async fn schedule_deletion(&self, waiting_days: u8) -> Result<KeyDeletion> {
        let key = self.pinned_key().await?;
        let metadata = self.describe_pinned_key(key).await?;
        let related = related_keys(&metadata, &key.arn);
        if !related.is_empty() {
            return Err(key_service_error(
                KeyServiceFailure::Misconfigured,
                &format!(
                    "KMS key {} is a multi-Region key, and {} would go on opening what it wrapped; schedule the deletion of the \
                     replicas in their Regions, and come back for the primary key when DescribeKey names them no more",
                    key.arn,
                    related.join(", ")
                ),
            ));
        }
        let deletion = if let Some(date) = metadata.deletion_date() {
            Some(*date)
        } else {
            self.client
                .schedule_key_deletion()
                .key_id(&key.arn)
                .pending_window_in_days(i32::from(waiting_days))
                .send()
                .await
                .map_err(|error| classify("ScheduleKeyDeletion", &key.arn, &error))?
                .deletion_date
        };
        deletion
            .and_then(|date| self.deletion(&key.arn, date))
            .ok_or_else(|| impossible("ScheduleKeyDeletion", &key.arn, "the answer has no date"))
    }
}

impl AwsKms {
    /// A deletion that is scheduled for this date; none where it is no time.
    fn deletion(&self, arn: &str, date: DateTime) -> Option<KeyDeletion> {
        let milliseconds = date.to_millis().ok()?;
        Some(KeyDeletion {
            key_name: arn.to_owned(),
            manner: if self.is_at_aws {
                DeletionManner::Scheduled
            } else {
                DeletionManner::ScheduledElsewhere
            },
            final_from: u64::try_from(milliseconds).ok()?,
        })
    }
}

/// The ARNs of the same multi-Region key elsewhere.
fn related_keys(metadata: &KeyMetadata, own: &str) -> Vec<String> {
    let Some(regions) = metadata.multi_region_configuration() else {
        return Vec::new();
    };
    let all = regions
        .primary_key()
        .into_iter()
        .chain(regions.replica_keys());
    all.filter_map(|related| related.arn())
        .filter(|arn| *arn != own)
        .map(str::to_owned)
        .collect()
}

fn context_map(context: &EncryptionContext) -> HashMap<String, String> {
    context
        .pairs()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// An answer about another key than the one asked for must not be used: its wraps could not be found again.
fn check_answered_key(operation: &str, key: &PinnedKey, answered: Option<&str>) -> Result<()> {
    match answered {
        Some(arn) if arn == key.arn => Ok(()),
        Some(other) => Err(impossible(
            operation,
            &key.arn,
            &format!("the answer is about key {other}"),
        )),
        None => Err(impossible(operation, &key.arn, "the answer names no key")),
    }
}

fn impossible(operation: &str, key: &str, fault: &str) -> Error {
    key_service_error(
        KeyServiceFailure::Malformed,
        &format!("{operation} with KMS key {key}: {fault}"),
    )
}
