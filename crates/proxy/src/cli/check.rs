//! `sealgate check`: is the configuration right, and do storage and key services do what the gateway needs of them?

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::service::runtime;
use super::{grant, output};
use crate::audit::preflight;
use crate::certificate_validity::CertificateValidity;
use crate::config::{Config, ConfigError, KeyServiceConfig, Problem};
use crate::credentials::Directory;
use crate::gateway::probe::Finding;
use crate::gateway::{Gateway, RecoverySenders, open_local};
use crate::listener::tls;
use crate::state::grants::GrantRecords;

/// Check a configuration, and probe the storage and the key services that it names
///
/// Says which of the things that differ between S3 servers the storage supports, and whether each key service makes and
/// opens keys. The probes store about 10 MiB below a prefix of their own in the state bucket and remove it again. The
/// exit status is 0 if a gateway would work.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate check --config sealgate.toml\n  sealgate check --offline\n  sealgate check --json | jq '.findings[] | select(.supported | not)'"
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
        Ok(config) => check(arguments, config),
        Err(error) => report_problems(arguments, &error).map(|()| false),
    };
    output::exit_code(outcome)
}

/// Whether a gateway would work.
fn check(arguments: &CheckArguments, config: Config) -> anyhow::Result<bool> {
    let config = Arc::new(config);
    let mut findings = local_findings(&config);
    if !arguments.offline {
        findings.extend(runtime()?.block_on(async {
            let mut findings = match &config.audit {
                Some(audit) => preflight::remote_findings(audit).await,
                None => Vec::new(),
            };
            findings.extend(remote_findings(config).await);
            findings
        }));
    }
    let works = findings
        .iter()
        .all(|finding| finding.supported || !finding.required);
    output::line(&if arguments.json {
        as_json(works, &[], &findings)?
    } else {
        as_text(&arguments.config.display().to_string(), &findings)
    })?;
    Ok(works)
}

/// What can be found out without asking anybody: whether the files that the configuration only names are of use.
fn local_findings(config: &Arc<Config>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let admin = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    for (listener, files) in [("listener", config.listener.tls.as_ref()), ("admin", admin)] {
        if let Some(files) = files {
            let property = format!("{listener}: certificate and key");
            match tls::server_config(files).and_then(|_| tls::validity(files)) {
                Err(error) => findings.push(finding(property, Some(error))),
                Ok(validity) => findings.extend(certificate(&property, validity)),
            }
        }
    }
    for (service, name) in config.key_services.iter().zip(&config.key_service_names) {
        if let KeyServiceConfig::Local { file, passphrase } = service {
            let property = format!("key service {name}: the key file can be read");
            let opened = open_local(file, passphrase.as_ref());
            findings.push(finding(property, opened.err()));
        }
    }
    let of_domains = config.domains.iter().map(|domain| &domain.recovery);
    if of_domains.chain([&config.recovery]).any(Option::is_some) {
        findings.push(finding(
            "recovery: the sender key can be used",
            RecoverySenders::of(config).err(),
        ));
    }
    findings.extend(stored_credentials(config));
    if let Some(audit) = &config.audit {
        findings.extend(preflight::local_findings(audit));
    }
    for table in &config.migrating {
        findings.push(Finding {
            property: format!("every object is sealed in {table}"),
            supported: false,
            required: false,
            detail: "it is marked [[migrating]]: objects without a sealed header are served in the clear, and whoever can write to the storage can plant some; run `sealgate migrate`, and remove the mark when nothing is left to seal".to_owned(),
        });
    }
    findings
}

/// Whether a certificate is good now, and for some time.
fn certificate(property: &str, validity: CertificateValidity) -> Vec<Finding> {
    let mut findings = vec![finding(property, validity.fault())];
    if let Some(hours) = validity.hours_left().filter(|hours| *hours >= 0) {
        findings.push(Finding {
            required: false,
            ..finding(
                format!("{property}: good for more than two weeks"),
                Some(format!("{hours} hours are left")),
            )
        });
    }
    findings
}

