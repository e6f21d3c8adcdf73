//! `sealgate keys retire`: whether a key-encryption key may go.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;

use super::super::pace::tell;
use super::super::service::StopSignals;
use super::super::walk::WalkArguments;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::migration::PermitIssuer;
use crate::scan::{Dependence, Kind, Retirement, Walked};

/// Examples of what depends on the key that a report names, of each kind.
const EXAMPLES: usize = 20;

/// Find out whether a key-encryption key may be destroyed
///
/// Looks at the header of every version of every object, at the registry records of the working keys, at the records of
/// open uploads and at the access keys in the directory of [credentials]. Whatever was wrapped by the key must open by another key of the configuration, which is tried out:
/// else it depends on the key, and the key must not go. Nothing is written, and nothing is destroyed: that is done in the
/// key service, when this command has said that it may be.
///
/// The exit status is 0 only if everything was seen and nothing depends on the key.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate keys rewrap && sealgate keys retire old-key\n  sealgate keys retire old-key --json --objects-per-second 500\n  sealgate keys retire old-key --resume-from photos/2019/a.jpg"
)]
pub(super) struct RetireArguments {
    /// The name of the [[key_service]] whose key is to go; it has to be configured still
    key_service: String,

    #[command(flatten)]
    of: WalkArguments,
}

/// What was seen of one kind.
#[derive(Debug, Default)]
struct Count {
    seen: u64,
    opens_otherwise: u64,
    depends: u64,
    /// Of those that depend, how many have a wrap for a recovery key.
    recoverable: u64,
    unknown: u64,
    examples: Vec<String>,
}

/// What a run has seen.
#[derive(Debug, Default)]
struct Report {
    key: String,
    objects: Count,
    uploads: Count,
    records: Count,
    access_keys: Count,
    /// Domains that could make no new working key without it.
    left_alone: Vec<String>,
    /// Buckets that the configuration names and that were not walked through.
    unseen: Vec<String>,
}

pub(super) fn run(arguments: &RetireArguments) -> anyhow::Result<()> {
    arguments
        .of
        .run(Some("sealgate keys retire"), |config, signals, permit| {
            retire(arguments, config, signals, permit)
        })
}

async fn retire(
    arguments: &RetireArguments,
    config: Config,
    mut signals: StopSignals,
    permit: Option<PermitIssuer>,
) -> anyhow::Result<()> {
    config.require_decryption()?;
    let permit = permit.context("the command was not recorded")?;
    let gateway = Gateway::observer(config).await?;
    let retirement =
        Retirement::prepare(Arc::clone(&gateway), &arguments.key_service, permit).await?;
    let (pace, progress) = arguments.of.start("retire");
    let mut report = Report {
        key: retirement.reference(),
        left_alone: retirement.domains_left_alone(),
        ..Report::default()
    };
    // Records are looked at twice, and each is named once.
    let mut told = HashSet::new();
    let mut add = |report: &mut Report, kind: Kind, name: &str, dependence: Dependence| {
        if let Some(line) = report.add(kind, name, dependence)
            && told.insert(line.clone())
        {
            tell(&progress, &line);
        }
    };
    retirement
        .of_records(|kind, name, dependence| add(&mut report, kind, name, dependence))
        .await?;
    retirement
        .of_access_keys(|kind, name, dependence| add(&mut report, kind, name, dependence))
        .await?;
    let visit = {
        let retirement = Arc::clone(&retirement);
        move |item| {
            let retirement = Arc::clone(&retirement);
            async move { retirement.of_object(&item).await }
        }
    };
    let walk = arguments.of.walk(true);
    let walked = walk
        .run(
            &gateway,
            &pace,
            signals.received(),
            visit,
            |item, dependence| {
                progress.advance(1);
                let version = item.entry.version_id.as_deref().unwrap_or("null");
                let name = format!("{} version {version}", item.position());
                add(&mut report, Kind::Object, &name, dependence);
            },
        )
        .await?;
    if walked.is_complete {
        // A gateway may have made a working key with it during the walk, and sealed with it behind the place where the walk was.
        report.records = Count::default();
        report.uploads = Count::default();
        retirement
            .of_records(|kind, name, dependence| add(&mut report, kind, name, dependence))
            .await?;
        report.unseen = retirement.buckets_missing_from(&walked.buckets);
    }
    progress.finish();
    let verdict = Verdict::of(&report, &walked, arguments.of.is_everything());
    arguments.of.print(
        || report.as_json(&arguments.key_service, &walked, verdict),
        || report.as_text(&arguments.key_service, verdict),
    )?;
    ensure!(walked.is_complete, "{}", walked.how_to_go_on());
    match verdict {
        Verdict::Retirable | Verdict::RetirableHere => Ok(()),
        Verdict::Needed => {
            anyhow::bail!("the key of {} must not be destroyed", arguments.key_service)
        }
    }
}

