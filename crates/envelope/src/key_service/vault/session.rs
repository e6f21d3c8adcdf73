//! The token of our requests: where it comes from, and how it is kept alive.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use super::classification::failed;
use super::configuration::VaultLogin;
use super::transport::Transport;
use crate::error::{KeyServiceFailure, Result};
use crate::key_service::{failure_of, key_service_error};

/// The longest file that is taken for a token.
const TOKEN_FILE_LIMIT: u64 = 64 << 10;

/// After a failed renewal, before the next try; the token usually has much longer to live.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// The shortest wait between two renewals or tries.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// No lease is taken for longer than a year: an earlier renewal does no harm, and a time that ends in thousands of years has no point in it.
const LONGEST_LEASE: Duration = Duration::from_hours(365 * 24);

/// A token in use. It is wiped with the last clone.
pub(super) type Token = Arc<Zeroizing<String>>;

/// One login and the token that it gave. Shared by all requests.
pub(super) struct Session {
    login: VaultLogin,
    transport: Arc<Transport>,
    current: Mutex<Option<Token>>,
}

/// `auth` in the answer to a login or a renewal (Vault API, "Authentication").
#[derive(Deserialize)]
struct LoginAnswer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    /// Seconds; 0 is for ever.
    lease_duration: u64,
    renewable: bool,
}

impl Drop for Auth {
    fn drop(&mut self) {
        self.client_token.zeroize();
    }
}

/// The answer to `auth/token/lookup-self`.
#[derive(Deserialize)]
struct Lookup {
    data: LookupData,
}

#[derive(Deserialize)]
struct LookupData {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Serialize)]
struct AppRoleRequest<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

#[derive(Serialize)]
struct KubernetesRequest<'a> {
    role: &'a str,
    jwt: &'a str,
}

/// How long a token lives and what comes after.
#[derive(Clone, Copy)]
struct Lease {
    /// `None`: for ever.
    left: Option<Duration>,
    renewable: bool,
}

impl Lease {
    /// As the server says it: in seconds, and 0 for ever.
    fn new(seconds: u64, renewable: bool) -> Self {
        let left = Duration::from_secs(seconds).min(LONGEST_LEASE);
        Self {
            left: (seconds > 0).then_some(left),
            renewable,
        }
    }
}

impl Session {
    pub(super) fn new(login: VaultLogin, transport: Arc<Transport>) -> Arc<Self> {
        Arc::new(Self {
            login,
            transport,
            current: Mutex::new(None),
        })
    }

    /// The token for the next request; logs in first where there is none. Simultaneous callers make one login.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Token> {
        let mut current = self.current.lock().await;
        if let Some(token) = &*current {
            return Ok(Arc::clone(token));
        }
        let (token, lease) = self.log_in().await?;
        *current = Some(Arc::clone(&token));
        if lease.left.is_some() {
            tokio::spawn(keep_alive(Arc::downgrade(self), Arc::clone(&token), lease));
        }
        Ok(token)
    }

    /// The server refused `token`: whether another try with a new one makes sense.
    pub(super) async fn replace(&self, token: &Token) -> bool {
        if !self.login.can_log_in_again() {
            return false;
        }
        self.forget(token).await;
        true
    }

    async fn forget(&self, token: &Token) {
        let mut current = self.current.lock().await;
        // Another caller may have replaced it already.
        if current
            .as_ref()
            .is_some_and(|kept| Arc::ptr_eq(kept, token))
        {
            *current = None;
        }
    }

    async fn log_in(&self) -> Result<(Token, Lease)> {
        match &self.login {
            VaultLogin::Token(token) => {
                let token = Arc::new(token.clone());
                let lease = self.look_up(&token).await?;
                Ok((token, lease))
            }
            VaultLogin::TokenFile(path) => {
                let token = Arc::new(read_token(path).await?);
                let lease = self.look_up(&token).await?;
                Ok((token, lease))
            }
            VaultLogin::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let request = AppRoleRequest { role_id, secret_id };
                self.authenticate(mount, &request).await
            }
            VaultLogin::Kubernetes {
                mount,
                role,
                token_file,
            } => {
                let jwt = read_token(token_file).await?;
                let request = KubernetesRequest { role, jwt: &jwt };
                self.authenticate(mount, &request).await
            }
        }
    }

    async fn authenticate(
        &self,
        mount: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<(Token, Lease)> {
        let path = format!("auth/{mount}/login");
        let answer = self
            .transport
            .send(Method::POST, &path, None, Some(request))
            .await?;
        if !answer.status.is_success() {
            // A wrong role or secret id is answered 400, and means what 403 means elsewhere.
            if answer.status == http::StatusCode::BAD_REQUEST {
                return Err(key_service_error(
                    KeyServiceFailure::Denied,
                    &format!(
                        "Vault {path}: HTTP 400, {}; check the role and its secret",
                        answer.errors()
                    ),
                ));
            }
            return Err(failed("login", &path, &answer));
        }
        let mut parsed: LoginAnswer = answer.parse(&path)?;
        let token = Zeroizing::new(std::mem::take(&mut parsed.auth.client_token));
        // Kept, it would fail every request until the lease ends.
        if !token.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(key_service_error(
                KeyServiceFailure::Malformed,
                &format!("Vault {path}: the token has characters that no header can hold"),
            ));
        }
        Ok((Arc::new(token), lease_of(&parsed.auth)))
    }

    /// How long a token lives that somebody else made.
    async fn look_up(&self, token: &Token) -> Result<Lease> {
        let path = "auth/token/lookup-self";
        let answer = self
            .transport
            .send(Method::GET, path, Some(token), None::<&()>)
            .await?;
        if answer.status.is_success() {
            let Lookup { data } = answer.parse(path)?;
            return Ok(Lease::new(data.ttl, data.renewable));
        }
        let error = failed("lookup-self", "(any)", &answer);
        if failure_of(&error).is_some_and(KeyServiceFailure::is_transient) {
            return Err(error);
        }
        // A token need not have the policy that lets it look at itself; a renewal tells as much.
        match self.renew(token).await {
            Ok(lease) => Ok(lease),
            Err(error) if failure_of(&error).is_some_and(KeyServiceFailure::is_transient) => {
                Err(error)
            }
            // Whether it is good, its use will show.
            Err(error) => {
                tracing::warn!(
                    detail = error.detail(),
                    "the Vault token may neither look itself up nor renew itself, so the gateway stops reading and writing \
                     when the token ends; allow it read on auth/token/lookup-self and update on auth/token/renew-self, \
                     as Vault's policy \"default\" does, or configure a role to log in with"
                );
                Ok(Lease {
                    left: None,
                    renewable: false,
                })
            }
        }
    }

    async fn renew(&self, token: &Token) -> Result<Lease> {
        let path = "auth/token/renew-self";
        let answer = self
            .transport
            .send(
                Method::POST,
                path,
                Some(token),
                Some(&serde_json::Map::new()),
            )
            .await?;
        if answer.status.is_success() {
            let parsed: LoginAnswer = answer.parse(path)?;
            return Ok(lease_of(&parsed.auth));
        }
        Err(failed("renew-self", "(any)", &answer))
    }
}

