//! Does a key service make a working key and open it again, and only in the right context?

use anyhow::{Context as _, ensure};
use sealgate_envelope::key_service::{EncryptionContext, KeyAvailability};
use sealgate_envelope::{Domain, WorkingKeyId};

use super::Finding;
use crate::cli::permit;
use crate::config::KeyServiceConfig;
use crate::gateway;

/// The domain of keys that are made to be thrown away.
const PROBE_DOMAIN: &str = "sealgate-check";

/// One finding about one `[[key_service]]`.
pub(super) async fn probe(subject: &str, config: &KeyServiceConfig) -> Finding {
    match experiment(config).await {
        Ok(key_name) => Finding::ok(
            subject,
            format!("{key_name} makes keys and opens them again"),
        ),
        Err(error) => Finding::failed(subject, format!("{error:#}")),
    }
}

async fn experiment(config: &KeyServiceConfig) -> anyhow::Result<String> {
    let service = gateway::key_service(config).await?;
    let description = service
        .describe()
        .await
        .context("the key can't be described")?;
    ensure!(
        description.availability == KeyAvailability::Enabled,
        "{} is {:?}; enable it or name another key",
        description.key_name,
        description.availability
    );
    let context = fresh_context()?;
    let (working_key, wrap) = service
        .generate(&context)
        .await
        .context("no working key could be made")?;
    let permit = permit::for_command("sealgate check");
    let opened = service
        .unwrap(&permit, &context, &wrap)
        .await
        .context("the new working key could not be opened")?;
    // Working keys compare in constant time.
    ensure!(
        opened == working_key,
        "the new working key came back as another one"
    );
    let other = fresh_context()?;
    ensure!(
        service.unwrap(&permit, &other, &wrap).await.is_err(),
        "the key opens in a context that it was not made for; this service does not enforce the encryption context"
    );
    Ok(description.key_name)
}

fn fresh_context() -> anyhow::Result<EncryptionContext> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(EncryptionContext::new(
        Domain::new(PROBE_DOMAIN)?,
        WorkingKeyId::from_bytes(id),
    ))
}
