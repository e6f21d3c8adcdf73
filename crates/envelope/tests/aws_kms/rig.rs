//! A key server in this process, whose requests are counted and can be made to fail or to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use sealgate_envelope::key_service::aws::{
    AwsCredentials, AwsKms, AwsKmsConfiguration, AwsKmsLimits,
};
use sealgate_envelope::key_service::{EncryptionContext, UnwrapPermit, failure_of};
use sealgate_envelope::{Domain, KeyServiceFailure, Result, WorkingKeyId};
use sealgate_kms_mock::{
    ErrorCode, HookFuture, KmsError, Permissions, Principal, RequestHook, RequestInfo,
    RunningServer, ServerBuilder, Verdict,
};
use zeroize::Zeroizing;

pub(crate) const ALIAS: &str = "alias/sealgate-test";
const SECRET: &str = "a secret of these tests only";

/// Counts the requests of each operation; fails the next ones, or holds them up.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) decrypts: AtomicU64,
    pub(crate) describes: AtomicU64,
    pub(crate) requests: AtomicU64,
    next: Mutex<Option<(ErrorCode, u32)>>,
    delay: Mutex<Duration>,
}

impl Faults {
    /// The next `count` requests fail with this code.
    pub(crate) fn fail(&self, code: ErrorCode, count: u32) {
        *self.next.lock().unwrap() = Some((code, count));
    }

    /// From now on every request waits for so long.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    fn next_failure(&self) -> Option<ErrorCode> {
        let mut next = self.next.lock().unwrap();
        let (code, count) = (*next)?;
        *next = (count > 1).then_some((code, count - 1));
        Some(code)
    }
}

impl RequestHook for Faults {
    fn before_operation<'a>(&'a self, request: &'a RequestInfo) -> HookFuture<'a> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        match request.operation.as_str() {
            "Decrypt" => drop(self.decrypts.fetch_add(1, Ordering::SeqCst)),
            "DescribeKey" => drop(self.describes.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        Box::pin(async move {
            let delay = *self.delay.lock().unwrap();
            tokio::time::sleep(delay).await;
            match self.next_failure() {
                Some(code) => Verdict::Fail(KmsError::new(code, "a fault of the test's making")),
                None => Verdict::Proceed,
            }
        })
    }
}

pub(crate) struct Rig {
    pub(crate) server: RunningServer,
    pub(crate) faults: Arc<Faults>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(|builder| builder).await
    }

    pub(crate) async fn start_with(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let faults = Arc::new(Faults::default());
        let wrap_only =
            Permissions::from_names(["GenerateDataKey", "Encrypt", "DescribeKey"]).unwrap();
        let builder = RunningServer::builder()
            .principal(Principal::with_all_operations("gateway", "AKIAGATEWAY", SECRET).unwrap())
            .principal(Principal::new("writer", "AKIAWRITER", SECRET, wrap_only).unwrap())
            .alias(ALIAS)
            .alias("alias/other")
            .hook(Arc::clone(&faults) as _);
        Self {
            server: settings(builder).start().await.unwrap(),
            faults,
        }
    }

    pub(crate) fn arn(&self) -> String {
        self.server.key_arn(ALIAS).unwrap()
    }

    pub(crate) fn configuration(&self, key: &str) -> AwsKmsConfiguration {
        AwsKmsConfiguration::new(key)
            .endpoint(self.server.endpoint())
            .region(self.server.region())
            .allow_plain_http()
            .credentials(credentials("AKIAGATEWAY", SECRET))
            .limits(quick_limits())
    }

    pub(crate) async fn service(&self) -> AwsKms {
        AwsKms::connect(self.configuration(ALIAS)).await.unwrap()
    }

    pub(crate) async fn service_for(&self, key: &str) -> AwsKms {
        AwsKms::connect(self.configuration(key)).await.unwrap()
    }

    pub(crate) async fn writer(&self) -> AwsKms {
        let configuration = self
            .configuration(ALIAS)
            .credentials(credentials("AKIAWRITER", SECRET));
        AwsKms::connect(configuration).await.unwrap()
    }

    /// The SDK's bare client, to do to keys what an administrator does.
    pub(crate) fn administrator(&self) -> Client {
        let configuration = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.server.region().to_owned()))
            .credentials_provider(Credentials::new("AKIAGATEWAY", SECRET, None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.server.endpoint())
            .build();
        Client::from_conf(configuration)
    }
}

pub(crate) fn credentials(access_key_id: &str, secret: &str) -> AwsCredentials {
    AwsCredentials::Static {
        access_key_id: access_key_id.to_owned(),
        secret_access_key: Zeroizing::new(secret.to_owned()),
        session_token: None,
    }
}

/// Short enough for tests of outages, long enough for a busy machine.
pub(crate) fn quick_limits() -> AwsKmsLimits {
    AwsKmsLimits {
        connect_timeout: Duration::from_secs(5),
        initial_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(5),
        ..AwsKmsLimits::default()
    }
}

pub(crate) fn context(domain: &str) -> EncryptionContext {
    EncryptionContext::new(
        Domain::new(domain).unwrap(),
        WorkingKeyId::from_bytes([7; 16]),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own policy and audit"
)]
pub(crate) fn permit() -> UnwrapPermit {
    UnwrapPermit::issue("test")
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> KeyServiceFailure {
    let error = result.unwrap_err();
    failure_of(&error).unwrap_or_else(|| panic!("{error:?}"))
}
