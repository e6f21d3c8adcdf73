//! Asks the storage every few seconds whether it takes the gateway's own credentials, and says when that changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Method, StatusCode};

use super::Gateway;
use crate::admin::{Health, Need, Obstacle, Reporter};
use crate::config::Config;
use crate::error::S3Error;
use crate::state::StateBucket;
use crate::upstream::{Target, Upstream, UpstreamError, UpstreamRequest};

/// The pause between two questions.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long one may take: a storage that takes longer to list one name is of no use now.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the findings about storages go.
#[derive(Debug)]
pub(super) struct StorageChecks {
    data: Reporter,
    /// Where the state bucket is on a storage of its own.
    state: Option<Reporter>,
}

impl StorageChecks {
    pub(super) fn register(health: &Health, config: &Config) -> Self {
        let check = |name| health.register(name, Need::Required);
        Self {
            data: check("storage"),
            state: config
                .state
                .upstream
                .is_some()
                .then(|| check("state_storage")),
        }
    }
}

impl Gateway {
    /// Asks the storage at once and then again and again, for as long as the gateway lives.
    pub(crate) fn watch_storage(self: &Arc<Self>) {
        tokio::spawn(watch(Arc::downgrade(self)));
    }

    async fn look_at_storage(&self) {
        let StorageChecks { data, state } = &self.storage_checks;
        match state {
            None => {
                let found = of_state(&self.state, "[upstream]").await;
                note(data, "[upstream]", found);
            }
            Some(state) => {
                let (of_data, of_state) = tokio::join!(
                    of_data(&self.upstream, self.state.name()),
                    of_state(&self.state, "[state.upstream]"),
                );
                note(data, "[upstream]", of_data);
                note(state, "[state.upstream]", of_state);
            }
        }
    }
}

async fn watch(gateway: Weak<Gateway>) {
    while let Some(gateway) = gateway.upgrade() {
        gateway.look_at_storage().await;
        drop(gateway);
        tokio::time::sleep(INTERVAL).await;
    }
}

fn note(reporter: &Reporter, table: &'static str, obstacle: Option<Obstacle>) {
    let was_in_the_way = reporter.works() == Some(false);
    let shown = obstacle.clone();
    if !reporter.report(obstacle) {
        return;
    }
    match shown {
        Some(Obstacle { cause, fix }) => tracing::error!(
            storage = table,
            cause,
            fix,
            "not ready: the storage cannot be used"
        ),
        None if was_in_the_way => {
            tracing::info!(storage = table, "the storage can be used again");
        }
        None => tracing::info!(storage = table, "the storage takes the credentials"),
    }
}

/// What is in the way of using the state bucket; one that is missing is made.
async fn of_state(state: &StateBucket, table: &'static str) -> Option<Obstacle> {
    let looked = tokio::time::timeout(LIMIT, async {
        match listed(state.upstream(), state.name()).await {
            Err(error) if error.code == "NoSuchBucket" => state.ensure().await,
            other => other,
        }
    });
    match looked.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(of_state_bucket(table, state.name(), &error)),
        Err(_) => Some(late(table)),
    }
}

/// What keeps a state bucket from being used, by the storage's error.
pub(super) fn of_state_bucket(table: &'static str, bucket: &str, error: &S3Error) -> Obstacle {
    if error.status == StatusCode::FORBIDDEN {
        return Obstacle::new(
            format!(
                "{table}: the storage's account may not use the state bucket {bucket}: {error}"
            ),
            "allow it s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload there, and s3:CreateBucket if the bucket is not there yet",
        );
    }
    described(table, error)
}

/// What is in the way of using a storage that has no bucket of ours: whether it knows us shows in any answer that is about the bucket.
async fn of_data(upstream: &Upstream, bucket: &str) -> Option<Obstacle> {
    match tokio::time::timeout(LIMIT, listed(upstream, bucket)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) if matches!(&*error.code, "NoSuchBucket" | "AccessDenied") => None,
        Ok(Err(error)) => Some(described("[upstream]", &error)),
        Err(_) => Some(late("[upstream]")),
    }
}

/// One name of the bucket: what takes a signature, and whose error says what is wrong with it.
async fn listed(upstream: &Upstream, bucket: &str) -> Result<(), S3Error> {
    let request = UpstreamRequest::new(Method::GET, Target::bucket(bucket))
        .query("list-type=2&max-keys=1&prefix=");
    match upstream.send(request).await {
        Ok(answer) if answer.status().is_success() => {
            // Read, so that the connection can be used again.
            answer
                .document(crate::upstream::MAX_DOCUMENT_LENGTH)
                .await?;
            Ok(())
        }
        Ok(answer) => Err(answer.into_error().await),
        Err(error @ UpstreamError::Credentials(_)) => {
            Err(S3Error::internal(format!("{NO_CREDENTIALS}{error}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells our own lack of credentials from all that a storage says.
const NO_CREDENTIALS: &str = "the gateway has no credentials for the storage: ";

fn described(table: &'static str, error: &S3Error) -> Obstacle {
    let said = error.detail.as_deref().unwrap_or(&error.message);
    let fix = if error.code == "InternalError" {
        // The storage does not accept our signature, or there is none.
        "set `credentials` there to an account of the storage, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the gateway's own environment (the secret of a client is no use here), and compare region and clock; then restart, or see `sealgate check`"
    } else if error.status == StatusCode::SERVICE_UNAVAILABLE {
        "look whether the storage runs, whether `endpoint` is right and can be reached from here, and whether its certificate comes from an authority that `ca_file` or the system trusts"
    } else {
        "see `sealgate check`, which asks for more"
    };
    Obstacle::new(format!("{table}: {said}"), fix)
}

fn late(table: &'static str) -> Obstacle {
    Obstacle::new(
        format!("{table}: the storage did not answer within {LIMIT:?}"),
        "look whether the storage is overloaded, and whether `endpoint` is right",
    )
}
