//! Times as orders and certificates write them: RFC 3339, in UTC, to the second.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Moment(OffsetDateTime);

impl Moment {
    pub(super) fn now() -> Self {
        Self::rounded(OffsetDateTime::now_utc())
    }

    /// From milliseconds since 1970. Rounded up: what is final from then on is so a second later, too.
    pub(super) fn from_milliseconds(milliseconds: u64) -> Self {
        let seconds = i64::try_from(milliseconds.div_ceil(1_000)).unwrap_or(i64::MAX);
        Self(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    pub(super) fn after(self, duration: Duration) -> Self {
        Self::rounded(
            self.0
                .saturating_add(duration.try_into().unwrap_or(time::Duration::MAX)),
        )
    }

    /// Whatever was given before this moment was given by then: moments are whole seconds.
    pub(super) fn a_second_before(self) -> Self {
        Self(self.0.saturating_sub(time::Duration::SECOND))
    }

    fn rounded(time: OffsetDateTime) -> Self {
        Self(time.replace_nanosecond(0).unwrap_or(time))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl TryFrom<String> for Moment {
    type Error = time::error::Parse;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        OffsetDateTime::parse(&text, &Rfc3339).map(Self)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_and_programs_read_them() {
        let moment = Moment::from_milliseconds(1_000_000_000_001);
        assert_eq!(moment.to_string(), "2001-09-09T01:46:41Z");
        assert_eq!(Moment::try_from(moment.to_string()).unwrap(), moment);
        let later = moment.after(Duration::from_hours(24));
        assert_eq!(later.to_string(), "2001-09-10T01:46:41Z");
        assert!(Moment::now() > later);
    }
}
