//! `side-by-side-store`: a storage in memory that speaks as much S3 as a gateway needs, and costs as little as it can.
//!
//! It checks no signatures and no checksums, makes entity tags out of a counter, and forgets the content of objects whose keys begin with
//! `discard/`, so that uploads can be measured for as long as wanted. That of keys below `regenerated/` is made anew for downloads.

mod answer;
mod body;
mod framing;
mod listing;
mod objects;
mod regenerated;
mod service;
mod target;

use std::{io::Write, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Parser;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{objects::Store, regenerated::Keys};

/// Large reads and writes make the storage cheap.
const BUFFER: usize = 1 << 20;

/// An S3 storage in memory, for measurements. Prints `ready HTTP-URL HTTPS-URL`, the second with --certificate alone.
#[derive(Debug, Parser)]
struct Arguments {
    /// PEM file with the certificate to serve TLS with, on a second port
    #[arg(long, requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// PEM file with its key
    #[arg(long)]
    certificate_key: Option<PathBuf>,
    /// The gateway's key file, for what is below regenerated/; it is read when it is needed
    #[arg(long, requires = "deployment")]
    key_file: Option<PathBuf>,
    /// The gateway's deployment
    #[arg(long)]
    deployment: Option<String>,
    /// Print each request to standard error
    #[arg(long)]
    verbose: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let keys = arguments
        .key_file
        .zip(arguments.deployment)
        .map(|(key_file, deployment)| Keys {
            key_file,
            deployment,
        });
    let store = Arc::new(Store::new(keys, arguments.verbose));
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let mut ready = format!("ready http://{}", plain.local_addr()?);
    if let (Some(certificate), Some(key)) = (arguments.certificate, arguments.certificate_key) {
        let acceptor = acceptor(&certificate, &key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ready = format!("{ready} https://{}", listener.local_addr()?);
        tokio::spawn(accept(listener, Some(acceptor), Arc::clone(&store)));
    }
    let mut output = std::io::stdout();
    writeln!(output, "{ready}")?;
    output.flush()?;
    accept(plain, None, store).await
}

fn acceptor(certificate: &PathBuf, key: &PathBuf) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("{} is no PEM file with certificates", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{} is no PEM file with a key", key.display()))?;
    let settings = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(settings)))
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    store: Arc<Store>,
) -> anyhow::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let (acceptor, store) = (acceptor.clone(), Arc::clone(&store));
        tokio::spawn(async move {
            match acceptor {
                None => serve(connection, store).await,
                Some(acceptor) => {
                    if let Ok(connection) = acceptor.accept(connection).await {
                        serve(connection, store).await;
                    }
                }
            }
        });
    }
}

async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin, store: Arc<Store>) {
    let service = service_fn(move |request| service::serve(Arc::clone(&store), request));
    // A connection that breaks is the proxy's affair, which the client sees.
    let _ = http1::Builder::new()
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(connection), service)
        .await;
}
