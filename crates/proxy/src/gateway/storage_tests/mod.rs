//! A whole gateway between a client and a storage in memory that counts what it is asked (see `storage`).

mod audit;
mod copies;
mod flush;
mod forwarded;
mod integrity;
mod late_answers;
mod late_parts;
mod listings;
mod pages;
mod passed;
mod probes;
mod scale;
mod scan;
mod state_buckets;
mod storage;
mod unsigned;
mod upload_ends;
mod uploads;

use std::sync::Arc;

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use sealgate_envelope::key_service::local::LocalKeyService;
use tempfile::TempDir;

use self::storage::Storage;
use super::Gateway;
use crate::{
    config::Config,
    error::S3Error,
    listener::Listener,
    upstream::{
        Addressing, Answer, CredentialSource, DocumentMemory, Target, Timeouts, Upstream,
        UpstreamRequest, UpstreamSettings,
    },
};

const BUCKET: &str = "bucket";

struct Rig {
    storage: Storage,
    gateway: Arc<Gateway>,
    /// The gateway, as any S3 client sees it.
    client: Upstream,
    /// Where it listens.
    address: String,
    directory: TempDir,
}

impl Rig {
    async fn start(upstream_settings: &str) -> Self {
        Self::start_on(Storage::default(), upstream_settings).await
    }

    async fn start_on(storage: Storage, upstream_settings: &str) -> Self {
        Self::start_with(storage, upstream_settings, "").await
    }

    /// `more` are further tables of the configuration.
    async fn start_with(storage: Storage, upstream_settings: &str, more: &str) -> Self {
        Self::start_listening(storage, "", upstream_settings, more).await
    }

    /// With a host for each bucket.
    async fn start_in_domain(storage: Storage, domain: &str) -> Self {
        let listener_settings = format!("base_domains = ['{domain}']");
        Self::start_listening(storage, &listener_settings, "", "").await
    }

    async fn start_listening(
        storage: Storage,
        listener_settings: &str,
        upstream_settings: &str,
        more: &str,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        LocalKeyService::create(path("key")).unwrap();
        std::fs::write(path("secret"), "a secret of the test").unwrap();
        let log = sealgate_audit::SigningKey::generate("test", sealgate_audit::Purpose::Log);
        std::fs::write(path("audit.key"), log.unwrap().to_text().as_bytes()).unwrap();
        let endpoint = storage.serve().await;
        let text = format!(
            "deployment = 'test'\n[listener]\naddress = '127.0.0.1:0'\n{listener_settings}\n\
             [upstream]\nendpoint = '{endpoint}'\nregion = 'us-east-1'\n{upstream_settings}\n\
             credentials = {{ access_key_id = 'storage', secret_access_key = 'file:secret' }}\n\
             [[key_service]]\ntype = 'local'\nfile = 'key'\n\
             [[identity]]\nname = 'test'\n\
             [[identity.credential]]\naccess_key_id = 'client'\nsecret_access_key = 'file:secret'\n{more}\n"
        );
        std::fs::write(path("sealgate.toml"), text).unwrap();
        let config = Arc::new(Config::load(&path("sealgate.toml")).unwrap());
        let gateway = Gateway::start(Arc::clone(&config)).await.unwrap();
        gateway.record_decisions().unwrap();
        let listener = Listener::bind(&config.listener, &config.limits).unwrap();
        let url = listener.url();
        let handler = Arc::clone(&gateway);
        tokio::spawn(listener.serve(
            move |request, connection| Arc::clone(&handler).handle(request, connection),
            std::future::pending(),
        ));
        let client = Upstream::new(UpstreamSettings {
            endpoint: url.parse().unwrap(),
            region: "us-east-1".to_owned(),
            addressing: Addressing::Path,
            ca_file: None,
            client_certificate: None,
            credentials: CredentialSource::new(Credentials::new(
                "client",
                "a secret of the test",
                None,
                None,
                "test",
            )),
            timeouts: Timeouts::default(),
            memory: DocumentMemory::new(1 << 30),
        })
        .unwrap();
        let rig = Self {
            storage,
            gateway,
            client,
            address: url.trim_start_matches("http://").to_owned(),
            directory,
        };
        rig.client
            .call(UpstreamRequest::new(Method::PUT, Target::bucket(BUCKET)))
            .await
            .unwrap();
        rig.storage.take_seen();
        rig
    }

    async fn call(&self, request: UpstreamRequest) -> Result<Answer, S3Error> {
        self.client.call(request).await
    }

    async fn text(&self, request: UpstreamRequest) -> String {
        let answer = self.call(request).await.unwrap();
        let document = answer.document(64 << 20).await.unwrap();
        String::from_utf8(document.to_vec()).unwrap()
    }

    async fn put(&self, key: &str, content: impl Into<Bytes>) -> Result<Answer, S3Error> {
        self.call(request(Method::PUT, key).bytes(content)).await
    }

    async fn get(&self, key: &str) -> Bytes {
        let answer = self.call(request(Method::GET, key)).await.unwrap();
        answer.document(1 << 30).await.unwrap().into_bytes()
    }
}

fn request(method: Method, key: &str) -> UpstreamRequest {
    UpstreamRequest::new(method, Target::object(BUCKET, key))
}

fn with(request: UpstreamRequest, name: &'static str, value: &str) -> UpstreamRequest {
    request.header(
        HeaderName::from_static(name),
        HeaderValue::from_str(value).unwrap(),
    )
}

/// What stands between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}

/// Bytes that are alike nowhere.
fn content(length: usize) -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}
