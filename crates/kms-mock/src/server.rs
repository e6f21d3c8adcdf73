//! The server: settings, start, stop.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::control;
use crate::error::{KmsError, StartError};
use crate::faults::Faults;
use crate::hook::RequestHook;
use crate::identifier::{KeyIdentifier, Realm};
use crate::listener::serve;
use crate::operations::create_key_for_alias;
use crate::principal::{Principal, Principals};
use crate::request_log::RequestLog;
use crate::service::Service;
use crate::store::Store;
use crate::tls::TlsIdentity;

/// The region unless another is set.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The account unless another is set: the example account of the AWS documentation.
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// Settings of a server that is about to start; see the [crate documentation](crate) for an example.
pub struct ServerBuilder {
    listen: SocketAddr,
    state_directory: Option<PathBuf>,
    principals: Vec<Principal>,
    aliases: Vec<String>,
    region: String,
    replica_regions: Vec<String>,
    account: String,
    tls: Option<TlsIdentity>,
    request_log: Option<PathBuf>,
    hook: Option<Arc<dyn RequestHook>>,
    control: Option<SocketAddr>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            state_directory: None,
            principals: Vec::new(),
            aliases: Vec::new(),
            region: DEFAULT_REGION.to_owned(),
            replica_regions: Vec::new(),
            account: DEFAULT_ACCOUNT.to_owned(),
            tls: None,
            request_log: None,
            hook: None,
            control: None,
        }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerBuilder")
            .field("listen", &self.listen)
            .field("state_directory", &self.state_directory)
            .field("principals", &self.principals)
            .field("aliases", &self.aliases)
            .field("region", &self.region)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// The address to listen on; 127.0.0.1 with a free port unless set.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The directory that keeps the keys; without one they end with the server.
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_directory = Some(path.into());
        self
    }

    /// Adds a principal; a server needs at least one.
    #[must_use]
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principals.push(principal);
        self
    }

    /// An alias, such as `alias/sealgate-dev`, that is there when the server starts: with the key it had, or a new one.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// The region that ARNs name and requests must be signed for; [`DEFAULT_REGION`] unless set.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// A further region that the server answers for, where ReplicateKey puts replicas of multi-Region keys.
    #[must_use]
    pub fn replica_region(mut self, region: impl Into<String>) -> Self {
        self.replica_regions.push(region.into());
        self
    }

    /// The account, 12 digits, that ARNs name; [`DEFAULT_ACCOUNT`] unless set.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// Serves TLS (1.2 and 1.3) instead of plain HTTP.
    #[must_use]
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Appends one line of JSON per request to a file, which is created with mode 0600.
    #[must_use]
    pub fn request_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.request_log = Some(path.into());
        self
    }

    /// Sets the hook that decides about each request.
    #[must_use]
    pub fn hook(mut self, hook: Arc<dyn RequestHook>) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Listens on a second address, which must be a loopback one, for the setting of [`Faults`]: it asks for no
    /// credentials.
    #[must_use]
    pub fn control(mut self, address: SocketAddr) -> Self {
        self.control = Some(address);
        self
    }

    /// Opens the state, creates the aliases and listens. Must be called in a tokio runtime, which the server runs on.
    ///
    /// Not cancel safe in one respect: aliases may have been created when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`StartError`], which names the cause and what to do.
    pub async fn start(self) -> Result<RunningServer, StartError> {
        let setting = |message: String| StartError::Setting(message);
        for (place, region) in self.replica_regions.iter().enumerate() {
            let is_again = |earlier: &String| earlier == region;
            if self.region == *region || self.replica_regions.iter().take(place).any(is_again) {
                return Err(setting(format!(
                    "the region {region:?} stands twice; give each once"
                )));
            }
        }
        for region in [&self.region].into_iter().chain(&self.replica_regions) {
            let accepts = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if region.is_empty() || !region.bytes().all(accepts) {
                return Err(setting(format!(
                    "the region {region:?} is not one; give a name such as {DEFAULT_REGION}"
                )));
            }
        }
        if self.account.len() != 12 || !self.account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(setting(format!(
                "the account {:?} is not one; give 12 digits",
                self.account
            )));
        }
        let realm = Realm {
            region: self.region,
            account: self.account,
            of_replicas: false,
        };
        let principals =
            Principals::new(self.principals).map_err(|error| setting(error.to_string()))?;
        let log = self
            .request_log
            .as_deref()
            .map_or(Ok(RequestLog::none()), RequestLog::append_to)?;
        let listener =
            TcpListener::bind(self.listen)
                .await
                .map_err(|source| StartError::Listen {
                    address: self.listen,
                    source,
                })?;
        let local_address = listener.local_addr().map_err(|source| StartError::Listen {
            address: self.listen,
            source,
        })?;
        let control = match self.control {
            Some(address) => Some(bind_control(address).await?),
            None => None,
        };
        let mut store = match &self.state_directory {
            Some(path) => Store::in_directory(realm, path)?,
            None => Store::in_memory(realm)?,
        };
        store.answer_for(self.replica_regions);
        for alias in self.aliases {
            create_key_for_alias(&store, &alias, OffsetDateTime::now_utc())
                .map_err(|source| StartError::Alias { alias, source })?;
        }
        let faults = Faults::default();
        let control = control.map(|(listener, endpoint)| Control {
            endpoint,
            task: tokio::spawn(control::serve(listener, faults.clone())),
        });
        let service = Arc::new(Service {
            store,
            principals,
            log,
            faults,
            hook: self.hook,
        });
        let acceptor = self
            .tls
            .as_ref()
            .map(|identity| TlsAcceptor::from(identity.config()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&service), stopped));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{}", reachable(local_address));
        Ok(RunningServer {
            endpoint,
            local_address,
            service,
            stop: Some(stop),
            task,
            control,
        })
    }
}

