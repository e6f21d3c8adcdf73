//! The one date format that Signature Version 4 signs.

use std::fmt;
use std::time::{Duration, SystemTime};

use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// A point in time in the form `YYYYMMDDTHHMMSSZ`, UTC, whole seconds
/// (ISO 8601 basic, as the SigV4 specification demands for `x-amz-date` and the string to sign).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmzDate {
    text: String,
    instant: OffsetDateTime,
}

/// Digits of the day at the start of an [`AmzDate`].
const DAY_LENGTH: usize = 8;

/// Characters of an [`AmzDate`].
const TEXT_LENGTH: usize = 16;

impl AmzDate {
    /// Reads `YYYYMMDDTHHMMSSZ` and nothing else: no offset, no sign, no fraction.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == TEXT_LENGTH
            && text
                .bytes()
                .enumerate()
                .all(|(position, byte)| match position {
                    8 => byte == b'T',
                    15 => byte == b'Z',
                    _ => byte.is_ascii_digit(),
                });
        if !shaped {
            return None;
        }
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let instant = PrimitiveDateTime::parse(text, &format).ok()?.assume_utc();
        Some(Self {
            text: text.to_owned(),
            instant,
        })
    }

    /// Reads the value of a `Date` header (RFC 9110, section 5.6.7), which S3 accepts where `x-amz-date` is missing.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        Self::from_instant(instant.to_offset(UtcOffset::UTC))
    }

    /// The given clock reading. `None` for years that four digits cannot hold.
    pub fn from_system_time(now: SystemTime) -> Option<Self> {
        let seconds = match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).ok()?,
            Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
        };
        Self::from_instant(OffsetDateTime::from_unix_timestamp(seconds).ok()?)
    }

    fn from_instant(instant: OffsetDateTime) -> Option<Self> {
        if !(0..=9999).contains(&instant.year()) {
            return None;
        }
        let text = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            instant.year(),
            u8::from(instant.month()),
            instant.day(),
            instant.hour(),
            instant.minute(),
            instant.second()
        );
        Some(Self { text, instant })
    }

    /// The point in time that is so much later. `None` for years that four digits cannot hold.
    pub fn after(&self, duration: Duration) -> Option<Self> {
        let duration = duration.try_into().ok()?;
        Self::from_instant(self.instant.checked_add(duration)?)
    }

    /// The same as `YYYY-MM-DDTHH:MM:SSZ`, which is the form of S3's error documents.
    pub fn to_iso8601(&self) -> String {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        self.instant.format(&format).unwrap_or_default()
    }

    /// The whole text, 16 characters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The day, `YYYYMMDD`, as the credential scope repeats it.
    pub fn day(&self) -> &str {
        self.text.get(..DAY_LENGTH).unwrap_or_default()
    }

    /// Seconds since the Unix epoch.
    pub fn unix_seconds(&self) -> i64 {
        self.instant.unix_timestamp()
    }
}

impl fmt::Display for AmzDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reads_and_writes_the_same_text() {
        let date = AmzDate::parse("20130524T000000Z").unwrap();
        assert_eq!(date.unix_seconds(), 1_369_353_600);
        assert_eq!(date.day(), "20130524");
        let clock = SystemTime::UNIX_EPOCH + Duration::from_millis(1_369_353_600_999);
        assert_eq!(
            AmzDate::from_system_time(clock).unwrap().as_str(),
            "20130524T000000Z"
        );
    }

    #[test]
    fn writes_clocks_before_1970() {
        let clock = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let date = AmzDate::from_system_time(clock).unwrap();
        assert_eq!(date.as_str(), "19691231T235959Z");
    }

    #[test]
    fn refuses_every_other_shape() {
        for text in [
            "",
            "20130524",
            "20130524T000000",
            "20130524t000000z",
            "20131324T000000Z",
            "20130524T006000Z",
            "+0130524T000000Z",
            "+20130524T000000Z",
            "2013-05-24T00:00",
            "20130524T000000+",
            "２0130524T00000Z",
        ] {
            assert_eq!(AmzDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn reads_http_dates() {
        let date = AmzDate::from_http_date("Fri, 24 May 2013 00:00:00 GMT").unwrap();
        assert_eq!(date.as_str(), "20130524T000000Z");
        assert_eq!(AmzDate::from_http_date("yesterday"), None);
    }
}
