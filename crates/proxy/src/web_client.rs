//! Small documents from and to servers of others, over HTTPS. Redirects are not followed: the configuration says whose word counts.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use crate::config::WebAddress;
use crate::upstream;

/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer of a hook, in bytes. Nobody reads it.
const IGNORED_LIMIT: usize = 64 * 1024;

/// A client of one address.
pub(crate) struct WebClient {
    address: WebAddress,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl WebClient {
    /// Contacts nobody yet. Up to `idle` connections are kept between exchanges.
    ///
    /// # Errors
    /// Where the file of certificate authorities can't be used.
    pub(crate) fn new(address: &WebAddress, idle: usize) -> anyhow::Result<Self> {
        let tls = upstream::client_config(address.ca_file.as_deref(), None)?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            address: address.clone(),
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(idle)
                .build(connector),
        })
    }

    /// Fetches a document of at most `limit` bytes.
    ///
    /// # Errors
    /// Where it can't be had within ten seconds.
    pub(crate) async fn get(&self, limit: usize) -> anyhow::Result<Bytes> {
        let (status, body) = self.exchange(Method::GET, Bytes::new(), limit).await?;
        ensure!(
            status == StatusCode::OK,
            "{} answered with the status {status}",
            self.address.endpoint
        );
        Ok(body)
    }

    /// Hands over a JSON document.
    ///
    /// # Errors
    /// Where it isn't taken within ten seconds.
    pub(crate) async fn post(&self, json: String) -> anyhow::Result<()> {
        let (status, _) = self
            .exchange(Method::POST, json.into(), IGNORED_LIMIT)
            .await?;
        ensure!(
            status.is_success(),
            "{} answered with the status {status}",
            self.address.endpoint
        );
        Ok(())
    }

    async fn exchange(
        &self,
        method: Method,
        body: Bytes,
        limit: usize,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let uri: Uri = self.address.to_string().parse()?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "sealgate")
            .body(Full::new(body))?;
        self.send(request, limit).await
    }

    /// Sends a request to the address, and takes an answer of at most `limit` bytes. Errors name the server alone: paths of hooks are secrets.
    ///
    /// # Errors
    /// Where there is no answer within ten seconds.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let server = &self.address.endpoint;
        let exchange = async {
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), limit);
            let body = body.collect().await.map_err(anyhow::Error::from_boxed)?;
            anyhow::Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .with_context(|| format!("{server} gave no answer within {TIMEOUT:?}"))?
            .with_context(|| format!("{server} can't be asked"))
    }
}
