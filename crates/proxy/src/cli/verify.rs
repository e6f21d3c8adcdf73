//! `sealgate verify`: whether everything that is stored is well.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use super::pace::tell;
use super::service::StopSignals;
use super::walk::WalkArguments;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::migration::PermitIssuer;
use crate::scan::{Checked, Finding, Findings, Verification, Walked};

/// Verify what is stored: its structure without keys, or every byte with them
///
/// Looks at each object, at the registry records of the working keys and at the records of open uploads, and names what
/// is not well, each with what to do. Without --deep no key is asked for: headers, lengths, commit regions, wraps and
/// records have to fit together. With --deep every byte is opened as for a client, and compared with the checksums that
/// are kept. --bucket and --prefix choose objects; records of working keys and of uploads are always looked at, all of them.
///
/// Nothing is written, so it may run beside gateways, at any time. The exit status is 0 only if everything was seen and is
/// well.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate verify\n  sealgate verify --deep --bucket photos --rate 50MiB\n  sealgate verify --deep --versions --json --resume-from photos/2019/a.jpg"
)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    of: WalkArguments,

    /// Open every byte under its key
    #[arg(long)]
    deep: bool,

    /// Look at all versions, and not only at the current ones
    #[arg(long)]
    versions: bool,
}

/// What a run has seen.
#[derive(Debug, Default)]
struct Report {
    deep: bool,
    objects: u64,
    bytes: u64,
    clear: u64,
    gone: u64,
    /// Records in state buckets of others, by bucket.
    of_others: BTreeMap<String, u64>,
    registry_records: u64,
    open_uploads: u64,
    findings: Findings,
    key_services_away: Vec<(String, String)>,
}

pub(super) fn run(arguments: &VerifyArguments) -> anyhow::Result<()> {
    arguments.of.run(
        arguments.deep.then_some("sealgate verify --deep"),
        |config, signals, permit| verify(arguments, config, signals, permit),
    )
}

async fn verify(
    arguments: &VerifyArguments,
    config: Config,
    mut signals: StopSignals,
    permit: Option<PermitIssuer>,
) -> anyhow::Result<()> {
    if arguments.deep {
        config.require_decryption()?;
    }
    let gateway = Gateway::observer(config).await?;
    let (pace, progress) = arguments.of.start("verify");
    let verification = Verification::prepare(Arc::clone(&gateway), permit, Arc::clone(&pace));
    let mut report = Report {
        deep: arguments.deep,
        ..Report::default()
    };
    let add = |report: &mut Report, finding: Finding| {
        tell(&progress, &as_line(&finding));
        report.findings.add(finding);
    };
    let (records, uploads) = verification
        .check_records(|_, findings| {
            for finding in findings {
                add(&mut report, finding);
            }
        })
        .await?;
    (report.registry_records, report.open_uploads) = (records, uploads);
    let visit = {
        let verification = Arc::clone(&verification);
        move |item| {
            let verification = Arc::clone(&verification);
            async move { verification.check(&item).await }
        }
    };
    let walk = arguments.of.walk(arguments.versions);
    let walked = walk
        .run(
            &gateway,
            &pace,
            signals.received(),
            visit,
            |item, checked| {
                report.objects += 1;
                progress.advance(1);
                match checked {
                    Checked::Well(bytes) => report.bytes += bytes,
                    Checked::Clear => report.clear += 1,
                    Checked::Gone => report.gone += 1,
                    Checked::OtherState => {
                        *report.of_others.entry(item.bucket.clone()).or_default() += 1;
                    }
                    Checked::Faulty(findings) => {
                        for finding in findings {
                            add(&mut report, finding);
                        }
                    }
                }
            },
        )
        .await?;
    progress.finish();
    report.key_services_away = verification.key_services_away();
    arguments
        .of
        .print(|| as_json(&walked, &report), || as_text(&walked, &report))?;
    ensure!(
        report.findings.count == 0,
        "{} findings; each is named above",
        report.findings.count
    );
    ensure!(walked.is_complete, "{}", walked.how_to_go_on());
    arguments.of.require_some(report.objects)
}

