//! What the commands share that look at everything that is stored: where, how fast, where to go on, and how a signal ends them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;

use super::files::Progress;
use super::output;
use super::pace::PaceArguments;
use super::recorded::{Deed, Record};
use super::service::{StopSignals, runtime};
use crate::config::Config;
use crate::logging;
use crate::migration::{Pace, PermitIssuer};
use crate::scan::Walk;

#[derive(Clone, Debug, Args)]
pub(super) struct WalkArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    pub(super) config: PathBuf,

    /// A bucket; several times for several. Without it, all that the storage shows to the gateway
    #[arg(long = "bucket", value_name = "NAME")]
    buckets: Vec<String>,

    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// Go on behind this key, where an earlier run stopped
    #[arg(long, value_name = "BUCKET/KEY", value_parser = position)]
    resume_from: Option<(String, String)>,

    #[command(flatten)]
    pace: PaceArguments,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

impl WalkArguments {
    /// What to go through.
    pub(super) fn walk(&self, versions: bool) -> Walk {
        Walk {
            buckets: self.buckets.clone(),
            prefix: self.prefix.clone(),
            resume_from: self.resume_from.clone(),
            versions,
            concurrency: self.pace.concurrency(),
        }
    }

    /// The pace, and a progress bar that counts objects.
    pub(super) fn start(&self, message: &str) -> (Arc<Pace>, Progress) {
        let pace = self.pace.pace(Arc::new(|_| {}));
        (Arc::new(pace), Progress::uncounted(message))
    }

    /// Refuses to call well what is not there: who names a prefix expects something below it.
    pub(super) fn require_some(&self, objects: u64) -> anyhow::Result<()> {
        ensure!(
            objects > 0 || self.prefix.is_empty() || self.resume_from.is_some(),
            "no key begins with {:?}, so nothing was verified; is it spelt as keys are?",
            self.prefix
        );
        Ok(())
    }

    fn deed(&self, name: &'static str) -> Deed {
        Deed::within(name, &self.buckets, &self.prefix)
    }

    /// Whether everything that is stored is asked for, and not only a piece of it.
    pub(super) fn is_everything(&self) -> bool {
        self.buckets.is_empty() && self.prefix.is_empty() && self.resume_from.is_none()
    }

    /// Runs a command with the configuration. It is told of a signal by its second argument, and then reports what it has seen. One that opens
    /// keys is recorded under its name first, and gets permits by that.
    pub(super) fn run<F>(
        &self,
        recorded_as: Option<&'static str>,
        command: impl FnOnce(Config, StopSignals, Option<PermitIssuer>) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let config = Config::load(&self.config)?;
        logging::start_for_command(config.log)?;
        let runtime = runtime()?;
        let outcome = runtime.block_on(async {
            let mut signals = StopSignals::catch()?;
            let Some(name) = recorded_as else {
                return command(config, signals, None).await;
            };
            let deed = self.deed(name);
            let record = tokio::select! {
                record = Record::begin(&config, &deed) => record?,
                () = signals.received() => bail!("interrupted; nothing was opened"),
            };
            let outcome = command(config, signals, Some(record.permit())).await;
            record.end(&outcome).await;
            outcome
        });
        // What was begun only reads.
        runtime.shutdown_background();
        outcome
    }

    /// Prints a report as it was asked for.
    pub(super) fn print(
        &self,
        as_json: impl FnOnce() -> serde_json::Value,
        as_text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        output::line(&if self.json {
            serde_json::to_string_pretty(&as_json())?
        } else {
            as_text()
        })
    }
}

fn position(text: &str) -> Result<(String, String), String> {
    text.split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .map(|(bucket, key)| (bucket.to_owned(), key.to_owned()))
        .ok_or_else(|| {
            "write a bucket, a slash and a key, as a report does: photos/2019/a.jpg".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_below_a_prefix_is_not_well() {
        #[derive(clap::Parser)]
        struct CommandLine {
            #[command(flatten)]
            walk: WalkArguments,
        }
        let of = |words: &[&str]| {
            let words = [&["verify"], words].concat();
            <CommandLine as clap::Parser>::parse_from(words).walk
        };
        let error = of(&["--prefix", "typo/"]).require_some(0).unwrap_err();
        assert!(error.to_string().contains("typo/"), "{error}");
        of(&["--prefix", "photos/"]).require_some(1).unwrap();
        of(&["--bucket", "empty"]).require_some(0).unwrap();
        let rest = ["--prefix", "a", "--resume-from", "b/a/z"];
        of(&rest).require_some(0).unwrap();
    }

    #[test]
    fn a_position_is_a_bucket_and_a_key() {
        assert_eq!(
            position("photos/a/b").unwrap(),
            ("photos".to_owned(), "a/b".to_owned())
        );
        for wrong in ["photos", "photos/", "/a"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