/// Whether the directory of access keys and every file in it can be read. The secrets are for gateways to open.
fn stored_credentials(config: &Config) -> Option<Finding> {
    let place = config.credentials.as_ref()?;
    let failure = match Directory::new(&place.directory).read_all() {
        Ok(files) => files.into_iter().find_map(|(name, file)| {
            let cause = file.err()?;
            Some(format!("{name}: {cause}"))
        }),
        Err(error) => Some(format!("{error:#}")),
    };
    Some(finding("access keys in credentials.directory", failure))
}

/// What the servers do.
async fn remote_findings(config: Arc<Config>) -> Vec<Finding> {
    let gateway = match Gateway::start(config).await {
        Ok(gateway) => gateway,
        Err(error) => return vec![finding("a gateway starts", Some(format!("{error:#}")))],
    };
    let mut findings = gateway.probe_storage().await;
    findings.extend(gateway.probe_key_services().await);
    if let Some(grants) = &gateway.config.grants {
        let records = GrantRecords::new(gateway.state.clone());
        let known = grant::known(&gateway.config, grants, &records).await;
        // Everything else works meanwhile.
        findings.push(Finding {
            required: false,
            ..finding(
                "grants: the list of revocations is signed in time",
                known.failure(),
            )
        });
    }
    findings
}

fn finding(property: impl Into<String>, failure: Option<impl std::fmt::Display>) -> Finding {
    Finding {
        property: property.into(),
        supported: failure.is_none(),
        required: true,
        detail: failure
            .map(|failure| failure.to_string())
            .unwrap_or_default(),
    }
}

/// The error of a configuration that can't be used, in the form that was asked for.
fn report_problems(arguments: &CheckArguments, error: &ConfigError) -> anyhow::Result<()> {
    if arguments.json {
        return output::line(&as_json(false, &error.problems, &[])?);
    }
    Err(anyhow::anyhow!("{error}"))
}

fn as_json(works: bool, problems: &[Problem], findings: &[Finding]) -> anyhow::Result<String> {
    let problems = problems.iter().map(|problem| {
        json!({ "line": problem.line, "key": problem.key, "message": problem.message, "fix": problem.fix })
    });
    let findings = findings.iter().map(|finding| {
        json!({
            "property": finding.property,
            "supported": finding.supported,
            "required": finding.required,
            "detail": finding.detail,
        })
    });
    Ok(serde_json::to_string_pretty(&json!({
        "works": works,
        "problems": problems.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
    }))?)
}

fn as_text(path: &str, findings: &[Finding]) -> String {
    let mut lines = vec![format!("ok       {path}")];
    for finding in findings {
        let word = match (finding.supported, finding.required) {
            (true, _) => "ok",
            (false, false) => "missing",
            (false, true) => "FAILED",
        };
        let detail = if finding.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", finding.detail)
        };
        lines.push(format!("{word:7}  {}{detail}", finding.property));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 3] {
        let optional = Finding {
            required: false,
            ..finding("b", Some("is not honoured"))
        };
        [
            finding("a", None::<String>),
            optional,
            finding("c", Some("does not answer")),
        ]
    }

    #[test]
    fn findings_are_told_apart() {
        assert_eq!(
            as_text("gate.toml", &findings()),
            "ok       gate.toml\nok       a\nmissing  b: is not honoured\nFAILED   c: does not answer"
        );
    }

    #[test]
    fn a_certificate_that_ended_is_none() {
        use crate::certificate_validity::tests::ending_in_days;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.pem");
        let of = |days| {
            std::fs::write(&path, ending_in_days(days).0).unwrap();
            let findings = certificate("listener", CertificateValidity::of_file(&path).unwrap());
            let fails = |finding: &Finding| (finding.supported, finding.required);
            findings.iter().map(fails).collect::<Vec<_>>()
        };
        assert_eq!(of(-1), [(false, true)]);
        assert_eq!(of(3), [(true, true), (false, false)]);
        assert_eq!(of(20), [(true, true)]);
    }

    #[test]
    fn the_document_has_all_of_them() {
        let document: serde_json::Value =
            serde_json::from_str(&as_json(false, &[], &findings()).unwrap()).unwrap();
        assert_eq!(document["works"], false);
        assert_eq!(document["findings"][2]["detail"], "does not answer");
    }
}
