//! What the commands share that go through a whole bucket: which objects, how fast, and how the end is told.

use std::path::PathBuf;

use clap::Args;

use super::output;
use super::pace::{PaceArguments, PartArguments};
use super::recorded::{Deed, run_recorded};
use crate::config::Config;
use crate::logging;
use crate::migration::PermitIssuer;

#[derive(Clone, Debug, Args)]
pub(super) struct BucketArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    pub(super) config: PathBuf,

    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub(super) bucket: String,

    /// Only keys that begin with this
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) prefix: String,

    /// Only keys behind this one in the bucket's listing
    #[arg(long, value_name = "KEY")]
    pub(super) resume_from: Option<String>,

    #[command(flatten)]
    pub(super) pace: PaceArguments,

    #[command(flatten)]
    pub(super) parts: PartArguments,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

impl BucketArguments {
    /// Records that a command of this name runs, and runs it with the configuration, until its end or until a signal, of which `interrupted`
    /// says what it leaves.
    pub(super) fn run<F>(
        &self,
        name: &'static str,
        interrupted: &'static str,
        command: impl FnOnce(Config, PermitIssuer) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let config = Config::load(&self.config)?;
        config.require_decryption()?;
        logging::start_for_command(config.log)?;
        let deed = Deed::within(name, std::slice::from_ref(&self.bucket), &self.prefix);
        run_recorded(config, &deed, interrupted, command)
    }

    /// Prints a report as it was asked for.
    pub(super) fn print(
        &self,
        as_json: impl FnOnce() -> serde_json::Value,
        as_text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(&as_json())?
        } else {
            as_text()
        };
        output::line(&text)
    }
}
