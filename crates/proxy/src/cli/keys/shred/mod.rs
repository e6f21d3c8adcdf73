//! `sealgate keys shred`: a domain made unreadable for ever, by the destruction of every key that ever wrapped for it.

mod carry_out;
mod certificate;
mod document;
mod exclusivity;
mod gone;
mod moment;
mod order;
mod prepare;
mod proof;
mod report;
mod signing;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{ArgGroup, Args};
use sealgate_envelope::key_service::WAITING_DAYS;
use sealgate_envelope::key_service::recovery::RecoveryKey;

use self::carry_out::{Ended, Work};
use self::certificate::Certificate;
use self::moment::Moment;
use self::order::{Order, Orders};
use self::prepare::RecoveryFile;
use self::signing::{PublicKey, SigningKey};
use super::super::output;
use super::super::pace::PaceArguments;
use super::super::passphrase::PassphraseArgument;
use super::super::service::runtime;
use crate::config::{Config, parse_duration};
use crate::gateway::Gateway;
use crate::logging;
use crate::scan::key_name::KeyName;

/// Destroy every key of one domain, so that nothing of it opens ever again
///
/// Looks at everything that is stored first, and refuses while a key of the domain has wrapped for anybody else, or while a
/// key that stays has wrapped for the domain. Then it schedules the deletion of the keys in their services (7 to 30 days in
/// AWS KMS; at once in Vault, PKCS#11 tokens and key files), makes every gateway drop its cached keys, deletes the domain's
/// registry records, tries a sample of objects that opened before, and leaves a signed certificate. Objects stay; they are
/// ciphertext that nothing opens.
///
/// Killed at any point, the same command goes on. The configuration has to be one whose principals may delete keys; that of
/// gateways should not. The exit status is 0 only if everything was done and shown.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[command(
    group = ArgGroup::new("what").required(true).args(["domain", "list", "due", "cancel"]),
    after_help = "Examples:\n  sealgate keys shred --domain acme/alice --dry-run\n  sealgate keys shred --domain acme/alice --confirm acme/alice --certificate acme-alice.json\n  sealgate keys shred --domain acme/alice --after 30d --certificate acme-alice.json\n  sealgate keys shred --due          # from a timer: carries out what is due, and goes on with what was interrupted\n  sealgate keys shred --cancel acme/alice"
)]
pub(super) struct ShredArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// The domain that is to go
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,

    /// The domain's name again: without it, a terminal asks
    #[arg(long, value_name = "NAME", requires = "domain")]
    confirm: Option<String>,

    /// Say what would be destroyed and what speaks against it, and do nothing
    #[arg(long, requires = "domain")]
    dry_run: bool,

    /// Where the certificate is written; its signature comes beside it, with .sig behind its name
    #[arg(long, value_name = "FILE", requires = "domain")]
    certificate: Option<PathBuf>,

    /// Not now, but so much later: 30d, 12h; `--due` carries it out
    #[arg(long, value_name = "TIME", value_parser = after, requires = "domain", conflicts_with = "dry_run")]
    after: Option<Duration>,

    /// How long a key service with a waiting period lets the deletion be cancelled
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u8).range(i64::from(*WAITING_DAYS.start())..=i64::from(*WAITING_DAYS.end())))]
    waiting_days: u8,

    /// So many objects, chosen at random, are opened before and tried afterwards
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    sample: u16,

    /// I state that this key, as reports name it, is destroyed with all its copies; several times for several
    #[arg(long = "destroyed", value_name = "KEY", requires = "domain")]
    stated: Vec<KeyName>,

    /// The file of the domain's own recovery key, to be overwritten and removed: I state that there is no other copy
    #[arg(long, value_name = "FILE")]
    recovery_key: Option<PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseArgument,

    /// No gateway of the deployment runs, so none has to say that it dropped its keys
    #[arg(long)]
    without_gateways: bool,

    /// Show what is ordered
    #[arg(long)]
    list: bool,

    /// Carry out what is due, and go on with what was interrupted
    #[arg(long)]
    due: bool,

    /// Take back an order for which nothing was done yet
    #[arg(long, value_name = "NAME")]
    cancel: Option<String>,

    /// The key that signs orders and certificates; made where there is none
    #[arg(long, value_name = "FILE", default_value = "shred-signing.key")]
    signing_key: PathBuf,

    /// The directory of orders; it is yours, and not at the storage
    #[arg(long, value_name = "DIRECTORY", default_value = "shred-orders")]
    orders: PathBuf,

    /// Who does this, for order and certificate [default: the user and the machine]
    #[arg(long, value_name = "TEXT")]
    operator: Option<String>,

    #[command(flatten)]
    pace: PaceArguments,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// The longest time that an order may wait.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 3_650);

/// The longest text that says who does it.
const OPERATOR_LIMIT: usize = 200;

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

/// A certificate whose signature verifies, as text or as it stands in its file.
pub(super) fn verified(file: &Path, public_key: &Path, json: bool) -> anyhow::Result<String> {
    let key = PublicKey::read(public_key)?;
    let certificate = Certificate::read(file, &key)?;
    if json {
        return Ok(String::from_utf8(document::read_verified(file, &key)?)?);
    }
    Ok(format!(
        "signed by {}\n{}",
        key.fingerprint(),
        certificate.as_text()
    ))
}

