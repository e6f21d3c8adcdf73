//! Commands that open keys, in the audit log: one record before the first key is opened, one when the command ends.
//!
//! ```text
//! Record::begin ─ durable here, and at the receiver ─ permit ─ the command ─ Record::end
//! ```
//!
//! They have a log of their own (`[audit.commands]`), because a log has one writer, which is the gateway. Whoever runs them has that log's key and
//! could write it anew: so nothing is opened before the receiver has the record, where there is a receiver.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sealgate_audit::{Decision, Directory, Event, Outcome, Verdict, limits::MAX_EVENTS};
use sealgate_envelope::key_service::UnwrapPermit;

use super::operator::this_operator;
use super::service::{StopSignals, runtime};
use crate::audit::{Audit, DECRYPT};
use crate::config::{AuditConfig, Config, OnFailure};
use crate::gateway::new_request_id;
use crate::migration::PermitIssuer;

/// How long a command waits for others that write their records.
const TURN_LIMIT: Duration = Duration::from_mins(1);

/// The pause between attempts meanwhile.
const TURN_PAUSE: Duration = Duration::from_millis(50);

/// The file that is locked by the command whose turn it is; the log's own lock is free between its records.
const TURN: &str = "turn";

/// What a command is about to do.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// The command, as it is typed.
    pub(super) command: &'static str,
    /// The buckets that it is about; none where it is about all of them.
    pub(super) buckets: Vec<String>,
    /// The object's key, or what the keys begin with and `*`.
    pub(super) keys: String,
    /// What is done to them; nothing where it is about no objects.
    pub(super) action: Option<&'static str>,
    /// The access key that it makes.
    pub(super) access_key: Option<String>,
}

impl Deed {
    /// Of everything that is stored.
    pub(super) fn everywhere(command: &'static str) -> Self {
        Self {
            command,
            buckets: Vec::new(),
            keys: "*".to_owned(),
            action: Some(DECRYPT),
            access_key: None,
        }
    }

    /// Of the access keys of an identity, or of one of them; with the one that is made.
    pub(super) fn of_credentials(command: &'static str, of: &str, made: Option<&str>) -> Self {
        Self {
            command,
            buckets: Vec::new(),
            keys: of.to_owned(),
            action: None,
            access_key: made.map(str::to_owned),
        }
    }

    /// Of the keys of these buckets that begin with this.
    pub(super) fn within(command: &'static str, buckets: &[String], prefix: &str) -> Self {
        Self {
            command,
            buckets: buckets.to_owned(),
            keys: format!("{prefix}*"),
            action: Some(DECRYPT),
            access_key: None,
        }
    }

    /// Of one object.
    pub(super) fn of_object(command: &'static str, bucket: &str, key: &str) -> Self {
        Self {
            command,
            buckets: vec![bucket.to_owned()],
            keys: key.to_owned(),
            action: Some(DECRYPT),
            access_key: None,
        }
    }

    /// Of a file outside of any bucket, by the keys of a deployment.
    pub(super) fn of_file(command: &'static str, file: &Path, action: &'static str) -> Self {
        Self {
            command,
            buckets: Vec::new(),
            keys: file.display().to_string(),
            action: Some(action),
            access_key: None,
        }
    }

    /// One for each bucket, so that whoever looks for a bucket finds it.
    fn intents(&self, request: &str) -> Vec<Event> {
        if self.buckets.is_empty() {
            return vec![self.intent(request, None)];
        }
        let intent = |bucket: &String| self.intent(request, Some(bucket.clone()));
        self.buckets.iter().map(intent).collect()
    }

    fn intent(&self, request: &str, bucket: Option<String>) -> Event {
        Event::intent(Decision {
            request: request.to_owned(),
            identity: this_operator(),
            operation: self.command.to_owned(),
            access_key: self.access_key.clone(),
            action: self.action,
            bucket,
            key: Some(self.keys.clone()),
            policy: Some("command line".to_owned()),
            ..Decision::new(Verdict::Allow)
        })
    }
}

/// That a command runs is recorded. The only way to a permit for a command that has a configuration.
#[derive(Debug)]
pub(super) struct Record {
    /// Where the end is recorded; nothing where the configuration has no audit log.
    log: Option<AuditConfig>,
    request: String,
}

impl Record {
    /// Records what a command is about to do. Returns once that is durable here, and at the receiver.
    ///
    /// Cancel safety: dropped, the record may be there all the same, without an end.
    ///
    /// # Errors
    /// Where it can't be recorded, unless `audit.on_failure` lets it go on.
    pub(super) async fn begin(config: &Config, deed: &Deed) -> anyhow::Result<Self> {
        let request = new_request_id();
        let Some(audit) = &config.audit else {
            return Ok(Self { log: None, request });
        };
        let log = audit.for_commands().with_context(|| {
            format!(
                "`{}` opens keys or makes access keys, and nobody does that unrecorded: the configuration has [audit], and no [audit.commands], which is the log of commands. Add it with a directory and a key of its own (docs/audit.md, \"Commands\")",
                deed.command
            )
        })?;
        match write(&log, deed.intents(&request)).await {
            Ok(()) => tracing::info!(request, "recorded in the audit log"),
            Err(error) if log.on_failure == OnFailure::Allow => tracing::error!(
                error = format!("{error:#}"),
                "the command was not recorded, and goes on because audit.on_failure is \"allow\""
            ),
            Err(error) => {
                return Err(error.context("nothing was opened, because it can't be recorded"));
            }
        }
        Ok(Self {
            log: Some(log),
            request,
        })
    }

