//! `sealgate keys flush` and `sealgate keys rotate`: what every gateway of the deployment is told, and waiting until it is done.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use sealgate_envelope::Domain;
use serde_json::json;

use super::super::files::Progress;
use super::super::output;
use super::super::service::runtime;
use crate::config::Config;
use crate::gateway::state_bucket;
use crate::logging;
use crate::state::control::{Command, Control, Order};

/// How often the command looks at what gateways say.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Drop every cached working key, on all gateways, now
///
/// Gateways look for it every 3 seconds. From then on each reading asks a key service again and each writing has a new
/// working key made, so a key that was disabled in its key service opens nothing more. Requests that are running keep the
/// key that they have. Waits until every gateway that has written its record within 90 seconds says that it is done.
///
/// The storage carries the command and the answers, and whoever runs it can withhold or forge both: a gateway that it
/// does not reach drops its keys after working_key_cache_age.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate keys flush --config sealgate.toml\n  aws kms disable-key --key-id KEY && sealgate keys flush --json"
)]
pub(super) struct FlushArguments {
    #[command(flatten)]
    common: CommonArguments,
}

/// Make new working keys to seal with, on all gateways, now
///
/// Objects that were written before stay as they are and stay readable. A gateway whose key service is down goes on with
/// its present key, and the exit status is 1 then. At most one rotation in 20 seconds is followed; a later one waits.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate keys rotate\n  sealgate keys rotate --domain acme/alice --json"
)]
pub(super) struct RotateArguments {
    /// Only of this domain
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,

    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
struct CommonArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Wait at most so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    wait: u64,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What gateways said.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) done: Vec<String>,
    pub(super) failed: Vec<String>,
    pub(super) waiting: Vec<String>,
    seconds: f64,
}

pub(super) fn flush(arguments: &FlushArguments) -> anyhow::Result<()> {
    run(&arguments.common, Order::Flush, "flush")
}

pub(super) fn rotate(arguments: &RotateArguments) -> anyhow::Result<()> {
    if let Some(domain) = &arguments.domain {
        Domain::new(domain.as_str()).context("--domain")?;
        let config = Config::load(&arguments.common.config)?;
        ensure!(
            config.sealing_of_domain(domain).is_some(),
            "the configuration has no domain {domain}: name one of its [[domain]] tables, or {}/BUCKET",
            config.deployment
        );
    }
    let order = Order::Rotate {
        domain: arguments.domain.clone(),
    };
    run(&arguments.common, order, "rotate")
}

fn run(arguments: &CommonArguments, order: Order, name: &str) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    logging::start_for_command(config.log)?;
    let limit = Duration::from_secs(arguments.wait);
    let outcome = runtime()?.block_on(give(&config, order, name, limit))?;
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&outcome.as_json())?
    } else {
        outcome.as_text()
    })?;
    ensure!(
        !outcome.done.is_empty() && outcome.failed.is_empty() && outcome.waiting.is_empty(),
        "not every gateway has said that it did it; see above, and the logs of those gateways"
    );
    Ok(())
}

pub(super) async fn give(
    config: &Config,
    order: Order,
    name: &str,
    limit: Duration,
) -> anyhow::Result<Outcome> {
    let control = Control::new(state_bucket(config).await?);
    let command = Command::new(order)?;
    let started = Instant::now();
    control
        .give(&command)
        .await
        .context("the command could not be given: the state bucket cannot be written")?;
    let progress = Progress::counting(name, 0);
    let outcome = loop {
        let mut outcome = Outcome::default();
        // A storage that withholds the answers does not hold up whoever waits for them, either.
        let patience = limit.saturating_sub(started.elapsed()).max(LOOK_INTERVAL);
        let records = tokio::time::timeout(patience, control.replicas())
            .await
            .with_context(|| format!("the command was given, and the storage has not shown what gateways answer within {} s", limit.as_secs()))??;
        for record in records {
            if record.failed.contains(&command.id) {
                outcome.failed.push(record.host);
            } else if record.done.contains(&command.id) {
                outcome.done.push(record.host);
            } else {
                outcome.waiting.push(record.host);
            }
        }
        progress.reach(
            outcome.done.len() + outcome.failed.len(),
            outcome.done.len() + outcome.failed.len() + outcome.waiting.len(),
        );
        outcome.seconds = started.elapsed().as_secs_f64();
        if outcome.waiting.is_empty() || started.elapsed() >= limit {
            break outcome;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    progress.finish();
    Ok(outcome)
}

impl Outcome {
    fn as_json(&self) -> serde_json::Value {
        json!({
            "done": self.done,
            "failed": self.failed,
            "waiting": self.waiting,
            "seconds": self.seconds,
        })
    }

    fn as_text(&self) -> String {
        if self.done.len() + self.failed.len() + self.waiting.len() == 0 {
            return "no gateway has written its record of late: none runs, or none reaches the state bucket".to_owned();
        }
        let mut lines = vec![format!(
            "done on {} gateways within {:.1} s",
            self.done.len(),
            self.seconds
        )];
        for host in &self.failed {
            lines.push(format!(
                "failed on {host}: no new working key could be made, it goes on with the present one"
            ));
        }
        for host in &self.waiting {
            lines.push(format!(
                "{host} has not said that it is done; it may have ended within the last 90 s"
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_names_who_did_not_do_it() {
        let outcome = Outcome {
            done: vec!["a".to_owned()],
            waiting: vec!["b".to_owned()],
            seconds: 2.04,
            ..Outcome::default()
        };
        let text = outcome.as_text();
        assert!(
            text.starts_with("done on 1 gateways within 2.0 s"),
            "{text}"
        );
        assert!(text.contains("b has not said"), "{text}");
        assert_eq!(outcome.as_json()["waiting"][0], "b");
        assert!(Outcome::default().as_text().contains("no gateway"));
    }
}