fn lease_of(auth: &Auth) -> Lease {
    Lease::new(auth.lease_duration, auth.renewable)
}

/// Two thirds of what is left, so that a slow server has the last third for answering.
fn renewal_delay(left: Duration) -> Duration {
    (left * 2 / 3).max(SHORTEST_PAUSE)
}

/// Renews a token until it cannot be renewed any more, or until nobody uses it. A token that ends is forgotten, so that the
/// next request logs in.
async fn keep_alive(session: Weak<Session>, token: Token, mut lease: Lease) {
    'leases: while let Some(left) = lease.left {
        let end = Instant::now() + left;
        tokio::time::sleep(renewal_delay(left)).await;
        lease = loop {
            let Some(session) = session.upgrade() else {
                return;
            };
            {
                let current = session.current.lock().await;
                if !current
                    .as_ref()
                    .is_some_and(|kept| Arc::ptr_eq(kept, &token))
                {
                    return;
                }
            }
            if !lease.renewable {
                break 'leases;
            }
            match session.renew(&token).await {
                Ok(renewed) => {
                    // Near its maximum age a token gets less and less; then a new login is due.
                    if renewed
                        .left
                        .is_some_and(|left| left < Duration::from_secs(2))
                    {
                        break 'leases;
                    }
                    break renewed;
                }
                Err(error) if failure_of(&error).is_some_and(KeyServiceFailure::is_transient) => {
                    tracing::warn!(
                        detail = error.detail(),
                        "the Vault token could not be renewed yet"
                    );
                    // As long as the token lives, an outage may end.
                    let rest = end.saturating_duration_since(Instant::now());
                    if rest < SHORTEST_PAUSE {
                        break 'leases;
                    }
                    drop(session);
                    tokio::time::sleep(RENEWAL_PAUSE.min(rest / 2)).await;
                }
                Err(error) => {
                    tracing::warn!(detail = error.detail(), "the Vault token cannot be renewed");
                    break 'leases;
                }
            }
        };
    }
    if let Some(session) = session.upgrade() {
        if session.login.can_log_in_again() {
            session.forget(&token).await;
        } else {
            tracing::error!(
                "the Vault token is about to end and cannot be renewed; give the gateway a new one, or a role to log in with"
            );
        }
    }
}

/// A token in a file; white space around it is ignored.
async fn read_token(path: &Path) -> Result<Zeroizing<String>> {
    let unreadable = |cause: String| {
        key_service_error(
            KeyServiceFailure::Misconfigured,
            &format!("the token file {} cannot be used: {cause}", path.display()),
        )
    };
    let length = tokio::fs::metadata(path)
        .await
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if length > TOKEN_FILE_LIMIT {
        return Err(unreadable(format!(
            "it is longer than {TOKEN_FILE_LIMIT} bytes"
        )));
    }
    let text = tokio::fs::read_to_string(path)
        .await
        .map(Zeroizing::new)
        .map_err(|error| unreadable(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(unreadable("it is empty".to_owned()));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lease_is_too_long_to_be_waited_for() {
        let lease = |lease_duration| {
            lease_of(&Auth {
                client_token: String::new(),
                lease_duration,
                renewable: true,
            })
        };
        assert!(lease(0).left.is_none());
        assert_eq!(lease(60).left, Some(Duration::from_mins(1)));
        for seconds in [u64::MAX, u64::MAX / 2, 1 << 40] {
            let left = lease(seconds).left.unwrap();
            assert!(renewal_delay(left) < left);
            assert!(Instant::now().checked_add(left).is_some());
        }
    }
}