pub(super) fn run(arguments: &ShredArguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    logging::start(config.log)?;
    let operator = operator(arguments.operator.as_deref())?;
    let orders = Orders::of(&arguments.orders, &config.deployment);
    if let (Some(domain), true) = (&arguments.domain, arguments.dry_run) {
        return dry_run(arguments, &config, domain);
    }
    let _lock = orders.lock()?;
    let (key, is_new) = SigningKey::open_or_create(&arguments.signing_key)?;
    let public = key.public()?;
    if is_new {
        report::tell(&format!(
            "made the signing key {}; its public key is {} ({}): give that to whoever is to believe certificates, and keep the signing key",
            arguments.signing_key.display(),
            signing::public_path(&arguments.signing_key).display(),
            public.fingerprint()
        ));
    }
    if arguments.list {
        let (json, text, all_sound) = report::listing(orders.all(&public)?);
        print(arguments, &json, &text)?;
        ensure!(all_sound, "some orders are none; nothing is done by them");
        return Ok(());
    }
    if let Some(domain) = &arguments.cancel {
        let order = orders.load(domain, &public)?;
        let order = order.with_context(|| format!("nothing is ordered for {domain}"))?;
        ensure!(
            !order.is_begun(),
            "keys of {domain} may be destroyed already, so the order cannot be taken back; within the waiting period of AWS KMS, `aws kms cancel-key-deletion` takes back what it scheduled"
        );
        orders.remove(domain)?;
        let text = format!("the order for {domain} is taken back; nothing was done");
        return print(arguments, &report::cancelled(domain), &text);
    }
    let work = Work {
        config: &config,
        orders: &orders,
        key: &key,
        pace: &arguments.pace,
        operator: &operator,
    };
    if arguments.due {
        return due(arguments, &work, &public);
    }
    let domain = arguments.domain.as_deref().context("name --domain")?;
    let mut order = match orders.load(domain, &public)? {
        Some(mut order) if order.is_begun() => {
            report::tell(&format!(
                "going on with the order of {}, as it was given",
                order.ordered
            ));
            order.without_gateways |= arguments.without_gateways;
            order
        }
        Some(order) if order.not_before > Moment::now() => bail!(
            "{domain} is ordered for {}; take that back with --cancel first",
            order.not_before
        ),
        _ => new_order(arguments, &config, domain, &operator)?,
    };
    confirm(arguments, domain)?;
    let recovery = recovery_key(arguments, &config, &order)?;
    if arguments.after.is_some() && !order.is_begun() {
        return schedule(arguments, &work, &order, recovery.as_ref());
    }
    let ended = runtime()?.block_on(work.carry_out(&mut order, recovery))?;
    finish(arguments, domain, &order, ended)
}

fn print(arguments: &ShredArguments, json: &serde_json::Value, text: &str) -> anyhow::Result<()> {
    output::line(&if arguments.json {
        serde_json::to_string_pretty(json)?
    } else {
        text.to_owned()
    })
}

fn finish(
    arguments: &ShredArguments,
    domain: &str,
    order: &Order,
    ended: Ended,
) -> anyhow::Result<()> {
    match ended {
        Ended::Done(certificate) => print(
            arguments,
            &report::done(order, &certificate)?,
            &format!(
                "{}\ncertificate: {}",
                certificate.as_text(),
                order.certificate.display()
            ),
        ),
        Ended::Refused(refusals) => {
            let (json, text) = report::refused(domain, &refusals);
            print(arguments, &json, &text)?;
            bail!("{domain} was not destroyed, and nothing was done");
        }
    }
}

fn new_order(
    arguments: &ShredArguments,
    config: &Config,
    domain: &str,
    operator: &str,
) -> anyhow::Result<Order> {
    sealgate_envelope::Domain::new(domain).context("--domain")?;
    let certificate = arguments
        .certificate
        .as_ref()
        .context("say where the certificate is to be written: --certificate FILE")?;
    let certificate = std::path::absolute(certificate)?;
    ensure!(
        !certificate.exists(),
        "{} exists: if it is the certificate of this domain, it is destroyed already (`sealgate keys certificate verify`); else name another file",
        certificate.display()
    );
    let now = Moment::now();
    let not_before = arguments.after.map_or(now, |wait| now.after(wait));
    let mut order = Order::new(&config.deployment, domain, now, not_before, certificate);
    operator.clone_into(&mut order.ordered_by);
    order.waiting_days = arguments.waiting_days;
    order.sample = arguments.sample;
    order.stated.clone_from(&arguments.stated);
    order.recovery_key = arguments
        .recovery_key
        .as_ref()
        .map(std::path::absolute)
        .transpose()?;
    order.without_gateways = arguments.without_gateways;
    Ok(order)
}

