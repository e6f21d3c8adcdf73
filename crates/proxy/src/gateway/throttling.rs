//! Bounds on one client, at the places of a request's way where the client is known.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, header::RETRY_AFTER};
use http_body_util::BodyExt as _;

use super::{Gateway, Place, live::Live};
use crate::audit::Trail;
use crate::auth::{Authenticated, Caller};
use crate::body::ClientBody;
use crate::error::S3Error;
use crate::throttle::{Excess, Pace, Paced, Share};

impl Gateway {
    /// The share of an address, unless nothing of it is looked at for now.
    pub(super) fn admit_address(
        &self,
        live: &Live,
        address: IpAddr,
    ) -> Result<Option<Arc<Share>>, S3Error> {
        self.within(live.addresses.admit(address), "address")?;
        Ok(live.addresses.share(address))
    }

    /// The share of the identity that makes a request, of which the request takes its part: from here on, what is recorded of it is bounded by that.
    pub(super) fn admit_identity(
        &self,
        live: &Live,
        caller: &Authenticated<Caller>,
        place: &Place,
        trail: &Trail,
    ) -> Result<Option<Arc<Share>>, S3Error> {
        // Nobody is no identity, whatever one is called.
        let share = live.share(&caller.identity);
        let share = share.filter(|_| !caller.is_anonymous);
        if let Some(share) = share {
            place.hold(self.within(share.begin(), "identity")?);
        }
        trail.admit();
        Ok(share.map(Arc::clone))
    }

    /// Counts what is too much, and makes it the answer.
    pub(super) fn within<T>(
        &self,
        outcome: Result<T, Excess>,
        client: &'static str,
    ) -> Result<T, S3Error> {
        outcome.map_err(|Excess { bound, wait }| {
            self.metrics.throttled(client, bound);
            let seconds = wait
                .as_secs()
                .saturating_add(u64::from(wait.subsec_nanos() > 0));
            S3Error::slow_down(format!("limits.per_{client}.{bound} is reached"))
                .with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        })
    }
}

/// What somebody is told whose access key is not known while some are not open yet.
pub(super) const NOT_ALL_OPEN: &str =
    "Not all access keys can be verified at the moment. Please try again.";

/// Counts a signature that was wrong, or of an access key or a session that nobody has.
pub(super) fn note_failure(live: &Live, address: IpAddr, error: &S3Error) {
    let is_unknown = error.code == "ServiceUnavailable" && error.message == NOT_ALL_OPEN;
    if is_unknown
        || matches!(
            &*error.code,
            "InvalidAccessKeyId"
                | "InvalidIdentityToken"
                | "InvalidToken"
                | "SignatureDoesNotMatch"
        )
    {
        live.addresses.failed(address);
    }
}

/// The body of a request, read no faster than its client may send.
pub(super) fn paced(body: ClientBody, pace: &Pace) -> ClientBody {
    if pace.is_free() {
        body
    } else {
        Paced::new(body, pace.clone()).boxed()
    }
}
