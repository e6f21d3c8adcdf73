//! Whether policies and grants allow a request, asked in one way of whatever comes in.

use http::HeaderMap;
use sealgate_access::Circumstances;
use time::OffsetDateTime;

use super::{Gateway, audience::AudienceOf, live::Live, short_lived};
use crate::{
    audit::Trail,
    auth::{Authenticated, Caller},
    error::S3Error,
    grants::Granted,
    listener::ConnectionInfo,
    object_key::ObjectPath,
    policy::{self, Rights},
    query_string::QueryString,
    route::Operation,
};

impl Gateway {
    /// The rights of whoever makes a request over a connection, now, once they allow all that it touches. The audit log is told what decided.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(super) fn authorized(
        &self,
        live: &Live,
        (caller, connection): (&Authenticated<Caller>, &ConnectionInfo),
        granted: Option<Granted>,
        (operation, path): (&Operation, &ObjectPath),
        (query, headers): (&QueryString, &HeaderMap),
        trail: &Trail,
    ) -> Result<Rights, S3Error> {
        let circumstances = Circumstances {
            source: connection.client,
            time: OffsetDateTime::now_utc(),
            tls: connection.tls,
            certificates: connection.certificate.clone().unwrap_or_default(),
            grant: granted.as_ref().map(|granted| granted.id().to_owned()),
            session: caller.session.as_deref().map(short_lived::facts),
            prefix: None,
        };
        let mut rights = Rights::of(live.policy.as_ref(), caller, circumstances, granted);
        let audience = AudienceOf {
            gateway: self,
            live,
            caller,
        };
        let decision = rights.authorize(operation, path, query, headers, &audience);
        policy::recorded(decision, &rights, trail)?;
        Ok(rights)
    }
}
