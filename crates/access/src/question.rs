//! What is asked of a policy.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use time::{OffsetDateTime, UtcOffset};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// An identity of the configuration.
    Identity(&'a str),
    /// Nobody: a request without a signature.
    Anonymous,
}

/// What something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The gateway as a whole.
    Service,
    /// A bucket.
    Bucket(&'a str),
    /// An object, or the name of one that may come to be.
    Object {
        /// Its bucket.
        bucket: &'a str,
        /// Its decoded key.
        key: &'a str,
    },
}

impl Resource<'_> {
    /// Its name as IAM writes it, for messages.
    pub fn arn(&self) -> String {
        match self {
            Self::Service => "*".to_owned(),
            Self::Bucket(bucket) => format!("arn:aws:s3:::{bucket}"),
            Self::Object { bucket, key } => format!("arn:aws:s3:::{bucket}/{key}"),
        }
    }
}

/// The circumstances of a request. They are the same for every object that it touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// Where the request comes from.
    pub source: IpAddr,
    /// When it is decided about.
    pub time: OffsetDateTime,
    /// Whether the client is connected by TLS.
    pub tls: bool,
    /// The names in the client's certificate; none where it presented none.
    pub certificates: Arc<[String]>,
    /// The break-glass grant that the request's credential carries.
    pub grant: Option<String>,
    /// The session that makes the request, where it is not an identity with its own access key.
    pub session: Option<SessionFacts>,
    /// The prefix of a listing. No other action has one.
    pub prefix: Option<String>,
}

/// What policies may ask about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The name that whoever got it gave it; empty for none.
    pub name: String,
    /// Who got it, where that is not the identity itself: another identity, or `PROVIDER/SUBJECT` of a web identity; else empty.
    pub source: String,
    /// When it was made.
    pub issued: OffsetDateTime,
}

impl Circumstances {
    /// Those of a plain connection from this machine.
    pub fn local(time: OffsetDateTime) -> Self {
        Self {
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            time,
            tls: false,
            certificates: Arc::default(),
            grant: None,
            session: None,
            prefix: None,
        }
    }

    /// The day of the week in UTC: 1 is Monday, 7 is Sunday.
    pub(crate) fn weekday(&self) -> i64 {
        let utc = self
            .time
            .checked_to_offset(UtcOffset::UTC)
            .unwrap_or(self.time);
        i64::from(utc.weekday().number_from_monday())
    }
}

/// One question: may this be done to that?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who.
    pub principal: Principal<'a>,
    /// What.
    pub action: crate::action::Action,
    /// To what.
    pub resource: Resource<'a>,
    /// When and from where.
    pub circumstances: &'a Circumstances,
}
