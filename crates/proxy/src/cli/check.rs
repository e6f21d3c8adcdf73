//! `sealgate check`: is the configuration right, and do storage and key services do what the gateway needs of them?

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::service::{StopSignals, runtime};
use super::{grant, output};
use crate::audit::preflight;
use crate::certificate_validity::CertificateValidity;
use crate::config::{ChecksumTrailer, Config, ConfigError, KeyServiceConfig, Problem};
use crate::credentials::Directory;
use crate::gateway::probe::Finding;
use crate::gateway::{Gateway, RecoverySenders, open_local};
use crate::listener::tls;
use crate::state::grants::GrantRecords;

/// Check a configuration, and probe the storage and the key services that it names
///
/// Says which of the things that differ between S3 servers the storage supports, and whether each key service makes and
/// opens keys. The probes store about 10 MiB below a prefix of their own in the state bucket and remove it again. The
/// exit status is 0 if a gateway would work. On SIGINT and SIGTERM the probes are removed, too; what a killed command left,
/// `sealgate gc` removes when it is a day old.
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

/// Whoever may do that with a secret has it, or can give the gateway another one.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;

/// How long an answer is waited for before that is said, and said again.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let mut told = Told::begin(arguments)?;
    told.add(local_findings(&config))?;
    if !arguments.offline {
        runtime()?.block_on(Box::pin(ask(&config, &mut told)))?;
    }
    told.end()
}

/// What was found: told line by line as soon as it is known, or all of it at the end as one document.
struct Told {
    as_document: bool,
    findings: Vec<Finding>,
}

impl Told {
    fn begin(arguments: &CheckArguments) -> anyhow::Result<Self> {
        if !arguments.json {
            output::line(&format!("ok       {}", arguments.config.display()))?;
        }
        Ok(Self {
            as_document: arguments.json,
            findings: Vec::new(),
        })
    }

    fn add(&mut self, findings: Vec<Finding>) -> anyhow::Result<()> {
        if !self.as_document && !findings.is_empty() {
            output::line(&as_text(&findings))?;
        }
        self.findings.extend(findings);
        Ok(())
    }

    /// Whether a gateway would work.
    fn end(self) -> anyhow::Result<bool> {
        let works = self
            .findings
            .iter()
            .all(|finding| finding.supported || !finding.required);
        if self.as_document {
            output::line(&as_json(works, &[], &self.findings)?)?;
        }
        Ok(works)
    }
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
    for warning in config.policy.iter().flat_map(|engine| engine.warnings()) {
        findings.push(Finding {
            required: false,
            ..finding("policies: everything is probably meant", Some(warning))
        });
    }
    findings.extend(open_secrets(config));
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

/// Secrets that others on this machine can read or replace. Volumes of Kubernetes are so by default, so that is no failure.
fn open_secrets(config: &Config) -> Option<Finding> {
    let mut open = config.files.iter().filter_map(|file| {
        let mode = file.path.metadata().ok()?.permissions().mode() & 0o777;
        (file.is_secret && mode & (OTHERS_READ | OTHERS_WRITE | GROUP_WRITES) != 0)
            .then(|| format!("{} ({}, mode {mode:04o})", file.path.display(), file.key))
    });
    let first = open.next()?;
    let shown: Vec<String> = std::iter::once(first).chain(open).collect();
    Some(Finding {
        required: false,
        ..finding(
            "secrets are kept from others on this machine",
            Some(format!(
                "others can read or replace {}; `chmod 600`, or 640 where the gateway reads them by its group",
                shown.join(", ")
            )),
        )
    })
}

/// Whether the directory of access keys and every file in it can be read. The secrets are for gateways to open.
fn stored_credentials(config: &Config) -> Option<Finding> {
    let place = config.credentials.as_ref()?;
    let failure = match Directory::new(&place.directory).read_all() {
        Ok(_) if !place.directory.is_dir() => {
            let directory = place.directory.display();
            return Some(Finding {
                required: false,
                ..finding(
                    "access keys in credentials.directory",
                    Some(format!(
                        "there is no directory {directory}: `sealgate credentials add` makes it; until then only the access keys of the configuration are known"
                    )),
                )
            });
        }
        Ok(files) => files.into_iter().find_map(|(name, file)| {
            let cause = file.err()?;
            Some(format!("{name}: {cause}"))
        }),
        Err(error) => Some(format!("{error:#}")),
    };
    Some(finding("access keys in credentials.directory", failure))
}

/// What the servers do.
async fn ask(config: &Arc<Config>, told: &mut Told) -> anyhow::Result<()> {
    let mut signals = StopSignals::catch()?;
    if let Some(audit) = &config.audit {
        let found = patiently(
            "the receiver of the audit log",
            Box::pin(preflight::remote_findings(audit)),
        );
        told.add(unless_stopped(&mut signals, found).await?)?;
    }
    let storage = format!("the storage at {}", config.upstream.endpoint);
    let started = patiently(&storage, Box::pin(Gateway::start(without_probes(config))));
    let gateway = match unless_stopped(&mut signals, started).await? {
        Ok(gateway) => gateway,
        Err(error) => {
            return told.add(vec![finding(
                "a gateway starts",
                Some(format!("{error:#}")),
            )]);
        }
    };
    let probed = Box::pin(gateway.probe_storage(signals.received()));
    let Some(found) = patiently(&storage, probed).await else {
        bail!("interrupted; what the probes wrote was removed");
    };
    told.add(found)?;
    let found = patiently("the key services", Box::pin(gateway.probe_key_services()));
    told.add(unless_stopped(&mut signals, found).await?)?;
    if let Some(grants) = &gateway.config.grants {
        let records = GrantRecords::new(gateway.state.clone());
        let known = grant::known(&gateway.config, grants, &records).await;
        // Everything else works meanwhile.
        told.add(vec![Finding {
            required: false,
            ..finding(
                "grants: the list of revocations is signed in time",
                known.failure(),
            )
        }])?;
    }
    Ok(())
}

/// As the configuration says, but that the start probes nothing: that is done afterwards, and then a signal leaves nothing behind.
fn without_probes(config: &Config) -> Arc<Config> {
    let mut config = config.clone();
    for upstream in std::iter::once(&mut config.upstream).chain(config.state.upstream.as_mut()) {
        if upstream.checksum_trailer == ChecksumTrailer::Auto {
            upstream.checksum_trailer = ChecksumTrailer::Never;
        }
    }
    Arc::new(config)
}

async fn unless_stopped<T>(
    signals: &mut StopSignals,
    question: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        answer = question => Ok(answer),
        () = signals.received() => bail!("interrupted"),
    }
}

