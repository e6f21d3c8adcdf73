//! `sealgate export`: the data back, in files or in another bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use serde_json::json;

use super::bucket::BucketArguments;
use super::pace::{PaceArguments, tell};
use crate::config::{
    Addressing, ChecksumTrailer, Config, CredentialSource, DEFAULT_LARGEST_COPY, Endpoint,
    UpstreamConfig,
};
use crate::gateway::{self, Gateway};
use crate::migration::PermitIssuer;
use crate::migration::export::{Bucket, Destination, Export, ExportReport, ExportSettings};
use crate::upstream::DocumentMemory;

/// Decrypt a bucket to files, or to another bucket
///
/// Every object is verified while it streams; nothing that did not verify, and nothing partial, appears under its name.
/// Keys become paths below the directory, escaped where they would be unsafe; the journal says which key is in which
/// file, with its content headers, metadata, tags and SHA-256. Run again, the command goes on where it stopped, and takes
/// what has changed since.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("target").required(true).args(["to_directory", "to_bucket"]),
    after_help = "Examples:\n  sealgate export --bucket photos --to-directory ./photos\n  sealgate export --bucket photos --to-bucket photos-clear\n  sealgate export --bucket photos --to-bucket photos --to-endpoint https://s3.example.org --to-region eu-1\n  sealgate export --bucket photos --to-bucket photos --to-config other.toml"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    of: BucketArguments,

    /// Older versions too, as NAME%@VERSION beside the current ones
    #[arg(long, conflicts_with = "to_bucket")]
    versions: bool,

    /// Write files below this directory
    #[arg(long, value_name = "DIRECTORY")]
    to_directory: Option<PathBuf>,

    /// Write to this bucket, in the clear unless --to-config is given
    #[arg(long, value_name = "NAME")]
    to_bucket: Option<String>,

    /// The storage of the target bucket. Default: that of the configuration, with its credentials
    #[arg(
        long,
        value_name = "URL",
        requires = "to_bucket",
        conflicts_with = "to_config"
    )]
    to_endpoint: Option<String>,

    /// Its region
    #[arg(
        long,
        value_name = "NAME",
        default_value = "us-east-1",
        requires = "to_endpoint"
    )]
    to_region: String,

    /// The profile of the AWS configuration files with its credentials. Default: the standard AWS chain
    #[arg(long, value_name = "NAME", requires = "to_endpoint")]
    to_profile: Option<String>,

    /// Allow an http:// endpoint on another machine: the data crosses the network in the clear
    #[arg(long, requires = "to_endpoint")]
    allow_plaintext: bool,

    /// Seal the objects in the target bucket as this other configuration says
    #[arg(long, value_name = "FILE", requires = "to_bucket")]
    to_config: Option<PathBuf>,

    /// The journal of an export to a bucket. Default: sealgate-export-BUCKET-TARGET.jsonl
    #[arg(long, value_name = "FILE", requires = "to_bucket")]
    journal: Option<PathBuf>,

    /// Replace files or objects at the target that are not of this export
    #[arg(long)]
    overwrite: bool,

    /// Say what would be exported, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &ExportArguments) -> anyhow::Result<()> {
    let interrupted = "interrupted: what is complete stays, and another run goes on";
    arguments
        .of
        .run("sealgate export", interrupted, |config, permit| {
            export(arguments, config, permit)
        })
}

async fn export(
    arguments: &ExportArguments,
    config: Config,
    permit: PermitIssuer,
) -> anyhow::Result<()> {
    let settings = ExportSettings {
        bucket: arguments.of.bucket.clone(),
        prefix: arguments.of.prefix.clone(),
        start_after: arguments.of.resume_from.clone(),
        versions: arguments.versions,
        as_stored: false,
        dry_run: arguments.dry_run,
        concurrency: arguments.of.pace.concurrency(),
        part_length: arguments.of.parts.length(),
    };
    let destination = destination(arguments, &config).await?;
    let gateway = Gateway::start(Arc::new(config)).await?;
    let report = carry_out(gateway, settings, destination, &arguments.of.pace, permit).await?;
    arguments.of.print(
        || as_json(&arguments.of.bucket, arguments.dry_run, &report),
        || as_text(arguments.dry_run, &report),
    )?;
    complete(&report)
}

/// Exports with a progress bar, above which every failure is named as soon as it happens.
pub(super) async fn carry_out(
    gateway: Arc<Gateway>,
    settings: ExportSettings,
    destination: Destination,
    pace: &PaceArguments,
    permit: PermitIssuer,
) -> anyhow::Result<ExportReport> {
    let (pace, progress) = pace.start(&settings.bucket);
    let export = Export::prepare(gateway, settings, destination, pace, permit).await?;
    let report = export.run(|entry, failure| {
        let (cause, fix) = (&failure.cause, failure.fix);
        tell(
            &progress,
            &format!("sealgate: {:?}: {cause}; {fix}", entry.key),
        );
    });
    let report = report.await;
    progress.finish();
    report
}

