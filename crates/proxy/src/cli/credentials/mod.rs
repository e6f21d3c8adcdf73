//! `sealgate credentials`: access keys of clients, in the directory of `[credentials]`, one file a command.

mod add;
mod hand_out;
mod list;
mod revoke;
mod rotate;
mod store;

use std::time::Duration;

use clap::{Args, Subcommand};

/// Make, list, rotate and revoke the access keys of clients
///
/// They lie in the directory that [credentials] of the configuration names, each in a file with its secret sealed. Gateways
/// look there every second. A secret is shown once, when it is made.
#[derive(Debug, Args)]
pub(super) struct CredentialsArguments {
    #[command(subcommand)]
    command: CredentialsCommand,
}

#[derive(Debug, Subcommand)]
enum CredentialsCommand {
    Add(add::AddArguments),
    List(list::ListArguments),
    Rotate(rotate::RotateArguments),
    Revoke(revoke::RevokeArguments),
}

pub(super) fn run(arguments: CredentialsArguments) -> anyhow::Result<()> {
    match arguments.command {
        CredentialsCommand::Add(arguments) => add::run(arguments),
        CredentialsCommand::List(arguments) => list::run(&arguments),
        CredentialsCommand::Rotate(arguments) => rotate::run(arguments),
        CredentialsCommand::Revoke(arguments) => revoke::run(&arguments),
    }
}

/// The longest that an access key may be good for, and the shortest.
const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(10 * 365 * 24);

/// How long two access keys may work side by side.
const GRACES: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(90 * 24);

/// `--expires`
fn lifetime(text: &str) -> Result<Duration, String> {
    bounded(text, &LIFETIMES, "1m to 3650d")
}

/// `--grace`
fn grace(text: &str) -> Result<Duration, String> {
    bounded(text, &GRACES, "0s to 90d")
}

/// A length of time as the configuration has it, and days.
fn bounded(
    text: &str,
    bounds: &std::ops::RangeInclusive<Duration>,
    told: &str,
) -> Result<Duration, String> {
    let days = |text: &str| {
        let count: u64 = text.strip_suffix('d')?.parse().ok()?;
        count.checked_mul(24 * 3_600).map(Duration::from_secs)
    };
    let length = days(text).or_else(|| crate::config::parse_duration(text));
    match length {
        Some(length) if bounds.contains(&length) => Ok(length),
        Some(_) => Err(format!("out of bounds; give {told}")),
        None => Err(
            "not a length of time; write a whole number and s, m, h or d, such as 90d".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_days_and_bounds() {
        assert_eq!(lifetime("90d").unwrap(), Duration::from_hours(90 * 24));
        assert_eq!(grace("0s").unwrap(), Duration::ZERO);
        assert_eq!(grace("24h").unwrap(), Duration::from_hours(24));
        assert!(lifetime("30s").unwrap_err().contains("1m to 3650d"));
        assert!(lifetime("3651d").unwrap_err().contains("bounds"));
        assert!(grace("91d").unwrap_err().contains("90d"));
        for text in ["d", "1y", "", "99999999999999999999d", "-1d"] {
            assert!(
                lifetime(text).unwrap_err().contains("such as 90d"),
                "{text}"
            );
        }
    }
}