fn as_line(finding: &Finding) -> String {
    let version = finding
        .version_id
        .as_deref()
        .map_or_else(String::new, |id| format!(" version {id}"));
    format!(
        "sealgate: {:?}{version}: {}: {}; {}",
        format!("{}/{}", finding.bucket, finding.key),
        finding.class.name(),
        finding.cause,
        finding.class.fix()
    )
}

fn as_json(walked: &Walked, report: &Report) -> serde_json::Value {
    let findings = report.findings.kept.iter().map(|finding| {
        json!({
            "bucket": finding.bucket,
            "key": finding.key,
            "version_id": finding.version_id,
            "class": finding.class.name(),
            "cause": finding.cause,
            "fix": finding.class.fix(),
        })
    });
    let away = report
        .key_services_away
        .iter()
        .map(|(name, cause)| json!({ "name": name, "cause": cause }));
    json!({
        "deep": report.deep,
        "complete": walked.is_complete,
        "last": walked.last,
        "buckets": walked.buckets,
        "objects": report.objects,
        "bytes": report.bytes,
        "in_the_clear_where_migrating": report.clear,
        "deleted_meanwhile": report.gone,
        "records_of_other_deployments": report.of_others,
        "registry_records": report.registry_records,
        "open_uploads": report.open_uploads,
        "key_services_away": away.collect::<Vec<_>>(),
        "findings_count": report.findings.count,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn as_text(walked: &Walked, report: &Report) -> String {
    let how = if report.deep && report.findings.count > 0 {
        format!(
            "{} bytes of plaintext opened; what did not open is named below",
            report.bytes
        )
    } else if report.deep {
        format!("every byte opened, {} of plaintext", report.bytes)
    } else {
        "structure only; --deep opens every byte".to_owned()
    };
    let mut lines = vec![
        format!(
            "{} objects in {} buckets ({how})",
            report.objects,
            walked.buckets.len()
        ),
        format!(
            "{} working keys and {} open uploads on record",
            report.registry_records, report.open_uploads
        ),
    ];
    if report.clear > 0 {
        lines.push(format!(
            "{} objects are in the clear, where that is allowed",
            report.clear
        ));
    }
    if report.gone > 0 {
        lines.push(format!("{} were deleted meanwhile", report.gone));
    }
    for (bucket, count) in &report.of_others {
        lines.push(format!(
            "{bucket} is the state bucket of another deployment: leave its {count} records alone; if there is no other deployment, `deployment` in this configuration is not what it was"
        ));
    }
    for (name, cause) in &report.key_services_away {
        lines.push(format!(
            "the key service {name} could not be used, so what only it opens was not checked: {cause}"
        ));
    }
    lines.push(match report.findings.count {
        0 if walked.is_complete && report.objects == 0 => "no object was looked at".to_owned(),
        0 if walked.is_complete => "everything is well".to_owned(),
        count => format!("{count} findings"),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Class;

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let finding = Finding {
            bucket: "photos".to_owned(),
            key: "a\nb".to_owned(),
            version_id: Some("v1".to_owned()),
            class: Class::Length,
            cause: "too short".to_owned(),
        };
        let line = as_line(&finding);
        assert!(
            line.starts_with(r#"sealgate: "photos/a\nb" version v1: length: too short; restore"#),
            "{line}"
        );
        let mut report = Report::default();
        report.findings.add(finding);
        let walked = Walked {
            buckets: vec!["photos".to_owned()],
            is_complete: true,
            last: Some("photos/z".to_owned()),
        };
        let document = as_json(&walked, &report);
        assert_eq!(document["findings"][0]["class"], "length");
        assert_eq!(document["last"], "photos/z");
        assert!(as_text(&walked, &report).ends_with("1 findings"));
    }
}
