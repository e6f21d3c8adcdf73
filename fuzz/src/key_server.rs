//! A key server on the loopback interface that answers as an input says, and the clients of `sealgate-envelope` that ask it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sealgate_envelope::key_service::aws::{
    AwsCredentials, AwsKms, AwsKmsConfiguration, AwsKmsLimits,
};
use sealgate_envelope::key_service::vault::{
    TrustRoots, VaultConfiguration, VaultLimits, VaultLogin, VaultTransit,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The key in AWS KMS.
pub const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab";

/// A name of it.
pub const ALIAS: &str = "alias/fuzz";

/// The key in Vault, as references are made of it.
pub const VAULT_KEY: &str = "transit/fuzz";

/// An authority that nobody is asked to trust over plain HTTP. Reading those of the system takes longer than all else that a client does.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBNDCB56ADAgECAhQW+uXDUOqz+2d6OuO4gJhNsHSyeTAFBgMrZXAwDzENMAsG
A1UEAwwEZnV6ejAgFw0yNjExMjcxMjIzMzJaGA8yMTI2MTEwMzEyMjMzMlowDzEN
MAsGA1UEAwwEZnV6ejAqMAUGAytlcAMhABIcnSUxtLj5mWyEpbIylKIhbis7tWzC
V4XGTguksXFfo1MwUTAdBgNVHQ4EFgQUMHYpefr+w74MgQdxqrfWZefjTnEwHwYD
VR0jBBgwFoAUMHYpefr+w74MgQdxqrfWZefjTnEwDwYDVR0TAQH/BAUwAwEB/zAF
BgMrZXADQQBqYpMOIm16Wk9bfZjU3GjzDO606FlzP1NMuPji+Oj4wsf8mV+yvGbS
7sCL2gMR7VT1UHBlf6PRnvm0rHJh9y8D
-----END CERTIFICATE-----
";

/// For whatever there is to wait for; on a busy machine it must not end what only takes its time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The working key, the blob and the ciphertext of every regular answer.
const REGULAR_KEY: &str = "MzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM=";
const REGULAR_BLOB: &str = "d3JhcHBlZA==";
const REGULAR_CIPHERTEXT: &str = "vault:v1:d3JhcHBlZA==";

/// What is said to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// The body; none is sent with a status that has none.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status says that it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The operation of AWS KMS, or the path of Vault behind `/v1/`.
    pub operation: String,
    /// What was said.
    pub answer: Answer,
}

/// What the server says until there is another script, and what it has said.
#[derive(Debug, Default)]
struct Script {
    turn: Option<usize>,
    answer: Option<Answer>,
    exchanges: Vec<Exchange>,
}

impl Script {
    fn answer(&mut self, operation: String) -> Answer {
        let is_turn = self.turn.is_none_or(|turn| turn == self.exchanges.len());
        let scripted = self.answer.clone().filter(|_| is_turn);
        let answer = scripted.unwrap_or_else(|| regular(&operation));
        self.exchanges.push(Exchange {
            operation,
            answer: answer.clone(),
        });
        answer
    }
}

/// A server for the life of the process.
#[derive(Debug)]
pub struct KeyServer {
    listener: std::net::TcpListener,
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl KeyServer {
    /// Takes a port.
    ///
    /// # Panics
    /// Where there is no loopback interface.
    pub fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        // As tokio wants it.
        listener.set_nonblocking(true).expect("a socket");
        Self {
            address: listener.local_addr().expect("an address"),
            listener,
            script: Arc::default(),
        }
    }

    /// Answers the clients of the runtime that this is called in. Another thread would answer as well, and every request would wait for two
    /// changes between the threads.
    ///
    /// # Panics
    /// Where the machine has no more file descriptors, and outside of a runtime.
    pub fn serve(&self) {
        let listener = self.listener.try_clone().expect("a file descriptor");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        tokio::spawn(serve(listener, Arc::clone(&self.script)));
    }

