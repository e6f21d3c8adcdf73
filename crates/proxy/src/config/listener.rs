//! `[listener]`: where clients connect, and under which host names buckets are found.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where clients connect.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key, or `None` for plaintext HTTP.
    pub tls: Option<TlsFiles>,
    /// Host names, in lower case and without port, below which the first label of a host is a bucket (virtual-host style).
    /// A host equal to one of them, or any other host, is path style.
    pub base_domains: Vec<String>,
    /// Hosts (`name` or `name:port`, in lower case) that clients may have signed instead of the one this gateway sees,
    /// because a load balancer in front rewrites the `Host` header.
    pub external_hosts: Vec<String>,
}

/// PEM files of a TLS server.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}
