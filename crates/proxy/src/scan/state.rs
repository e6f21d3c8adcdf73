//! The gateway's own records: those of working keys and of open uploads.

use sealgate_envelope::{
    UploadHash, WorkingKeyId,
    records::{MAXIMUM_RECORD_LENGTH, UnverifiedUploadRecord, UploadRecord, upload_record_name},
};

use super::{
    finding::{Class, Fault, Finding, fault},
    registry::Record,
    structure::check_key,
    verification::Verification,
};
use crate::{error::S3Error, gateway::Gateway, object::open_header};

/// Records of open uploads that one run looks at.
const MAXIMUM_UPLOADS: usize = 1_000_000;

/// The names of the records of all open uploads.
///
/// # Errors
///
/// When the state bucket cannot be listed.
pub(super) async fn upload_names(gateway: &Gateway) -> Result<Vec<String>, S3Error> {
    gateway.uploads.open_names(MAXIMUM_UPLOADS).await
}

/// Reads the record of an upload; none where it was completed or aborted meanwhile.
///
/// # Errors
///
/// The state bucket's; inside, what is wrong with the record.
pub(super) async fn read_upload(
    gateway: &Gateway,
    name: &str,
) -> Result<Option<Result<UnverifiedUploadRecord, Fault>>, S3Error> {
    let Some(bytes) = gateway.state.get(name, MAXIMUM_RECORD_LENGTH).await? else {
        return Ok(None);
    };
    let damaged = |cause: String| Err((Class::UploadRecord, cause));
    let record = match UploadRecord::parse(&bytes) {
        Ok(record) => record,
        Err(error) => return Ok(Some(damaged(error.detail().to_owned()))),
    };
    let hash = UploadHash::of(&record.claim().upload_id);
    if upload_record_name(hash) != name {
        return Ok(Some(damaged(
            "it is the record of another upload".to_owned(),
        )));
    }
    Ok(Some(Ok(record)))
}

impl Verification {
    /// Looks at every registry record and at the record of every open upload. `on_checked` hears of each, with what is wrong.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed. What cannot be read of it is a finding.
    pub async fn check_records(
        &self,
        mut on_checked: impl FnMut(&str, Vec<Finding>),
    ) -> anyhow::Result<(u64, u64)> {
        let state = self.gateway.state.name().to_owned();
        let finding = |name: &str, (class, cause): Fault| Finding {
            bucket: state.clone(),
            key: name.to_owned(),
            version_id: None,
            class,
            cause,
        };
        let ids = self.gateway.working_keys(None).await?;
        let (records, mut uploads) = (ids.len() as u64, 0);
        for id in ids {
            let name = sealgate_envelope::records::registry_name(id);
            let faults = match self.check_record(id).await {
                Ok(faults) => faults,
                Err(error) => vec![fault(Class::RegistryDamaged, &error)],
            };
            let findings = faults.into_iter().map(|fault| finding(&name, fault));
            on_checked(&name, findings.collect());
        }
        for name in upload_names(&self.gateway).await? {
            let faults = match self.check_upload(&name).await {
                Ok(Some(faults)) => faults,
                Ok(None) => continue,
                Err(error) => vec![fault(Class::UploadRecord, &error)],
            };
            uploads += 1;
            let findings = faults.into_iter().map(|fault| finding(&name, fault));
            on_checked(&name, findings.collect());
        }
        Ok((records, uploads))
    }

    async fn check_record(&self, id: WorkingKeyId) -> Result<Vec<Fault>, S3Error> {
        let record = match self.registry.record(id).await? {
            // Removed since it was listed.
            Record::Missing => return Ok(Vec::new()),
            Record::Damaged(cause) => {
                return Ok(vec![(Class::RegistryDamaged, cause.as_ref().to_owned())]);
            }
            Record::Present(record) => record,
        };
        if !self.keys.may_open([record.wraps(), &[]]).await? {
            let cause = "no key of the configuration has wrapped it".to_owned();
            return Ok(vec![(Class::UnknownKey, cause)]);
        }
        if let Some(permit) = self.permit {
            let domain = record.claimed_domain().clone();
            let permit = permit("a registry record");
            let wraps = record.wraps();
            let key = self
                .gateway
                .keyring
                .opening_key(&permit, id, wraps, &domain);
            let key = key.await?;
            (*record).clone().verify(&key, &domain)?;
        }
        Ok(Vec::new())
    }

    async fn check_upload(&self, name: &str) -> Result<Option<Vec<Fault>>, S3Error> {
        let record = match read_upload(&self.gateway, name).await? {
            None => return Ok(None),
            Some(Err(fault)) => return Ok(Some(vec![fault])),
            Some(Ok(record)) => record,
        };
        let claim = record.claim().clone();
        let rule = self
            .gateway
            .config
            .domain_for(&claim.bucket, &claim.object_key);
        let mut faults = check_key(&self.registry, &self.keys, &rule, record.header()).await?;
        if let Some(permit) = self.permit {
            let permit = permit("the record of an upload");
            let header = record.header().clone();
            let opened =
                open_header(&self.gateway, &permit, &rule, &header, &claim.object_key).await;
            let verified = opened.and_then(|(opened, _)| {
                let hash = UploadHash::of(&claim.upload_id);
                let verified =
                    record.verify(opened.secrets(), &claim.bucket, &claim.object_key, hash);
                Ok(verified.map(drop)?)
            });
            if let Err(error) = verified {
                faults.push(fault(Class::UploadRecord, &error));
            }
        }
        Ok(Some(faults))
    }
}
