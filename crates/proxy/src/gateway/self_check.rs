//! Whether a key service does what it is for, shown on working keys that protect nothing and are dropped.

use sealgate_envelope::key_service::{EncryptionContext, KeyService};
use sealgate_envelope::{Domain, OsRandom, Result, WorkingKeyId};

use crate::policy;

/// A context that nothing is stored under; `domain` tells who asks, in the logs of the key service.
fn context(domain: &str) -> Result<EncryptionContext> {
    Ok(EncryptionContext::new(
        Domain::new(domain)?,
        WorkingKeyId::generate(&mut OsRandom)?,
    ))
}

/// Has the service make a working key.
///
/// # Errors
///
/// What the service says.
pub(super) async fn generates(service: &dyn KeyService, domain: &str) -> Result<()> {
    service.generate(&context(domain)?).await.map(drop)
}

/// Whether the service makes a working key and opens its wrap to the same one.
///
/// # Errors
///
/// What the service says.
pub(super) async fn opens_what_it_makes(service: &dyn KeyService, domain: &str) -> Result<bool> {
    let context = context(domain)?;
    let (generated, wrap) = service.generate(&context).await?;
    let permit = policy::permit_self_check();
    Ok(service.unwrap(&permit, &context, &wrap).await? == generated)
}
