//! Amounts as people write them: `"30s"`, `"1 MiB"`.

use std::time::Duration;

/// Units of time, in milliseconds.
const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Units of size, in bytes. Powers of 1,024 only: a bare `MB` means different things to different people.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `500ms`, `30s`, `5m`, `24h`: a whole number and a unit. `None` for anything else and above 2^64 milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &TIME_UNITS).map(Duration::from_millis)
}

/// `4096 B`, `512 KiB`, `1 MiB`, `2 GiB`: a whole number and a unit. `None` for anything else and above 2^64 bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// The largest unit that divides the amount, for messages.
pub(super) fn format_duration(duration: Duration) -> String {
    format(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &TIME_UNITS,
        "",
    )
}

/// The largest unit that divides the amount, for messages.
pub(super) fn format_size(size: u64) -> String {
    format(size, &SIZE_UNITS, " ")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start_matches(' ');
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format(amount: u64, units: &[(&str, u64)], separator: &str) -> String {
    let unit = units
        .iter()
        .rev()
        .find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    let (name, factor) = unit.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{separator}{name}", amount / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_with_units_are_read() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("24h"), Some(Duration::from_hours(24)));
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        assert_eq!(parse_size("1 MiB"), Some(1 << 20));
        assert_eq!(parse_size("512KiB"), Some(512 << 10));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "30",
            "-1s",
            "1.5s",
            "1 day",
            "30S",
            "s30",
            " 30s",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
        for text in ["1MB", "1 mib", "1", "18446744073709551615 GiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_read_back(amount: u64) {
            prop_assert_eq!(parse_size(&format_size(amount)), Some(amount));
            let duration = Duration::from_millis(amount);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
