//! What each way to the keys could do with the sample, and for how long it took.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use sealgate_envelope::WorkingKeyId;
use sealgate_envelope::key_service::recovery::RecoveryPublicKey;
use sealgate_envelope::keyring::SealingPolicy;
use sealgate_envelope::records::{MAXIMUM_RECORD_LENGTH, RegistryRecord, registry_name};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::sample::{ChosenObject, Sample};
use crate::cli::files::Progress;
use crate::config::{Config, RecoveryConfig};
use crate::gateway::Gateway;
use crate::migration::export::{Destination, Export, ExportSettings};
use crate::migration::{Pace, PermitIssuer};

/// Failures that are named for each way; more are only counted.
const MAXIMUM_NAMED_FAILURES: usize = 20;

/// Which domains' working keys it is to open.
enum Asked {
    /// Those that name the key service at this place.
    KeyService(usize),
    /// Those whose recovery key it is, as this configuration has it.
    RecoveryKey(Box<Config>, RecoveryPublicKey),
}

/// One way to the keys, alone.
pub(super) struct Opener {
    name: String,
    asked: Asked,
    gateway: Arc<Gateway>,
}

impl Opener {
    pub(super) fn key_service(name: &str, place: usize, gateway: Arc<Gateway>) -> Self {
        Self {
            name: format!("key service {name}"),
            asked: Asked::KeyService(place),
            gateway,
        }
    }

    pub(super) fn recovery_key(
        config: Config,
        key: RecoveryPublicKey,
        gateway: Arc<Gateway>,
    ) -> Self {
        Self {
            name: "recovery key".to_owned(),
            asked: Asked::RecoveryKey(Box::new(config), key),
            gateway,
        }
    }

    /// Whether a domain's working keys are wrapped by it at all.
    fn is_asked_for(&self, domain: &str, policy: &SealingPolicy) -> bool {
        match (&self.asked, &policy.key_services) {
            (Asked::KeyService(place), Some(places)) => places.contains(place),
            (Asked::KeyService(_), None) => true,
            (Asked::RecoveryKey(config, key), _) => {
                // One that the configuration does not name is held against all that there is.
                let is_it = |own: &RecoveryConfig| own.public_key == *key;
                let of_domains = config.domains.iter().map(|rule| &rule.recovery);
                let is_named = of_domains
                    .chain([&config.recovery])
                    .any(|own| own.as_ref().is_some_and(is_it));
                !is_named || config.recovery_of_domain(domain).is_some_and(is_it)
            }
        }
    }
}

/// How one way did with one kind of thing.
#[derive(Debug, Default)]
struct Tally {
    opened: usize,
    /// Of domains whose keys it does not wrap.
    not_its_own: usize,
    failed: usize,
    failures: Vec<(String, String)>,
}

impl Tally {
    fn add(&mut self, what: &str, outcome: anyhow::Result<bool>) {
        match outcome {
            Ok(true) => self.opened += 1,
            Ok(false) => self.not_its_own += 1,
            Err(error) => {
                self.failed += 1;
                if self.failures.len() < MAXIMUM_NAMED_FAILURES {
                    self.failures.push((what.to_owned(), format!("{error:#}")));
                }
            }
        }
    }

    fn as_json(&self) -> serde_json::Value {
        let failures = self
            .failures
            .iter()
            .map(|(what, cause)| json!({ "what": what, "cause": cause }));
        json!({
            "opened": self.opened,
            "not_its_own": self.not_its_own,
            "failed": self.failed,
            "failures": failures.collect::<Vec<_>>(),
        })
    }
}

/// What one way showed.
struct Proof {
    name: String,
    records: Tally,
    objects: Tally,
    duration: Duration,
}

/// The whole drill.
pub(super) struct Report {
    proofs: Vec<Proof>,
    /// What the whole configuration could not read.
    reading: Tally,
    bytes: u64,
    duration: Duration,
    /// What could not be shown, beside failures.
    gaps: Vec<String>,
    is_cut: bool,
    listed: u64,
}

/// An object as the configuration reads it.
struct Expected {
    object: ChosenObject,
    content: Content,
}

#[derive(Clone, PartialEq, Eq)]
struct Content {
    sha256: [u8; 32],
    length: u64,
}

