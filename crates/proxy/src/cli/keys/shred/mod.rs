//! `sealgate keys shred`: a domain made unreadable for ever, by the destruction of every key that ever wrapped for it.
//!
//! What is destroyed is chosen by the configuration and by the operator's words. What the storage shows can only stop it.

mod arguments;
mod cancel;
mod carry_out;
mod certificate;
mod confirmation;
mod deletion;
mod destroy;
mod document;
mod due;
mod exclusivity;
mod fate;
mod gone;
mod known;
mod look;
mod moment;
mod names;
mod operator;
mod order;
mod orders;
mod others;
mod plan;
mod proof;
mod records;
mod report;
mod resume;
mod settle;
mod signing;
#[cfg(test)]
mod test_configuration;
mod words;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sealgate_envelope::key_service::recovery::RecoveryKey;

pub(super) use self::arguments::ShredArguments;
use self::carry_out::{Confirm, Ended, Work};
use self::certificate::Certificate;
use self::exclusivity::Refusal;
use self::known::RecoveryFile;
use self::look::Looked;
use self::moment::Moment;
use self::order::Order;
use self::orders::{Lock, Orders, Stored};
use self::plan::Plan;
use self::signing::{PublicKey, SigningKey};
use super::super::output;
use super::super::recorded::{Deed, Record};
use super::super::service::runtime;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::logging;

/// How old what is shown may be when it is confirmed.
const CONFIRMATION_LIMIT: Duration = Duration::from_mins(10);

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
    logging::start_for_refusals(config.log)?;
    if arguments.domain.is_some() || arguments.due {
        config.require_decryption()?;
    }
    let run = Run {
        arguments,
        operator: operator::operator(arguments.operator.as_deref())?,
        orders: Orders::of(
            &arguments.orders,
            &arguments.signing_key,
            &config.deployment,
        ),
        config,
    };
    match (&arguments.domain, &arguments.cancel) {
        (Some(domain), _) if arguments.dry_run => run.recorded(|| run.dry_run(domain)),
        (Some(domain), _) => run.recorded(|| run.shred(domain)),
        (None, Some(domain)) => run.cancel(domain),
        (None, None) if arguments.list => run.list(),
        (None, None) if arguments.new_ended_list => run.new_ended_list(),
        (None, None) => run.recorded(|| run.due()),
    }
}

/// One run of the command.
struct Run<'a> {
    arguments: &'a ShredArguments,
    config: Config,
    operator: String,
    orders: Orders,
}

