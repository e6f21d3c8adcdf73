//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use sealgate_envelope::key_service::WAITING_DAYS;

use crate::cli::pace::PaceArguments;
use crate::cli::passphrase::PassphraseArgument;
use crate::config::parse_duration;
use crate::scan::key_name::KeyName;

/// Destroy every key of one domain, so that nothing of it opens ever again
///
/// The keys that go are those that the domain names in its key_services, and those that you name with --also; what is stored
/// chooses none. Looks at everything that is stored first, and refuses while a key that goes has wrapped for anybody else, or
/// while a key that stays has wrapped for the domain. Then it shows the keys and asks, schedules their deletion in their
/// services (7 to 30 days in AWS KMS; at once in Vault, PKCS#11 tokens and key files), makes every gateway drop its cached
/// keys, tries a sample of objects that opened before, deletes the domain's registry records, tries once more, and leaves a
/// signed certificate. Objects stay; they are ciphertext that nothing opens.
///
/// Killed at any point, the same command goes on. As long as no key was destroyed, each run looks again, and --cancel takes the
/// order back. The configuration has to be one whose principals may delete keys; that of gateways should not. The exit status
/// is 0 only if everything was done and shown, or you have stated what could not be.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[command(
    group = ArgGroup::new("what").required(true).args(["domain", "list", "due", "cancel", "new_ended_list"]),
    after_help = "Examples:\n  sealgate keys shred --domain acme/alice --dry-run\n  sealgate keys shred --domain acme/alice --confirm acme/alice --certificate acme-alice.json\n  sealgate keys shred --domain acme/alice --after 30d --certificate acme-alice.json\n  sealgate keys shred --due          # from a timer: carries out what is due, and goes on with what was interrupted\n  sealgate keys shred --cancel acme/alice"
)]
pub(in crate::cli::keys) struct ShredArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    pub(super) config: PathBuf,

    /// The domain that is to go
    #[arg(long, value_name = "NAME")]
    pub(super) domain: Option<String>,

    /// The domain's name again: without it, a terminal asks
    #[arg(long, value_name = "NAME", requires = "domain")]
    pub(super) confirm: Option<String>,

    /// Another key service whose key is to go, too: a former key of this domain and of nobody else; several times for several
    #[arg(long, value_name = "KEY_SERVICE", requires = "domain")]
    pub(super) also: Vec<String>,

    /// A bucket to look at that the storage does not list to this account; several times for several
    #[arg(long = "bucket", value_name = "NAME", requires = "domain")]
    pub(super) buckets: Vec<String>,

    /// Say what would be destroyed and what speaks against it, and do nothing
    #[arg(long, requires = "domain")]
    pub(super) dry_run: bool,

    /// Where the certificate is written; its signature comes beside it, with .sig behind its name
    #[arg(long, value_name = "FILE", requires = "domain")]
    pub(super) certificate: Option<PathBuf>,

    /// Not now, but so much later: 30d, 12h; `--due` carries it out
    #[arg(long, value_name = "TIME", value_parser = after, requires = "domain", conflicts_with = "dry_run")]
    pub(super) after: Option<Duration>,

    /// How long a key service with a waiting period lets the deletion be cancelled
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u8).range(i64::from(*WAITING_DAYS.start())..=i64::from(*WAITING_DAYS.end())))]
    pub(super) waiting_days: u8,

    /// So many objects, chosen at random, are opened before and tried afterwards
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) sample: u16,

    /// I state that this key, as reports name it, is destroyed with all its copies; several times for several
    #[arg(long = "destroyed", value_name = "KEY", conflicts_with_all = ["list", "due", "new_ended_list"])]
    pub(super) stated: Vec<KeyName>,

    /// The file of the domain's own recovery key, to be overwritten and removed: I state that there is no other copy
    #[arg(long, value_name = "FILE")]
    pub(super) recovery_key: Option<PathBuf>,

    #[command(flatten)]
    pub(super) passphrase: PassphraseArgument,

    /// No gateway of the deployment runs, so none has to say that it dropped its keys
    #[arg(long)]
    pub(super) without_gateways: bool,

    /// Show what is ordered
    #[arg(long)]
    pub(super) list: bool,

    /// Carry out what is due, and go on with what was interrupted
    #[arg(long)]
    pub(super) due: bool,

    /// End an order before its end: it is taken back where none of its keys is destroyed, and given up where some are gone for
    /// good and others can be used
    #[arg(long, value_name = "NAME")]
    pub(super) cancel: Option<String>,

    /// Begin another list of ended orders where it was lost: orders of which something may be destroyed need a confirmation,
    /// the others count as taken back
    #[arg(long)]
    pub(super) new_ended_list: bool,

    /// The key that signs orders and certificates; the first order makes it. The list of ended orders lies beside it
    #[arg(long, value_name = "FILE", default_value = "shred-signing.key")]
    pub(super) signing_key: PathBuf,

    /// The directory of orders; it is yours, and not at the storage. The first order makes it
    #[arg(long, value_name = "DIRECTORY", default_value = "shred-orders")]
    pub(super) orders: PathBuf,

    /// Who does this, for order and certificate [default: the user and the machine]
    #[arg(long, value_name = "TEXT")]
    pub(super) operator: Option<String>,

    #[command(flatten)]
    pub(super) pace: PaceArguments,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// The longest time that an order may wait.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 3_650);

fn after(text: &str) -> Result<Duration, String> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u64>().ok())
        .and_then(|days| days.checked_mul(24 * 3_600))
        .map(Duration::from_secs);
    days.or_else(|| parse_duration(text))
        .filter(|wait| *wait <= LONGEST_WAIT)
        .ok_or_else(|| "write a whole number and d, h, m or s, at most 3650d: 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_may_be_days() {
        assert_eq!(after("30d").unwrap(), Duration::from_hours(720));
        assert_eq!(after("2s").unwrap(), Duration::from_secs(2));
        for wrong in ["", "d", "-1d", "30", "4000d", "99999999999999999999d"] {
            assert!(after(wrong).is_err(), "{wrong}");
        }
    }
}
