//! Requests that are made with the credentials of a break-glass grant.

use sealgate_access::grant::GrantError;

use super::{Gateway, live::Live};
use crate::{
    audit::Trail,
    auth::{Authenticated, Caller},
    body::ClientBody,
    error::S3Error,
    grants::{Granted, watched_upload},
    listener::ConnectionInfo,
};

impl Gateway {
    /// Whether a caller whose signature was verified may go on, and by which grant: all of it is verified, every time.
    ///
    /// # Errors
    /// `AccessDenied` and `InvalidToken`.
    pub(super) fn admit(
        &self,
        live: &Live,
        caller: &Authenticated<Caller>,
        connection: &ConnectionInfo,
        trail: &Trail,
    ) -> Result<Option<Granted>, S3Error> {
        live.check(caller, connection)?;
        let Some(claims) = caller
            .session
            .as_ref()
            .filter(|claims| !claims.grant.is_empty())
        else {
            return Ok(None);
        };
        let Some(authority) = &self.grants else {
            trail.refuse();
            return Err(S3Error::access_denied(
                "The session carries a grant, and this gateway has no rules for grants.",
            ));
        };
        match authority.verify(claims) {
            Ok(granted) => {
                trail.granted(granted.id());
                Ok(Some(granted))
            }
            Err(error) => {
                trail.refuse();
                Err(refusal(&error))
            }
        }
    }
}

/// Whoever has the secret of the session may know why.
fn refusal(error: &GrantError) -> S3Error {
    S3Error::access_denied(format!(
        "The grant of this session does not count: {error}."
    ))
}

/// A body that is taken only while the grant counts, where there is one.
pub(super) fn watched(body: ClientBody, granted: Option<&Granted>) -> ClientBody {
    match granted {
        Some(granted) => watched_upload(body, granted.clone()),
        None => body,
    }
}