    /// What permits are issued by, now that it is recorded.
    #[expect(
        clippy::unused_self,
        reason = "whoever has a record may have permits, and nobody else"
    )]
    pub(super) fn permit(&self) -> PermitIssuer {
        issue
    }

    /// Records how the command ended. That it can't be recorded is told, and changes nothing.
    pub(super) async fn end<T>(self, outcome: &anyhow::Result<T>) {
        let Some(log) = &self.log else { return };
        let events = vec![Event {
            error: outcome.is_err().then(|| "Failed".to_owned()),
            bytes: None,
            ..Event::outcome(Outcome {
                request: self.request,
                complete: outcome.is_ok(),
                ..Outcome::default()
            })
        }];
        if let Err(error) = write(log, events).await {
            tracing::error!(
                error = format!("{error:#}"),
                "how the command ended can't be recorded; that it began is"
            );
        }
    }
}

/// Runs a command between its two records, until its end or until a signal, of which `interrupted` says what it leaves.
pub(super) fn run_recorded<F>(
    config: Config,
    deed: &Deed,
    interrupted: &'static str,
    command: impl FnOnce(Config, PermitIssuer) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = StopSignals::catch()?;
        let record = tokio::select! {
            record = Record::begin(&config, deed) => record?,
            () = signals.received() => bail!(interrupted),
        };
        let outcome = tokio::select! {
            outcome = command(config, record.permit()) => outcome,
            () = signals.received() => Err(anyhow::anyhow!(interrupted)),
        };
        record.end(&outcome).await;
        outcome
    });
    runtime.shutdown_background();
    outcome
}

/// Records a step of a break-glass grant in the log of commands, where there is one: it opens no key, and gateways record it, too.
///
/// # Errors
/// Where it can't be recorded, unless `audit.on_failure` lets it go on.
pub(super) async fn note(
    config: &Config,
    operation: &str,
    grant: &str,
    what: String,
) -> anyhow::Result<()> {
    let noted = note_each(config, operation, [(grant, what)]).await;
    noted.context("nothing was done, because it can't be recorded")
}

/// Records a step of several grants, each with what is said of it, all at once.
///
/// # Errors
/// As [`note`].
pub(super) async fn note_each<'a>(
    config: &Config,
    operation: &str,
    steps: impl IntoIterator<Item = (&'a str, String)>,
) -> anyhow::Result<()> {
    let Some(log) = config.audit.as_ref().and_then(AuditConfig::for_commands) else {
        return Ok(());
    };
    let event = |(grant, what): (&str, String)| {
        Event::intent(Decision {
            request: new_request_id(),
            identity: this_operator(),
            grant: Some(grant.to_owned()),
            operation: operation.to_owned(),
            policy: Some(what),
            ..Decision::new(Verdict::Allow)
        })
    };
    let events: Vec<_> = steps.into_iter().map(event).collect();
    for events in events.chunks(MAX_EVENTS) {
        match Box::pin(write(&log, events.to_vec())).await {
            Err(error) if log.on_failure == OnFailure::Allow => tracing::error!(
                error = format!("{error:#}"),
                "the step was not recorded, and goes on because audit.on_failure is \"allow\""
            ),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Writes records and hands them to the receiver.
async fn write(config: &AuditConfig, events: Vec<Event>) -> anyhow::Result<()> {
    let _turn = turn(config).await?;
    let audit = Audit::open(config)?;
    audit.send(config)?;
    let announced = audit.announce(events).await;
    audit.finish().await;
    announced
}

/// Waits until no other command writes. A record of one must be at the receiver before another begins: a log that seems to end before what the
/// receiver has would be an alarm.
async fn turn(config: &AuditConfig) -> anyhow::Result<File> {
    let directory = &config.directory;
    let unusable = || format!("{} can't be used", directory.display());
    Directory::new(directory).create().with_context(unusable)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(directory.join(TURN)).with_context(unusable)?;
    let deadline = Instant::now() + TURN_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => ensure!(
                Instant::now() < deadline,
                "another command has been writing to the log in {} for {} s",
                directory.display(),
                TURN_LIMIT.as_secs()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        tokio::time::sleep(TURN_PAUSE).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "reached by way of a record alone, which is durable by then"
)]
fn issue(command: &str) -> UnwrapPermit {
    UnwrapPermit::issue(command)
}
