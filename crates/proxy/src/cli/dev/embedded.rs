//! The parts that `sealgate dev` brings along: an S3 store and a key server, each on a port of its own.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use sealgate_devstore::{Credentials, Server, Store};
use sealgate_kms_mock::{Permissions, Principal};

use super::plan::{EMBEDDED_KEY, Plan};

/// Where the store keeps its files, in the directory of `sealgate dev`.
const STORAGE_DIRECTORY: &str = "storage";

/// Where the key server keeps its files.
const KEYS_DIRECTORY: &str = "keys";

/// What a gateway asks of a key service: as little as that is what its principal may do.
const GATEWAY_OPERATIONS: [&str; 5] = [
    "DescribeKey",
    "GenerateDataKey",
    "Encrypt",
    "Decrypt",
    "ReEncrypt",
];

/// The embedded servers that are needed: those that the plan does not replace by real ones.
pub(super) struct Embedded {
    storage: Option<sealgate_devstore::RunningServer>,
    key_server: Option<sealgate_kms_mock::RunningServer>,
}

impl Embedded {
    /// Starts what the plan needs.
    pub(super) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let storage = if plan.upstream.is_some() {
            None
        } else {
            let path = plan.directory.join(STORAGE_DIRECTORY);
            let credentials = Credentials::new(
                &plan.storage.access_key_id,
                plan.storage.secret_access_key.expose(),
            )?;
            let store = tokio::task::spawn_blocking(move || Store::open(path)).await?;
            let store = store.context("the embedded storage can't be opened")?;
            Some(
                Server::start(store, free_port, credentials)
                    .context("the embedded storage can't start")?,
            )
        };
        let key_server = if plan.key_service.is_some() {
            None
        } else {
            let pair = &plan.key_service_credentials;
            let permissions = Permissions::from_names(GATEWAY_OPERATIONS)?;
            let gateway = Principal::new(
                "gateway",
                &pair.access_key_id,
                pair.secret_access_key.expose(),
                permissions,
            )?;
            let server = sealgate_kms_mock::RunningServer::builder()
                .listen(free_port)
                .state_directory(plan.directory.join(KEYS_DIRECTORY))
                .principal(gateway)
                .alias(EMBEDDED_KEY);
            Some(
                server
                    .start()
                    .await
                    .context("the embedded key server can't start")?,
            )
        };
        Ok(Self {
            storage,
            key_server,
        })
    }

    /// The URL of the store, where it runs.
    pub(super) fn storage_endpoint(&self) -> Option<String> {
        self.storage
            .as_ref()
            .map(sealgate_devstore::RunningServer::endpoint)
    }

    /// The URL of the key server, where it runs.
    pub(super) fn key_server_endpoint(&self) -> Option<&str> {
        self.key_server
            .as_ref()
            .map(sealgate_kms_mock::RunningServer::endpoint)
    }

    /// Stops both; what they answered before is on disk.
    pub(super) async fn stop(self) {
        if let Some(storage) = self.storage {
            storage.shutdown().await;
        }
        if let Some(key_server) = self.key_server {
            key_server.shutdown().await;
        }
    }
}