async fn bind_control(address: SocketAddr) -> Result<(TcpListener, String), StartError> {
    if !address.ip().is_loopback() {
        return Err(StartError::Setting(format!(
            "the control address {address} is not a loopback address; whoever reaches it can set faults, so give \
             127.0.0.1 or [::1]"
        )));
    }
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, format!("http://{local}")))
}

/// The address that clients on this machine connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

/// A server that is listening. When dropped it stops at once, without waiting for requests that run.
pub struct RunningServer {
    endpoint: String,
    local_address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    control: Option<Control>,
}

/// The control address, served.
struct Control {
    endpoint: String,
    task: JoinHandle<()>,
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunningServer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl RunningServer {
    /// Settings to start a server with.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The URL that clients take as their endpoint, without a slash at the end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The address it listens on, with the port that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_address
    }

    /// The faults that strike requests; none at the start.
    pub fn faults(&self) -> &Faults {
        &self.service.faults
    }

    /// The URL of the control address, if there is one.
    pub fn control_endpoint(&self) -> Option<&str> {
        self.control
            .as_ref()
            .map(|control| control.endpoint.as_str())
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.service.store.realm().region
    }

    /// The ARN of the key that an alias (with its prefix `alias/`) points to.
    pub fn key_arn(&self, alias: &str) -> Option<String> {
        let store = &self.service.store;
        let identifier = KeyIdentifier::Alias(alias.to_owned());
        store
            .catalogue()
            .resolve(&identifier, store.realm())
            .ok()
            .map(|key| store.realm().key_arn(key.id))
    }

    /// Finds the key of an alias or creates both, and answers the key's ARN. Blocks on the disk for a moment.
    ///
    /// # Errors
    ///
    /// What CreateAlias refuses, and `KMSInternalException` when the state cannot be written.
    pub fn ensure_alias(&self, alias: &str) -> Result<String, KmsError> {
        let store = &self.service.store;
        create_key_for_alias(store, alias, OffsetDateTime::now_utc())
            .map(|id| store.realm().key_arn(id))
    }

    /// Stops: no new connections, requests that run get a few seconds to end, then the state directory is unlocked.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // A task that has ended already has nothing to stop.
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the server ended unexpectedly");
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(control) = &self.control {
            control.task.abort();
        }
    }
}