impl Run<'_> {
    /// Does what opens keys, to show that they opened and open no more, between two records in the audit log.
    fn recorded(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let deed = Deed::everywhere("sealgate keys shred");
        let record = runtime()?.block_on(Record::begin(&self.config, &deed))?;
        let outcome = work();
        runtime()?.block_on(record.end(&outcome));
        outcome
    }

    /// The orders that are there, for what only looks at them or goes on with them: nothing is made.
    fn existing(&self) -> anyhow::Result<(Lock, SigningKey)> {
        let lock = self.orders.lock()?;
        Ok((lock, self.signing_key()?))
    }

    fn signing_key(&self) -> anyhow::Result<SigningKey> {
        SigningKey::open(&self.arguments.signing_key)
            .context("orders are signed: name the key with --signing-key")
    }

    fn public_key(&self) -> anyhow::Result<PublicKey> {
        self.signing_key()?.public()
    }

    fn work<'a>(&'a self, key: &'a SigningKey, confirm: Option<Confirm<'a>>) -> Work<'a> {
        Work {
            config: &self.config,
            orders: &self.orders,
            key,
            pace: &self.arguments.pace,
            passphrase: &self.arguments.passphrase,
            operator: &self.operator,
            confirm,
        }
    }

    fn dry_run(&self, domain: &str) -> anyhow::Result<()> {
        let now = Moment::now();
        let mut order = Order::new(&self.config.deployment, domain, now, now, PathBuf::new())?;
        self.fill(&mut order)?;
        let recovery = self.recovery_key(&order)?;
        let mut looked = self.look(&order, recovery.as_ref())?;
        self.note_earlier_end(domain, &mut looked);
        looked.plan.notes.extend(self.order_under_way(domain));
        let (json, text) = report::planned(domain, &looked);
        self.print(&json, &text)?;
        ensure!(
            looked.refusals.is_empty(),
            "{domain} would not be destroyed"
        );
        Ok(())
    }

    /// What is said of an order that is there for the domain, where these credentials may read it.
    fn order_under_way(&self, domain: &str) -> Option<String> {
        let key = self.public_key().ok()?;
        match self.orders.load(domain, &key) {
            Ok(Some(Stored::Order(order))) => Some(format!(
                "an order of {} for this domain is under way ({}; `sealgate keys shred --list` says more); this dry run knows nothing of it",
                order.ordered,
                order.stage()
            )),
            Ok(_) => None,
            Err(error) => Some(format!(
                "whether an order for this domain is under way cannot be told: {error:#}"
            )),
        }
    }

    /// Where something speaks against it, that the domain was destroyed before, if an order says so: its keys are not to be
    /// brought back for another one.
    fn note_earlier_end(&self, domain: &str, looked: &mut Looked) {
        // Whoever may not read them hears of it when an order is given.
        let ended = self
            .public_key()
            .and_then(|key| self.orders.carried_out(domain, &key));
        if let Ok(Some(ended)) = ended
            && !looked.refusals.is_empty()
        {
            let cause = format!(
                "{domain} was destroyed before: an order for it was carried out at {}",
                ended.at
            );
            let refusal = if !looked.is_told {
                Refusal::new(
                    cause,
                    "past the date of its certificate it is as it should be that a key service does not know its key (below), and there is nothing to do; until then, or where another cause is told, see whether somebody has brought the key back",
                )
            } else if looked.living.is_empty() {
                Refusal::new(
                    cause,
                    "if its keys are still the ones of that order, and its certificate confirms each (`sealgate keys certificate verify`), there is nothing to do, whatever is said below",
                )
            } else {
                Refusal::new(
                    format!(
                        "{cause}, and a key of it is there now: {}",
                        looked.living.join(", ")
                    ),
                    "see whether the certificate of that order names this key (`sealgate keys certificate verify`). If it does, somebody has taken the deletion back, and the certificate is void: do what is said below, and have the key destroyed again. If it does not, the domain has another key since",
                )
            };
            looked.refusals.insert(0, refusal);
        }
    }

    fn shred(&self, domain: &str) -> anyhow::Result<()> {
        confirmation::check(self.arguments.confirm.as_deref(), domain)?;
        // Until it is confirmed, nothing is made: neither a directory nor a key.
        let is_used = self.orders.exist()
            && (self.arguments.signing_key.exists() || self.orders.are_any()?);
        let mut held = is_used.then(|| self.existing()).transpose()?;
        let found = match &held {
            Some((_, key)) => self.orders.load(domain, &key.public()?)?,
            None => None,
        };
        let earlier = match found {
            Some(Stored::Order(order)) => Some(*order),
            Some(Stored::Ended(..)) | None => None,
        };
        match earlier {
            Some(order) if order.can_be_confirmed() => {
                let Some((_lock, key)) = held.take() else {
                    bail!("an order without its directory");
                };
                return self.go_on(order, &key);
            }
            Some(order) if order.waits() => bail!(
                "{domain} is ordered for {}{}; take that back with --cancel first, or wait until then",
                order.not_before,
                order
                    .progress
                    .needs_confirmation
                    .as_ref()
                    .map_or_else(String::new, |cause| format!(
                        ", and no timer will carry that out, since {cause}"
                    ))
            ),
            _ => {}
        }
        let mut order = self.new_order(domain, earlier.as_ref())?;
        let recovery = self.recovery_key(&order)?;
        let mut looked = self.look(&order, recovery.as_ref())?;
        self.note_earlier_end(domain, &mut looked);
        if !looked.refusals.is_empty() {
            return self.finish(&order, Ended::Refused(looked.refusals));
        }
        let chosen = looked.plan.keys.iter().map(|key| key.chosen.clone());
        order.keys = chosen.collect();
        self.confirm(&order, &looked.plan)?;
        let (_lock, key) = match held {
            Some((lock, key)) => {
                let since = order.ordered.a_second_before();
                self.orders.begin(&key, Some(since))?;
                (lock, key)
            }
            None => self.make(&order)?,
        };
        if let Some(earlier) = earlier {
            self.orders.replace(&earlier, &mut order, &key)?;
        }
        if self.arguments.after.is_some() {
            self.orders.save(&mut order, &key)?;
            return self.finish(&order, Ended::Waits);
        }
        let work = self.work(&key, None);
        let carried_out = work.carry_out(&mut order, Some(looked.plan), recovery);
        let ended = runtime()?.block_on(carried_out)?;
        self.finish(&order, ended)
    }

    /// With an order that a person has to confirm, or of which something may be destroyed.
    fn go_on(&self, mut order: Order, key: &SigningKey) -> anyhow::Result<()> {
        report::tell(&format!(
            "going on with the order of {}, as it was given",
            order.ordered
        ));
        runtime()?.block_on(self.take_words(&mut order))?;
        let confirm = |order: &mut Order| self.confirm_again(order, key);
        let work = self.work(key, Some(&confirm));
        let ended = runtime()?.block_on(work.carry_out(&mut order, None, None))?;
        self.finish(&order, ended)
    }

    /// The directory of orders and the signing key, at first use.
    fn make(&self, order: &Order) -> anyhow::Result<(Lock, SigningKey)> {
        let domain = order.domain.as_str();
        let path = &self.arguments.signing_key;
        let (key, is_new) = SigningKey::open_or_create(path)?;
        let public = key.public()?;
        if is_new {
            report::tell(&format!(
                "made the signing key {}; its public key is {} ({}): give that to whoever is to believe certificates, and keep the signing key",
                path.display(),
                signing::public_path(path).display(),
                public.fingerprint()
            ));
        }
        let since = (!is_new).then(|| order.ordered.a_second_before());
        let lock = self.orders.create(&key, since)?;
        ensure!(
            self.orders.load(domain, &public)?.is_none(),
            "meanwhile somebody else has ordered something for {domain}; nothing was done"
        );
        Ok((lock, key))
    }

    /// By the command line. An earlier order, which it replaces, says where the certificate is to be written if that does not.
    fn new_order(&self, domain: &str, earlier: Option<&Order>) -> anyhow::Result<Order> {
        sealgate_envelope::Domain::new(domain).context("--domain")?;
        let certificate = self.arguments.certificate.as_ref();
        let certificate = certificate.or(earlier.map(|earlier| &earlier.certificate));
        let certificate = certificate
            .context("say where the certificate is to be written: --certificate FILE")?;
        let certificate = std::path::absolute(certificate)?;
        document::try_place(&certificate).with_context(|| {
            format!("--certificate {}: if it is there and is the certificate of this domain, that is destroyed already (`sealgate keys certificate verify`); else name another file", certificate.display())
        })?;
        let now = Moment::now();
        let not_before = self.arguments.after.map_or(now, |wait| now.after(wait));
        let deployment = &self.config.deployment;
        let mut order = Order::new(deployment, domain, now, not_before, certificate)?;
        self.fill(&mut order)?;
        Ok(order)
    }

    /// What the command line says.
    fn fill(&self, order: &mut Order) -> anyhow::Result<()> {
        let arguments = self.arguments;
        for name in &arguments.also {
            ensure!(
                self.config.key_service_names.contains(name),
                "--also: no [[key_service]] has the name {name}; there are {}",
                self.config.key_service_names.join(", ")
            );
        }
        order.ordered_by.clone_from(&self.operator);
        order.waiting_days = arguments.waiting_days;
        order.sample = arguments.sample;
        order.also.clone_from(&arguments.also);
        order.buckets.clone_from(&arguments.buckets);
        order.stated.clone_from(&arguments.stated);
        let recovery_key = arguments.recovery_key.as_ref();
        order.recovery_key = recovery_key.map(std::path::absolute).transpose()?;
        order.without_gateways = arguments.without_gateways;
        Ok(())
    }

    fn recovery_key(&self, order: &Order) -> anyhow::Result<Option<RecoveryKey>> {
        let path = order.recovery_key.as_ref();
        path.map(|path| known::open_recovery(path, &self.arguments.passphrase, &self.config))
            .transpose()
    }

    fn look(&self, order: &Order, recovery: Option<&RecoveryKey>) -> anyhow::Result<Looked> {
        let file = recovery.map(RecoveryFile::of).transpose()?;
        runtime()?.block_on(async {
            let services = known::key_services(&self.config, None).await?;
            let gateway = Gateway::reader(self.config.clone(), services).await?;
            let pace = &self.arguments.pace;
            look::look(&gateway, &self.config, order, file.as_ref(), pace).await
        })
    }

    /// Shows exactly what goes, and asks.
    fn confirm(&self, order: &Order, plan: &Plan) -> anyhow::Result<()> {
        report::tell(&report::to_confirm(order, plan));
        let shown = Instant::now();
        confirmation::ask(self.arguments.confirm.as_deref(), &order.domain)?;
        ensure!(
            shown.elapsed() < CONFIRMATION_LIMIT,
            "nothing was done: the confirmation came {} minutes after what was shown, and what others have may be another thing by now; run this again",
            shown.elapsed().as_secs() / 60
        );
        Ok(())
    }

    /// Of an order that is gone on with. A confirmation counts only for what it showed: one that was given beforehand, on the
    /// command line, for what the run before has shown.
    fn confirm_again(&self, order: &mut Order, key: &SigningKey) -> anyhow::Result<()> {
        let plan = order.plan()?.clone();
        let would_be = report::keys_to_confirm(order, &plan);
        if self.arguments.confirm.is_some()
            && order.progress.needs_confirmation.is_some()
            && order.progress.shown != would_be
        {
            report::tell(&report::to_confirm(order, &plan));
            order.progress.shown = would_be;
            self.orders.save(order, key)?;
            bail!(
                "nothing was destroyed in this run: what the keys are was found out only now, and is shown above. If that is what you want, run the same again, which confirms it. {}",
                resume::ways_out(order)
            );
        }
        self.confirm(order, &plan)
    }

    fn print(&self, json: &serde_json::Value, text: &str) -> anyhow::Result<()> {
        output::line(&if self.arguments.json {
            serde_json::to_string_pretty(json)?
        } else {
            text.to_owned()
        })
    }

    fn finish(&self, order: &Order, ended: Ended) -> anyhow::Result<()> {
        match ended {
            Ended::Done(certificate) => self.print(
                &report::done(order, &certificate)?,
                &format!(
                    "{}\ncertificate: {}",
                    certificate.as_text(),
                    order.certificate.display()
                ),
            ),
            Ended::Waits => self.print(&report::ordered(order), &report::waits(order)),
            Ended::Refused(refusals) => {
                let (json, text) = report::refused(&order.domain, &refusals);
                self.print(&json, &text)?;
                if order.is_begun() {
                    bail!(
                        "{} is not destroyed whole yet, and nothing was done in this run",
                        order.domain
                    );
                }
                let domain = &order.domain;
                if order.is_written() {
                    bail!(
                        "{domain} was not destroyed, and nothing was done; the order stays, and --cancel {domain} takes it back, to give it anew with other options"
                    );
                }
                bail!("{domain} was not destroyed, and nothing was done");
            }
        }
    }
}