/// What follows from a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing depends on the key, anywhere.
    Retirable,
    /// Nothing does in the piece that was looked at.
    RetirableHere,
    /// Something does, or nobody can tell, or it was not looked at.
    Needed,
}

impl Verdict {
    fn of(report: &Report, walked: &Walked, is_everything: bool) -> Self {
        let is_needed = report
            .counts()
            .iter()
            .any(|(_, count)| count.depends > 0 || count.unknown > 0);
        if is_needed || !report.left_alone.is_empty() || !walked.is_complete {
            Self::Needed
        } else if is_everything && report.unseen.is_empty() && !walked.buckets.is_empty() {
            Self::Retirable
        } else {
            Self::RetirableHere
        }
    }
}

impl Report {
    /// Takes in one more. Returns what is to be said of it, if something is.
    fn add(&mut self, kind: Kind, name: &str, dependence: Dependence) -> Option<String> {
        let count = match kind {
            Kind::Object => &mut self.objects,
            Kind::Upload => &mut self.uploads,
            Kind::Record => &mut self.records,
            Kind::AccessKey => &mut self.access_keys,
        };
        count.seen += 1;
        let line = match dependence {
            Dependence::Unrelated => return None,
            Dependence::OpensOtherwise => {
                count.opens_otherwise += 1;
                return None;
            }
            Dependence::Depends { id, has_recovery } => {
                count.depends += 1;
                count.recoverable += u64::from(has_recovery);
                let but = if has_recovery {
                    ", unless the recovery key does"
                } else {
                    ""
                };
                format!("{name} depends on the key: nothing else opens its working key {id}{but}")
            }
            Dependence::Unknown(cause) => {
                count.unknown += 1;
                format!("{name} may depend on the key: {cause}")
            }
        };
        if count.examples.len() == EXAMPLES {
            return None;
        }
        count.examples.push(line.clone());
        Some(format!("sealgate: {line}"))
    }

