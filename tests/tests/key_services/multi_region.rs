//! A multi-Region key of AWS KMS: what was wrapped in one Region opens in another one, with that Region's key alone.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sealgate_envelope::error::KeyServiceFailure;
use sealgate_envelope::key_service::aws::{AwsCredentials, AwsKms, AwsKmsConfiguration};
use sealgate_envelope::key_service::{KeyService, failure_of};
use sealgate_envelope::keyring::{Keyring, SealingKey};
use sealgate_envelope::{Domain, Result as EnvelopeResult, WorkingKey};
use sealgate_tests::endpoint::REGION;
use sealgate_tests::servers::KeyServer;
use sealgate_tests::servers::key_server::REPLICA_REGION;

use super::behaviour::permit;

async fn connect(server: &KeyServer, arn: &str, related: &[&str]) -> EnvelopeResult<AwsKms> {
    let endpoint = &server.endpoint;
    let configuration = AwsKmsConfiguration::new(arn)
        .related_regions(related.iter().copied())
        .endpoint(&endpoint.url)
        .allow_plain_http()
        .credentials(AwsCredentials::Static {
            access_key_id: endpoint.access_key_id.clone(),
            secret_access_key: endpoint.secret_access_key.clone().into(),
            session_token: None,
        });
    AwsKms::connect(configuration).await
}

/// Opens, by a keyring that has this service alone, the working key that another one made.
async fn open(service: AwsKms, made: &SealingKey) -> EnvelopeResult<Arc<WorkingKey>> {
    let keyring = Keyring::builder(Arc::new(service)).build()?;
    keyring
        .opening_key(&permit(), made.id(), made.wraps(), made.domain())
        .await
}

#[tokio::test]
async fn a_wrap_of_one_region_opens_in_another_by_that_regions_key() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = KeyServer::start(directory.path(), None)?;
    let administrator = server.endpoint.kms();
    let created = administrator.create_key().multi_region(true).send().await?;
    let primary = created
        .key_metadata
        .and_then(|key| key.arn)
        .context("no ARN")?;
    let replicated = administrator
        .replicate_key()
        .key_id(&primary)
        .replica_region(REPLICA_REGION)
        .send()
        .await?;
    let replica = replicated
        .replica_key_metadata
        .and_then(|key| key.arn)
        .context("no ARN")?;

    let domain = Domain::new("deployment/bucket")?;
    let here = connect(&server, &primary, &[]).await?;
    let made = Keyring::builder(Arc::new(here))
        .build()?
        .sealing_key(&domain)
        .await?;

    let there = connect(&server, &replica, &[REGION]).await?;
    ensure!(there.opens(there.key_reference().await?).await?);
    let opened = open(there, &made).await?;
    ensure!(opened.expose() == made.key().expose());
    let requests = server.requests()?;
    let last = requests.last().context("no request")?;
    ensure!(
        last["operation"] == "Decrypt" && last["key_id"] == replica.as_str(),
        "the replica's Region was asked: {last}"
    );

    // Without the setting it is a key that nobody configured, and nobody is asked.
    let stranger = connect(&server, &replica, &[]).await?;
    let refusal = open(stranger, &made).await.map(drop).unwrap_err();
    ensure!(
        failure_of(&refusal) == Some(KeyServiceFailure::NotConfigured),
        "{refusal}"
    );
    ensure!(server.requests()?.len() == requests.len());

    // One that has a replica would live on in it.
    let kept = connect(&server, &primary, &[])
        .await?
        .schedule_deletion(7)
        .await
        .unwrap_err();
    ensure!(
        failure_of(&kept) == Some(KeyServiceFailure::Misconfigured)
            && kept.detail().contains(&replica),
        "{}",
        kept.detail()
    );

    let ordinary = administrator.create_key().send().await?;
    let ordinary = ordinary
        .key_metadata
        .and_then(|key| key.arn)
        .context("no ARN")?;
    let refusal = connect(&server, &ordinary, &[REPLICA_REGION])
        .await
        .unwrap_err();
    ensure!(
        failure_of(&refusal) == Some(KeyServiceFailure::Misconfigured),
        "{refusal}"
    );
    Ok(())
}