impl Report {
    /// Holds the drill.
    pub(super) async fn of(
        all: &Arc<Gateway>,
        sample: &Sample,
        openers: &[Opener],
        permit: PermitIssuer,
        progress: &Progress,
    ) -> Self {
        let started = Instant::now();
        let mut reading = Tally::default();
        let mut expected = Vec::new();
        let mut bytes = 0;
        for object in &sample.objects {
            let content = read(all, object, permit).await;
            progress.advance(1);
            if let Ok(content) = &content {
                bytes += content.length;
                expected.push(Expected {
                    object: object.clone(),
                    content: content.clone(),
                });
            }
            reading.add(&object.to_string(), content.map(|_| true));
        }
        let mut proofs = Vec::new();
        for opener in openers {
            let started = Instant::now();
            let (mut records, mut objects) = (Tally::default(), Tally::default());
            for id in &sample.records {
                records.add(&id.to_string(), open_record(opener, *id, permit).await);
                progress.advance(1);
            }
            for expected in &expected {
                let outcome = open_object(opener, expected, permit).await;
                objects.add(&expected.object.to_string(), outcome);
                progress.advance(1);
            }
            proofs.push(Proof {
                name: opener.name.clone(),
                records,
                objects,
                duration: started.elapsed(),
            });
        }
        let mut gaps = Vec::new();
        if sample.objects.is_empty() {
            gaps.push("there is no object to read".to_owned());
        }
        if sample.records.is_empty() {
            gaps.push("there is no registry record to open".to_owned());
        }
        for proof in &proofs {
            for (tally, what) in [(&proof.records, "record"), (&proof.objects, "object")] {
                if tally.opened == 0 && tally.failed == 0 && tally.not_its_own > 0 {
                    gaps.push(format!("{}: the sample has no {what} that it is to open; take a larger one, or add buckets with --bucket", proof.name));
                }
            }
        }
        Self {
            proofs,
            reading,
            bytes,
            duration: started.elapsed(),
            gaps,
            is_cut: sample.is_cut,
            listed: sample.listed,
        }
    }

    /// Whether everything was shown.
    pub(super) fn is_shown(&self) -> bool {
        let failed = |proof: &Proof| proof.records.failed + proof.objects.failed > 0;
        self.gaps.is_empty() && self.reading.failed == 0 && !self.proofs.iter().any(failed)
    }

    pub(super) fn as_json(&self, buckets: &[String]) -> serde_json::Value {
        let proofs = self.proofs.iter().map(|proof| {
            json!({
                "by": proof.name,
                "records": proof.records.as_json(),
                "objects": proof.objects.as_json(),
                "milliseconds": milliseconds(proof.duration),
            })
        });
        json!({
            "buckets": buckets,
            "shown": self.is_shown(),
            "read": self.reading.as_json(),
            "bytes": self.bytes,
            "chosen_among": self.listed,
            "chosen_among_all": !self.is_cut,
            "alone": proofs.collect::<Vec<_>>(),
            "not_shown": self.gaps,
            "milliseconds": milliseconds(self.duration),
        })
    }