    fn counts(&self) -> [(&'static str, &Count); 4] {
        [
            ("objects", &self.objects),
            ("open_uploads", &self.uploads),
            ("registry_records", &self.records),
            ("access_keys", &self.access_keys),
        ]
    }

    fn as_json(&self, key_service: &str, walked: &Walked, verdict: Verdict) -> serde_json::Value {
        let counts = self.counts().map(|(name, count)| {
            let count = json!({
                "seen": count.seen,
                "open_otherwise": count.opens_otherwise,
                "depend": count.depends,
                "depend_and_have_a_recovery_wrap": count.recoverable,
                "unknown": count.unknown,
                "examples": count.examples,
            });
            (name.to_owned(), count)
        });
        json!({
            "key_service": key_service,
            "key": self.key,
            "retirable": verdict == Verdict::Retirable,
            "retirable_in_this_piece": verdict != Verdict::Needed,
            "complete": walked.is_complete,
            "last": walked.last,
            "buckets": walked.buckets,
            "depends": BTreeMap::from(counts),
            "domains_without_another_key": self.left_alone,
            "buckets_not_listed": self.unseen,
            "next": self.next_step(verdict),
        })
    }

    fn as_text(&self, key_service: &str, verdict: Verdict) -> String {
        let mut lines = vec![format!("{key_service}: {}", self.key)];
        for (name, count) in self.counts() {
            lines.push(format!(
                "{} {}: {} depend on it ({} of them have a wrap for a recovery key), {} open otherwise, {} cannot be told",
                count.seen,
                name.replace('_', " "),
                count.depends,
                count.recoverable,
                count.opens_otherwise,
                count.unknown
            ));
        }
        for domain in &self.left_alone {
            lines.push(format!(
                "without it no new working key could be made: {domain}"
            ));
        }
        for bucket in &self.unseen {
            lines.push(format!(
                "the configuration names the bucket {bucket}, and the storage does not list it to this account: name it with --bucket"
            ));
        }
        lines.push(self.next_step(verdict).to_owned());
        lines.join("\n")
    }

    fn next_step(&self, verdict: Verdict) -> &'static str {
        let unknown = self.counts().iter().any(|(_, count)| count.unknown > 0);
        let sealed = [&self.objects, &self.uploads, &self.records];
        let depends = sealed.iter().any(|count| count.depends > 0);
        match verdict {
            Verdict::Retirable => {
                "nothing depends on it: back up the state bucket, remove its [[key_service]] from every gateway, restart them, and run this once more before the key is destroyed if a gateway was still making working keys with it"
            }
            Verdict::RetirableHere => {
                "nothing depends on it in what was looked at; only a run without --bucket, --prefix and --resume-from to which the storage lists every bucket, or all pieces together, say that it may go"
            }
            Verdict::Needed if depends => {
                "configure another key service, in key_services of the domains that name theirs too, run `sealgate keys rewrap`, and then this again; what still depends then has lost its registry record: copy it onto itself through a gateway"
            }
            Verdict::Needed if self.access_keys.depends > 0 => {
                "configure another key service, exchange these access keys (`sealgate credentials rotate`), and run this again when the old ones have ended"
            }
            Verdict::Needed if unknown => {
                "mend what cannot be told, each with its cause above (`sealgate verify` says more), and run this again"
            }
            Verdict::Needed if !self.left_alone.is_empty() => {
                "name another key service for these domains, restart the gateways, run `sealgate keys rewrap`, and then this again"
            }
            Verdict::Needed => "go on where it stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use sealgate_envelope::WorkingKeyId;

    use super::*;

    fn walked(is_complete: bool) -> Walked {
        Walked {
            buckets: vec!["b".to_owned()],
            is_complete,
            last: Some("b/k".to_owned()),
        }
    }

    #[test]
    fn what_the_storage_does_not_list_was_not_seen() {
        let mut report = Report::default();
        let nothing = Walked {
            buckets: Vec::new(),
            ..walked(true)
        };
        assert_eq!(Verdict::of(&report, &nothing, true), Verdict::RetirableHere);
        report.unseen.push("elsewhere".to_owned());
        assert_eq!(
            Verdict::of(&report, &walked(true), true),
            Verdict::RetirableHere
        );
        let text = report.as_text("old", Verdict::RetirableHere);
        assert!(text.contains("--bucket"), "{text}");
    }

    #[test]
    fn a_key_may_go_only_if_everything_was_seen_and_nothing_depends_on_it() {
        let mut report = Report::default();
        report.add(Kind::Object, "b/k", Dependence::OpensOtherwise);
        report.add(Kind::Record, "r", Dependence::Unrelated);
        assert_eq!(
            Verdict::of(&report, &walked(true), true),
            Verdict::Retirable
        );
        assert_eq!(
            Verdict::of(&report, &walked(true), false),
            Verdict::RetirableHere
        );
        assert_eq!(Verdict::of(&report, &walked(false), true), Verdict::Needed);
        report.left_alone.push("d".to_owned());
        assert_eq!(Verdict::of(&report, &walked(true), true), Verdict::Needed);
        report.left_alone.clear();
        report.add(Kind::Upload, "u", Dependence::Unknown("damaged".to_owned()));
        assert_eq!(Verdict::of(&report, &walked(true), true), Verdict::Needed);
    }

    #[test]
    fn examples_are_few_and_all_are_counted() {
        let mut report = Report::default();
        let id = WorkingKeyId::from_bytes([7; 16]);
        for number in 0..30 {
            let dependence = Dependence::Depends {
                id,
                has_recovery: number < 3,
            };
            let said = report.add(Kind::Object, &number.to_string(), dependence);
            assert_eq!(said.is_some(), number < 20);
        }
        let document = report.as_json("old", &walked(true), Verdict::Needed);
        assert_eq!(document["depends"]["objects"]["depend"], 30);
        let recoverable = &document["depends"]["objects"]["depend_and_have_a_recovery_wrap"];
        assert_eq!(*recoverable, 3);
        assert_eq!(document["retirable"], false);
        assert!(document["next"].as_str().unwrap().contains("rewrap"));
    }
}