/// Waits for an answer, and says now and then for whose.
async fn patiently<T>(whose: &str, question: impl Future<Output = T>) -> T {
    let mut question = std::pin::pin!(question);
    let begun = Instant::now();
    loop {
        tokio::select! {
            answer = &mut question => return answer,
            () = tokio::time::sleep(PATIENCE) => output::note(&format!(
                "still waiting for {whose}, {} s by now",
                begun.elapsed().as_secs()
            )),
        }
    }
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

fn as_text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
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
            as_text(&findings()),
            "ok       a\nmissing  b: is not honoured\nFAILED   c: does not answer"
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
    fn secrets_that_others_can_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["key", "secret"] {
            std::fs::write(path(name), "a secret of the test").unwrap();
        }
        let text = "deployment = 'test'\n[listener]\naddress = '127.0.0.1:0'\n\
             [upstream]\nendpoint = 'http://127.0.0.1:9'\nregion = 'r'\n\
             [[key_service]]\ntype = 'local'\nfile = 'key'\n\
             [[identity]]\nname = 'test'\n\
             [[identity.credential]]\naccess_key_id = 'client'\nsecret_access_key = 'file:secret'\n\
             [[policy.rule]]\nid = 'odd'\nidentities = ['tset']\nallow = ['reader']\nbuckets = ['photos']\n\
             [credentials]\ndirectory = 'nowhere'\n";
        std::fs::write(path("sealgate.toml"), text).unwrap();
        let config = Arc::new(Config::load(&path("sealgate.toml")).unwrap());
        let with_mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path("secret"), mode).unwrap();
            open_secrets(&config)
        };
        for mode in [0o600, 0o640, 0o400] {
            assert!(with_mode(mode).is_none(), "{mode:o}");
        }
        for mode in [0o644, 0o666, 0o660, 0o602] {
            let finding = with_mode(mode).unwrap();
            assert!(
                !finding.required && finding.detail.contains("secret_access_key"),
                "{finding:?}"
            );
        }
        // What else is odd, and keeps no gateway from working.
        let findings = local_findings(&config);
        for odd in ["tset", "nowhere"] {
            let is_about_it = |finding: &&Finding| finding.detail.contains(odd);
            let finding = findings.iter().find(is_about_it).expect(odd);
            assert!(!finding.required && !finding.supported, "{finding:?}");
        }
    }

    #[test]
    fn the_document_has_all_of_them() {
        let document: serde_json::Value =
            serde_json::from_str(&as_json(false, &[], &findings()).unwrap()).unwrap();
        assert_eq!(document["works"], false);
        assert_eq!(document["findings"][2]["detail"], "does not answer");
    }
}
