//! AWS KMS: the shared behaviour, with the key server as a process.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use sealgate_envelope::key_service::aws::{
    AwsCredentials, AwsKms, AwsKmsConfiguration, AwsKmsLimits,
};
use sealgate_tests::endpoint::REGION;
use sealgate_tests::rig::bounded;
use sealgate_tests::servers::{Interference, Interferer, KeyServer};
use tempfile::TempDir;

use super::behaviour::{self, Administrator, Key, OPERATION_TIMEOUT, Outcome, Situation, TIMEOUT};

struct Kms {
    server: KeyServer,
    administrator: aws_sdk_kms::Client,
    between: Interferer,
    _directory: TempDir,
}

#[async_trait]
impl Administrator for Kms {
    async fn new_key(&mut self) -> Result<Key> {
        let made = self.administrator.create_key().send().await?;
        let name = made
            .key_metadata
            .and_then(|key| key.arn)
            .context("no ARN")?;
        let limits = AwsKmsLimits {
            read_timeout: TIMEOUT,
            attempt_timeout: TIMEOUT,
            operation_timeout: OPERATION_TIMEOUT,
            ..AwsKmsLimits::default()
        };
        let configuration = AwsKmsConfiguration::new(&name)
            .region(REGION)
            .endpoint(&self.between.url)
            .allow_plain_http()
            .limits(limits)
            .credentials(AwsCredentials::Static {
                access_key_id: self.server.endpoint.access_key_id.clone(),
                secret_access_key: self.server.endpoint.secret_access_key.clone().into(),
                session_token: None,
            });
        Ok(Key {
            name,
            service: Arc::new(AwsKms::connect(configuration).await?),
        })
    }

    async fn bring_about(&mut self, situation: Situation, key: &Key) -> Result<Outcome> {
        let administrator = &self.administrator;
        match situation {
            Situation::Disabled => {
                administrator.disable_key().key_id(&key.name).send().await?;
            }
            Situation::Deleted => {
                let deletion = administrator.schedule_key_deletion().key_id(&key.name);
                deletion.pending_window_in_days(7).send().await?;
            }
            Situation::Throttled => self.between.interfere(Interference::answer(
                "400 Bad Request",
                r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
            )),
            Situation::Slow => self.between.interfere(Interference::Silence),
            Situation::Unreachable => self.between.interfere(Interference::Hangup),
            Situation::Malformed => {
                self.between
                    .interfere(Interference::answer("200 OK", "<html>Log in first</html>"));
            }
            Situation::Rotated => {
                let rotation = administrator.rotate_key_on_demand().key_id(&key.name);
                rotation.send().await?;
            }
        }
        Ok(Outcome::Arranged)
    }

    async fn undo(&mut self, situation: Situation, key: &Key) -> Result<()> {
        if situation == Situation::Disabled {
            self.administrator
                .enable_key()
                .key_id(&key.name)
                .send()
                .await?;
        }
        self.between.interfere(Interference::None);
        Ok(())
    }
}

#[tokio::test]
async fn aws_kms_behaves_as_a_key_service() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = KeyServer::start(directory.path(), None)?;
    let mut kms = Kms {
        administrator: server.endpoint.kms(),
        between: Interferer::start(&server.endpoint.url).await?,
        server,
        _directory: directory,
    };
    let outcome = bounded(Duration::from_mins(3), behaviour::check(&mut kms, &[])).await;
    outcome.map_err(|error| anyhow!("{error:#}\n{}", kms.server.last_words()))
}
