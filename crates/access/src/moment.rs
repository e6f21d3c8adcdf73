//! Moments in messages and documents.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment in seconds since 1970, for people and programs: RFC 3339, in UTC. What lies beyond the year 9999 stays a number.
pub fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} seconds after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_as_people_write_them() {
        assert_eq!(rfc3339(1_800_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(
            rfc3339(u64::MAX),
            format!("{} seconds after 1970", u64::MAX)
        );
    }
}