    /// From now on the request of this turn, or every one where there is none, is answered so, and all others as they should be.
    pub fn script(&self, turn: Option<usize>, answer: Option<Answer>) {
        let exchanges = Vec::new();
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Script {
            turn,
            answer,
            exchanges,
        };
    }

    /// What it was asked since the last script, in order.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.exchanges.clone()
    }

    /// A client of AWS KMS for a key by its ARN or alias.
    ///
    /// # Panics
    /// Never: the configuration is allowed.
    pub async fn aws(&self, key: &str) -> AwsKms {
        let configuration = AwsKmsConfiguration::new(key)
            .endpoint(format!("http://{}", self.address))
            .allow_plain_http()
            .credentials(AwsCredentials::Static {
                access_key_id: "AKIAFUZZ".to_owned(),
                secret_access_key: "a secret of fuzzing only".to_owned().into(),
                session_token: None,
            })
            .limits(AwsKmsLimits {
                connect_timeout: PATIENCE,
                read_timeout: PATIENCE,
                attempt_timeout: PATIENCE,
                operation_timeout: PATIENCE,
                attempts: 1,
                ..AwsKmsLimits::default()
            });
        AwsKms::connect(configuration).await.expect("a client")
    }

    /// A client of Vault.
    ///
    /// # Panics
    /// Never: the configuration is allowed.
    pub fn vault(&self, login: VaultLogin) -> VaultTransit {
        let configuration =
            VaultConfiguration::new(format!("http://{}", self.address), "fuzz", login)
                .allow_plain_http()
                .trust_roots(TrustRoots::Pem(AUTHORITY.into()))
                .limits(VaultLimits {
                    connect_timeout: PATIENCE,
                    attempt_timeout: PATIENCE,
                    operation_timeout: PATIENCE,
                    attempts: 1,
                    ..VaultLimits::default()
                });
        VaultTransit::connect(configuration).expect("a client")
    }
}

/// A runtime that does everything in the thread that asks.
///
/// # Panics
/// Where the machine has no more file descriptors.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

impl Default for KeyServer {
    fn default() -> Self {
        Self::new()
    }
}

async fn serve(listener: TcpListener, script: Arc<Mutex<Script>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &script));
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that goes away in the middle is no fault.
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    script: &Mutex<Script>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let target = request.headers().get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let operation = match target.and_then(|target| target.split_once('.')) {
        Some((_, operation)) => operation.to_owned(),
        None => path.strip_prefix("/v1/").unwrap_or(path).to_owned(),
    };
    // The next request on this connection begins behind the body.
    let _ = request.into_body().collect().await;
    let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = script.answer(operation);
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    Ok(response)
}

/// What a server in good order says.
fn regular(operation: &str) -> Answer {
    let document = match operation {
        "DescribeKey" => serde_json::json!({ "KeyMetadata": {
            "KeyId": "1234abcd-12ab", "Arn": ARN, "KeyState": "Enabled",
            "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT",
        } }),
        "ScheduleKeyDeletion" => {
            serde_json::json!({ "KeyId": ARN, "DeletionDate": 1_800_000_000 })
        }
        "GenerateDataKey" | "Encrypt" | "Decrypt" | "ReEncrypt" => serde_json::json!({
            "KeyId": ARN, "Plaintext": REGULAR_KEY, "CiphertextBlob": REGULAR_BLOB,
        }),
        "auth/token/lookup-self" => serde_json::json!({ "data": { "ttl": 0 } }),
        "auth/approle/login" | "auth/token/renew-self" => serde_json::json!({ "auth": {
            "client_token": "token", "lease_duration": 3600, "renewable": true,
        } }),
        "transit/keys/fuzz" => {
            serde_json::json!({ "data": { "derived": true, "supports_encryption": true } })
        }
        _ => serde_json::json!({ "data": {
            "plaintext": REGULAR_KEY, "ciphertext": REGULAR_CIPHERTEXT,
        } }),
    };
    Answer {
        status: 200,
        body: document.to_string().into_bytes(),
    }
}