    pub(super) fn as_text(&self) -> String {
        let mut text = format!(
            "{} objects of {} read by the configuration, {} bytes, chosen among {}{}",
            self.reading.opened,
            self.reading.opened + self.reading.failed,
            self.bytes,
            if self.is_cut { "the first " } else { "all " },
            self.listed
        );
        let mut failures = vec![("the configuration", &self.reading)];
        for proof in &self.proofs {
            // Writing to a String never fails.
            let _ = write!(
                text,
                "\n{} alone: {} records opened, {} objects read and equal, {} failed, in {:.1} s",
                proof.name,
                proof.records.opened,
                proof.objects.opened,
                proof.records.failed + proof.objects.failed,
                proof.duration.as_secs_f64()
            );
            failures.push((&proof.name, &proof.records));
            failures.push((&proof.name, &proof.objects));
        }
        for (name, tally) in failures {
            for (what, cause) in &tally.failures {
                let _ = write!(text, "\nNOT SHOWN: {name}: {what}: {cause}");
            }
        }
        for gap in &self.gaps {
            let _ = write!(text, "\nNOT SHOWN: {gap}");
        }
        if self.is_shown() {
            let _ = write!(
                text,
                "\nall was shown, in {:.1} s",
                self.duration.as_secs_f64()
            );
        }
        text
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Opens one record's working key by this way alone, and verifies the record. False where it is not to open it.
async fn open_record(
    opener: &Opener,
    id: WorkingKeyId,
    permit: PermitIssuer,
) -> anyhow::Result<bool> {
    let gateway = &opener.gateway;
    let bytes = gateway
        .state
        .get(&registry_name(id), MAXIMUM_RECORD_LENGTH)
        .await?
        .context("the record is gone")?;
    let record =
        RegistryRecord::parse(&bytes, id).map_err(|error| anyhow!("{}", error.detail()))?;
    // The claim only chooses whom to ask; the MAC confirms it.
    let domain = record.claimed_domain().clone();
    let policy = gateway
        .config
        .sealing_of_domain(domain.as_str())
        .with_context(|| format!("no [[domain]] has the name {domain}"))?;
    if !opener.is_asked_for(domain.as_str(), &policy) {
        return Ok(false);
    }
    let permit = permit("sealgate drill");
    let key = gateway
        .keyring
        .opening_key(&permit, id, record.wraps(), &domain)
        .await
        .map_err(|error| anyhow!("{}", error.detail()))?;
    record
        .verify(&key, &domain)
        .map_err(|error| anyhow!("{}", error.detail()))?;
    Ok(true)
}

/// Reads one object by this way alone, and compares. False where it is not to open it.
async fn open_object(
    opener: &Opener,
    expected: &Expected,
    permit: PermitIssuer,
) -> anyhow::Result<bool> {
    let object = &expected.object;
    let rule = opener
        .gateway
        .config
        .domain_for(&object.bucket, &object.key);
    if !opener.is_asked_for(&rule.name, &rule.sealing) {
        return Ok(false);
    }
    let content = read(&opener.gateway, object, permit).await?;
    ensure!(
        content == expected.content,
        "it is another content than the configuration reads; was it overwritten meanwhile?"
    );
    Ok(true)
}

/// Every byte of an object, verified.
async fn read(
    gateway: &Arc<Gateway>,
    object: &ChosenObject,
    permit: PermitIssuer,
) -> anyhow::Result<Content> {
    let nowhere = tempfile::tempdir()?;
    let settings = ExportSettings {
        bucket: object.bucket.clone(),
        prefix: String::new(),
        start_after: None,
        versions: false,
        as_stored: false,
        dry_run: true,
        concurrency: 1,
        part_length: u64::MAX,
    };
    let destination = Destination::Directory {
        path: nowhere.path().join("nothing"),
        overwrite: false,
    };
    let pace = Pace::new(None, None, Arc::new(|_| {}));
    let export = Export::prepare(Arc::clone(gateway), settings, destination, pace, permit).await?;
    let mut hash = Hash(Sha256::new());
    let length = export
        .stream(&object.key, &mut hash)
        .await
        .map_err(|failure| anyhow!("{}", failure.cause))?
        .context("it was deleted meanwhile")?;
    Ok(Content {
        sha256: hash.0.finalize().into(),
        length,
    })
}

/// Keeps nothing of what is written but its hash.
struct Hash(Sha256);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_and_one_gap_each_keep_a_drill_from_being_shown() {
        let report = |failed: bool, gap: bool| {
            let mut records = Tally::default();
            records.add("a", Ok(true));
            if failed {
                records.add("b", Err(anyhow!("the key is disabled")));
            }
            Report {
                proofs: vec![Proof {
                    name: "key service 1".to_owned(),
                    records,
                    objects: Tally::default(),
                    duration: Duration::from_secs(1),
                }],
                reading: Tally::default(),
                bytes: 0,
                duration: Duration::from_secs(1),
                gaps: gap
                    .then(|| "nothing to open".to_owned())
                    .into_iter()
                    .collect(),
                is_cut: false,
                listed: 1,
            }
        };
        assert!(report(false, false).is_shown());
        assert!(report(false, false).as_text().contains("all was shown"));
        for (failed, gap, part) in [
            (true, false, "b: the key is disabled"),
            (false, true, "nothing to open"),
        ] {
            let report = report(failed, gap);
            assert!(!report.is_shown() && report.as_json(&["x".to_owned()])["shown"] == false);
            assert!(report.as_text().contains(part));
            assert!(report.as_text().contains("NOT SHOWN"));
        }
    }
}
