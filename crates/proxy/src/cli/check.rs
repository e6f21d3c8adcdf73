//! `sealgate check`: is the configuration right, and do storage and key services do what the gateway needs of them?

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output;
use super::probe::{self, Finding, Outcome};
use super::service::runtime;
use crate::config::{Config, ConfigError, KeyServiceConfig, Problem};
use crate::listener::tls;

/// Check a configuration, and probe the storage and the key services that it names
///
/// Says which of the things that differ between S3 servers the storage supports, and whether each key service makes and
/// opens keys. The probes store some objects
/// below a prefix of their own in the state bucket and remove them.
/// The exit status is 0 if a gateway would work.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate check --config sealgate.toml\n  sealgate check --offline\n  sealgate check --json | jq '.findings[] | select(.outcome != \"ok\")'"
)]
pub(super) struct CheckArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Read the configuration and the files that it names, and contact nobody
    #[arg(long)]
    offline: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> ExitCode {
    let outcome = match Config::load(&arguments.config) {
        Ok(config) => check(arguments, &config),
        Err(error) => report_problems(arguments, &error).map(|()| false),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether a gateway would work.
fn check(arguments: &CheckArguments, config: &Config) -> anyhow::Result<bool> {
    let mut findings = local_findings(config);
    if !arguments.offline {
        findings.extend(runtime()?.block_on(probe::run(config)));
    }
    let works = findings
        .iter()
        .all(|finding| finding.outcome != Outcome::Failed);
    if arguments.json {
        output::line(&serde_json::to_string_pretty(&json!({
            "works": works,
            "problems": [],
            "findings": findings.iter().map(finding_as_json).collect::<Vec<_>>(),
        }))?)?;
    } else {
        output::line(&render(&arguments.config.display().to_string(), &findings))?;
    }
    Ok(works)
}

/// What can be found out without asking anybody: files that the configuration only names.
fn local_findings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(files) = &config.listener.tls {
        findings.push(match tls::server_config(files) {
            Ok(_) => Finding::ok("listener.tls", "certificate and key fit together"),
            Err(error) => Finding::failed("listener.tls", error),
        });
    }
    for (index, service) in config.key_services.iter().enumerate() {
        if let KeyServiceConfig::Local { file } = service {
            let subject = format!("key_service[{index}]");
            findings.push(
                match sealgate_envelope::key_service::local::LocalKeyService::open(file) {
                    Ok(key) => Finding::ok(subject, format!("local key {}", key.key_id())),
                    Err(error) => Finding::failed(subject, error),
                },
            );
        }
    }
    findings
}

fn report_problems(arguments: &CheckArguments, error: &ConfigError) -> anyhow::Result<()> {
    if !arguments.json {
        return Err(anyhow::anyhow!("{error}"));
    }
    let problems: Vec<_> = error.problems.iter().map(problem_as_json).collect();
    output::line(&serde_json::to_string_pretty(
        &json!({ "works": false, "problems": problems, "findings": [] }),
    )?)
}

fn problem_as_json(problem: &Problem) -> serde_json::Value {
    json!({ "line": problem.line, "key": problem.key, "message": problem.message, "fix": problem.fix })
}

fn finding_as_json(finding: &Finding) -> serde_json::Value {
    json!({ "subject": finding.subject, "outcome": word(finding.outcome), "detail": finding.detail })
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Missing => "missing",
        Outcome::Failed => "failed",
    }
}

fn render(path: &str, findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.subject.chars().count())
        .max()
        .unwrap_or_default();
    let lines = findings.iter().map(|finding| {
        format!(
            "{:7}  {:width$}  {}",
            word(finding.outcome),
            finding.subject,
            finding.detail
        )
    });
    std::iter::once(format!("ok       {path}"))
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_shown_in_columns() {
        let findings = [
            Finding::ok("a", "works"),
            Finding::failed("longer", "does not"),
        ];
        assert_eq!(
            render("gate.toml", &findings),
            "ok       gate.toml\nok       a       works\nfailed   longer  does not"
        );
    }
}