/// Refuses an end in which an object is missing.
pub(super) fn complete(report: &ExportReport) -> anyhow::Result<()> {
    if report.failed > 0 {
        bail!("{} objects failed; each is named above", report.failed);
    }
    Ok(())
}

async fn destination(arguments: &ExportArguments, config: &Config) -> anyhow::Result<Destination> {
    let Some(name) = arguments.to_bucket.clone() else {
        return Ok(Destination::Directory {
            path: arguments.to_directory.clone().unwrap_or_default(),
            overwrite: arguments.overwrite,
        });
    };
    let journal = arguments.journal.clone().unwrap_or_else(|| {
        PathBuf::from(format!(
            "sealgate-export-{}-{name}.jsonl",
            arguments.of.bucket
        ))
    });
    let memory = DocumentMemory::new(config.limits.document_memory);
    let (upstream, gateway) = match (&arguments.to_config, &arguments.to_endpoint) {
        (Some(path), _) => {
            let gateway = sealing_gateway(path).await?;
            (gateway.upstream.clone(), Some(gateway))
        }
        (None, Some(endpoint)) => {
            let target = upstream_at(&Place {
                endpoint,
                region: &arguments.to_region,
                profile: arguments.to_profile.as_deref(),
                allow_plaintext: arguments.allow_plaintext,
            })?;
            let upstream = gateway::upstream(&target, &config.limits, &memory)
                .await
                .context("--to-endpoint")?;
            (upstream, None)
        }
        (None, None) => {
            let upstream = gateway::upstream(&config.upstream, &config.limits, &memory).await?;
            (upstream, None)
        }
    };
    let bucket = Bucket {
        upstream,
        name,
        gateway,
        overwrite: arguments.overwrite,
    };
    Ok(Destination::Bucket(Box::new(bucket), journal))
}

async fn sealing_gateway(path: &Path) -> anyhow::Result<Arc<Gateway>> {
    let config = Config::load(path)?;
    Gateway::start(Arc::new(config))
        .await
        .with_context(|| format!("{}", path.display()))
}

/// A storage that the command line names.
pub(super) struct Place<'a> {
    pub(super) endpoint: &'a str,
    pub(super) region: &'a str,
    pub(super) profile: Option<&'a str>,
    pub(super) allow_plaintext: bool,
}

/// The settings of its client.
pub(super) fn upstream_at(place: &Place<'_>) -> anyhow::Result<UpstreamConfig> {
    let endpoint = place.endpoint;
    let endpoint = Endpoint::parse(endpoint).with_context(|| {
        format!("{endpoint} is no endpoint; write scheme, host and port: https://s3.example.org")
    })?;
    let crosses_the_network =
        endpoint.scheme() == crate::config::Scheme::Http && !endpoint.is_loopback();
    if crosses_the_network && !place.allow_plaintext {
        bail!(
            "{endpoint} is plaintext http to another machine; use https, or say --allow-plaintext if the network is trusted"
        );
    }
    Ok(UpstreamConfig {
        endpoint,
        region: place.region.to_owned(),
        addressing: Addressing::Path,
        ca_file: None,
        client_certificate: None,
        largest_copy: DEFAULT_LARGEST_COPY,
        checksum_trailer: ChecksumTrailer::Never,
        credentials: CredentialSource::Chain {
            profile: place.profile.map(str::to_owned),
        },
    })
}

pub(super) fn as_text(dry_run: bool, report: &ExportReport) -> String {
    let ExportReport {
        exported,
        bytes,
        skipped,
        gone,
        renamed,
        failed,
        ..
    } = report;
    let word = if dry_run {
        "would be exported"
    } else {
        "exported"
    };
    let mut lines = vec![format!("{exported} objects {word}, {bytes} bytes")];
    for (count, what) in [
        (skipped, "were exported before"),
        (gone, "were deleted meanwhile"),
        (
            renamed,
            "have files of another name than their key; the journal says which",
        ),
        (failed, "failed"),
    ] {
        if *count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    lines.join("\n")
}

pub(super) fn as_json(bucket: &str, dry_run: bool, report: &ExportReport) -> serde_json::Value {
    let failures = report
        .failures
        .iter()
        .map(|(key, failure)| json!({ "key": key, "cause": failure.cause, "fix": failure.fix }));
    json!({
        "bucket": bucket,
        "dry_run": dry_run,
        "exported": report.exported,
        "bytes": report.bytes,
        "skipped": report.skipped,
        "deleted_meanwhile": report.gone,
        "renamed": report.renamed,
        "failed": report.failed,
        "failures": failures.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        let report = ExportReport {
            exported: 3,
            bytes: 10,
            renamed: 1,
            ..ExportReport::default()
        };
        assert_eq!(
            as_text(false, &report),
            "3 objects exported, 10 bytes\n1 have files of another name than their key; the journal says which"
        );
        assert_eq!(
            as_text(true, &ExportReport::default()),
            "0 objects would be exported, 0 bytes"
        );
    }
}
