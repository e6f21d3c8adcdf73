//! Host names to addresses: the system's resolver, but for `localhost` and the names below it.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// Resolves `localhost` and `*.localhost` to loopback addresses without asking anybody (RFC 6761, section 6.3), so that a storage on this
/// machine can be addressed in virtual-host style; many systems know `localhost` alone.
#[derive(Clone, Debug)]
pub(super) struct Resolver(GaiResolver);

impl Resolver {
    pub(super) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if is_local(name.as_str()) {
            // The connector puts the port in.
            let found: [SocketAddr; 2] = [
                (Ipv4Addr::LOCALHOST, 0).into(),
                (Ipv6Addr::LOCALHOST, 0).into(),
            ];
            return Box::pin(async move { Ok(Vec::from(found).into_iter()) });
        }
        let asked = self.0.call(name);
        Box::pin(async move { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
    }
}

fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_end_in_localhost_are_local() {
        for name in ["localhost", "bucket.localhost", "a.b.LocalHost."] {
            assert!(is_local(name), "{name}");
        }
        for name in ["localhost.example", "notlocalhost", "example.org", ""] {
            assert!(!is_local(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_name_below_localhost_is_this_machine() {
        let name = "bucket.s3.localhost".parse().unwrap();
        let found = Resolver::new().call(name).await.unwrap();
        assert!(found.into_iter().all(|address| address.ip().is_loopback()));
    }
}