fn confirm(arguments: &ShredArguments, domain: &str) -> anyhow::Result<()> {
    let typed = match &arguments.confirm {
        Some(typed) => typed.clone(),
        None if io::stdin().is_terminal() => {
            let mut stderr = io::stderr().lock();
            write!(
                stderr,
                "This destroys the keys of {domain} for ever. Type the domain's name to go on: "
            )?;
            stderr.flush()?;
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => bail!(
            "nothing was done: confirm it with --confirm {domain}, since there is no terminal to ask"
        ),
    };
    ensure!(
        typed == domain,
        "nothing was done: {typed:?} is not the name of the domain, {domain:?}"
    );
    Ok(())
}

/// The recovery key whose file the order wants destroyed, as long as it is there.
fn recovery_key(
    arguments: &ShredArguments,
    config: &Config,
    order: &Order,
) -> anyhow::Result<Option<RecoveryKey>> {
    let Some(path) = &order.recovery_key else {
        return Ok(None);
    };
    if order.is_begun() && sealgate_envelope::secret_file::finish_destruction(path)? {
        return Ok(None);
    }
    prepare::open_recovery(path, &arguments.passphrase, config).map(Some)
}

fn dry_run(arguments: &ShredArguments, config: &Config, domain: &str) -> anyhow::Result<()> {
    let now = Moment::now();
    let mut order = Order::new(&config.deployment, domain, now, now, PathBuf::new());
    order.sample = arguments.sample;
    order.stated.clone_from(&arguments.stated);
    order.recovery_key.clone_from(&arguments.recovery_key);
    let recovery = recovery_key(arguments, config, &order)?;
    let prepared = look(arguments, config, &order, recovery.as_ref())?;
    let (json, text) = report::planned(domain, &prepared);
    print(arguments, &json, &text)?;
    ensure!(
        prepared.refusals.is_empty(),
        "{domain} would not be destroyed"
    );
    Ok(())
}

fn look(
    arguments: &ShredArguments,
    config: &Config,
    order: &Order,
    recovery: Option<&RecoveryKey>,
) -> anyhow::Result<prepare::Prepared> {
    let file = recovery.map(RecoveryFile::of).transpose()?;
    runtime()?.block_on(async {
        let services = prepare::key_services(config, None).await?;
        let gateway = Gateway::reader(config.clone(), services).await?;
        prepare::prepare(&gateway, config, order, file.as_ref(), &arguments.pace).await
    })
}

/// Writes the order down, if it could be carried out today.
fn schedule(
    arguments: &ShredArguments,
    work: &Work<'_>,
    order: &Order,
    recovery: Option<&RecoveryKey>,
) -> anyhow::Result<()> {
    let prepared = look(arguments, work.config, order, recovery)?;
    if !prepared.refusals.is_empty() {
        return finish(
            arguments,
            &order.domain,
            order,
            Ended::Refused(prepared.refusals),
        );
    }
    work.orders.save(order, work.key)?;
    let text = format!(
        "ordered: {} is destroyed by the first `sealgate keys shred --due` after {}, if nothing speaks against it then; --cancel takes it back",
        order.domain, order.not_before
    );
    print(arguments, &report::ordered(order), &text)
}

fn due(arguments: &ShredArguments, work: &Work<'_>, public: &PublicKey) -> anyhow::Result<()> {
    let mut outcomes = Vec::new();
    let mut failed = 0;
    for order in work.orders.all(public)? {
        let outcome = order.and_then(|mut order| {
            if !order.is_begun() && order.not_before > Moment::now() {
                return Ok(report::Due::Waiting(order.domain, order.not_before));
            }
            order.without_gateways |= arguments.without_gateways;
            let recovery = recovery_key(arguments, work.config, &order)?;
            let domain = order.domain.clone();
            let ended = runtime()?.block_on(work.carry_out(&mut order, recovery));
            Ok(match ended.with_context(|| domain.clone())? {
                Ended::Done(certificate) => {
                    report::Due::Done(domain, order.certificate, certificate.final_from)
                }
                Ended::Refused(refusals) => report::Due::Refused(domain, refusals),
            })
        });
        failed += usize::from(!matches!(
            outcome,
            Ok(report::Due::Waiting(..) | report::Due::Done(..))
        ));
        outcomes.push(outcome);
    }
    let (json, text) = report::due(&outcomes);
    print(arguments, &json, &text)?;
    ensure!(
        failed == 0,
        "{failed} orders were not carried out; each is named above"
    );
    Ok(())
}

/// Who does this.
fn operator(named: Option<&str>) -> anyhow::Result<String> {
    let text = named.map_or_else(
        || {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            let user = user.unwrap_or_else(|_| "an unnamed user".to_owned());
            let machine = std::fs::read_to_string("/proc/sys/kernel/hostname");
            match machine {
                Ok(machine) => format!("{user} on {}", machine.trim_end()),
                Err(_) => user,
            }
        },
        str::to_owned,
    );
    ensure!(
        !text.is_empty() && text.len() <= OPERATOR_LIMIT && !text.contains(char::is_control),
        "--operator: write at most {OPERATOR_LIMIT} bytes of text"
    );
    Ok(text)
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
