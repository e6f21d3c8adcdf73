//! For `sealgate check`: whether `[audit]` would do, found out before a start. A gateway may be writing the log meanwhile: nothing of it is
//! changed, and the receiver is only asked for what it publishes.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use sealgate_audit::{Directory, VerifyingKey, writer};

use super::{
    pusher::{Link, Unpublished, bytes_from},
    signing_key,
};
use crate::certificate_validity::CertificateValidity;
use crate::config::{AuditConfig, OnFailure};
use crate::gateway::probe::Finding;

/// What can be found out without asking anybody.
pub fn local_findings(config: &AuditConfig) -> Vec<Finding> {
    let mut findings = of_log("audit", config);
    if let Some(commands) = config.for_commands() {
        findings.extend(of_log("audit.commands", &commands));
        if let (Ok(one), Ok(other)) = (public_key(config), public_key(&commands)) {
            let outcome = if one.name() == other.name() {
                Err(anyhow::anyhow!(
                    "audit.key has the name {one}, too: a log is known by it; make another with `sealgate audit keygen`",
                    one = one.name()
                ))
            } else {
                Ok(())
            };
            findings.push(finding(
                "audit.commands: the key has a name of its own",
                true,
                outcome,
            ));
        }
    } else {
        findings.push(Finding {
            property: "audit: commands that open keys can be recorded".to_owned(),
            supported: false,
            required: false,
            detail: "there is no [audit.commands], so `sealgate export`, `recovery open`, `drill` and the like refuse to run with this configuration".to_owned(),
        });
    }
    let Some(receiver) = &config.receiver else {
        findings.push(Finding {
            property: "audit: another machine has a copy".to_owned(),
            supported: false,
            required: false,
            detail: "there is no [audit.receiver]: whoever has this disk and the key can write the log anew".to_owned(),
        });
        return findings;
    };
    let Ok(key) = public_key(config) else {
        return findings;
    };
    match Link::new(key, receiver) {
        Ok(link) => {
            findings.push(finding(
                "audit.receiver: certificate, key and authorities can be used",
                true,
                good_now(&receiver.client_certificate.certificate),
            ));
            findings.push(finding(
                "audit.receiver: what waits is within the spool",
                config.on_failure == OnFailure::Deny,
                within_spool(config, &link, receiver.spool),
            ));
        }
        Err(error) => findings.push(finding(
            "audit.receiver: certificate, key and authorities can be used",
            true,
            Err(error),
        )),
    }
    let least = receiver.spool.saturating_add(receiver.keep);
    findings.extend(room(&config.directory, least));
    findings
}

/// What the receiver says of the logs.
pub async fn remote_findings(config: &AuditConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let commands = config.for_commands();
    let logs = [
        ("audit", Some(config)),
        ("audit.commands", commands.as_ref()),
    ];
    for (table, config) in logs {
        let Some((config, receiver)) =
            config.and_then(|config| Some((config, config.receiver.as_ref()?)))
        else {
            continue;
        };
        // What is wrong with these was found before.
        let Ok(link) = public_key(config).and_then(|key| Link::new(key, receiver)) else {
            continue;
        };
        let property = format!("{table}: the receiver takes this log");
        findings.push(match link.published().await {
            // It was asked before the files are read: a log that is being written is never behind it.
            Ok(size) => finding(&property, true, not_behind(config, size)),
            Err(Unpublished::Contradiction(what)) => finding(
                &property,
                true,
                Err(anyhow::anyhow!("{what}; compare public_key with the receiver's, and the receiver's --log with this log's public key")),
            ),
            Err(Unpublished::Away(what)) => finding(
                &property,
                false,
                Err(anyhow::anyhow!("{what}; records wait for it, up to audit.receiver.spool")),
            ),
        });
    }
    findings
}

fn of_log(table: &str, config: &AuditConfig) -> Vec<Finding> {
    let key = public_key(config);
    let mut findings = vec![
        finding(
            &format!("{table}: the signing key can be used"),
            true,
            key.as_ref()
                .map(drop)
                .map_err(|error| anyhow::anyhow!("{error:#}")),
        ),
        finding(
            &format!("{table}: the directory can be written"),
            true,
            writable(&config.directory),
        ),
    ];
    if let Ok(key) = key {
        let directory = Directory::new(&config.directory);
        findings.push(finding(
            &format!("{table}: the log is what this key signed"),
            true,
            writer::inspect(&directory, &key)
                .map(drop)
                .map_err(Into::into),
        ));
    }
    findings
}

fn finding(property: &str, required: bool, outcome: anyhow::Result<()>) -> Finding {
    Finding {
        property: property.to_owned(),
        supported: outcome.is_ok(),
        required,
        detail: outcome
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default(),
    }
}

fn public_key(config: &AuditConfig) -> anyhow::Result<VerifyingKey> {
    Ok(signing_key(config.key.expose())?.public().clone())
}

/// The receiver refuses a certificate that is not.
fn good_now(certificate: &Path) -> anyhow::Result<()> {
    let fault = CertificateValidity::of_file(certificate)?.fault();
    fault.map_or(Ok(()), |fault| bail!("{}: {fault}", certificate.display()))
}

/// A file without a name leaves nothing behind, whatever happens.
fn writable(directory: &Path) -> anyhow::Result<()> {
    let segments = Directory::new(directory).segments_directory();
    for place in [nearest(directory), nearest(&segments)] {
        ensure!(place.is_dir(), "{} is no directory", place.display());
        tempfile::tempfile_in(place)
            .with_context(|| format!("{} can't be written", place.display()))?;
    }
    Ok(())
}

/// The directory, or else the one in which it would be made.
fn nearest(path: &Path) -> &Path {
    let existing = path.ancestors().find(|path| path.exists());
    existing
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn within_spool(config: &AuditConfig, link: &Link, spool: u64) -> anyhow::Result<()> {
    let directory = Directory::new(&config.directory);
    if !directory.segments_directory().exists() {
        return Ok(());
    }
    let waits = bytes_from(&directory, link.acknowledged(&directory))?;
    ensure!(
        waits <= spool,
        "{waits} bytes wait for the receiver, and spool is {spool}: bring the receiver back first, or give it more"
    );
    Ok(())
}

fn not_behind(config: &AuditConfig, received: u64) -> anyhow::Result<()> {
    let key = public_key(config)?;
    let size = writer::inspect(&Directory::new(&config.directory), &key)?;
    ensure!(
        size >= received,
        "ALARM: the receiver has {received} records of this log, and {} has {size}: it was rolled back, or this is another machine's key. Do not start the gateway; docs/audit.md says how to go on",
        config.directory.display()
    );
    Ok(())
}

/// Whether the disk has room for all that may lie on it.
#[cfg(target_os = "linux")]
fn room(directory: &Path, least: u64) -> Option<Finding> {
    let place = nearest(directory);
    let disk = rustix::fs::statvfs(place).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = Directory::new(directory).segments().map_or(0, |segments| {
        let lengths = segments
            .iter()
            .filter_map(|segment| Some(segment.path.metadata().ok()?.len()));
        lengths.sum()
    });
    let outcome = if free.saturating_add(used) >= least {
        Ok(())
    } else {
        Err(anyhow::anyhow!(
            "{free} bytes are free on the disk of {}, and spool and keep together are {least}: a full disk stops the gateway before the spool does",
            place.display()
        ))
    };
    Some(finding(
        "audit: the disk has room for spool and keep",
        false,
        outcome,
    ))
}

#[cfg(not(target_os = "linux"))]
fn room(_directory: &Path, _least: u64) -> Option<Finding> {
    None
}

#[cfg(test)]
mod tests {
    use sealgate_audit::{Purpose, SigningKey};

    use super::*;
    use crate::config::{Config, ConfigError};

    fn config(place: &Path, more: &str) -> Result<Config, ConfigError> {
        let text = format!(
            "deployment = \"0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6\"\n[listener]\naddress = \"127.0.0.1:0\"\n[upstream]\nendpoint = \"http://127.0.0.1:9\"\nregion = \"r\"\n[[key_service]]\ntype = \"local\"\nfile = \"k\"\n[[identity]]\nname = \"a\"\n[[identity.credential]]\naccess_key_id = \"SGAPPEXAMPLE\"\nsecret_access_key = \"file:secret\"\n[audit]\ndirectory = \"audit\"\nkey = \"file:audit.key\"\n{more}"
        );
        std::fs::write(place.join("k"), "k").unwrap();
        std::fs::write(place.join("secret"), "a secret of some length").unwrap();
        std::fs::write(place.join("sealgate.toml"), text).unwrap();
        Config::load(&place.join("sealgate.toml"))
    }

    fn key(place: &Path, name: &str, purpose: Purpose) -> SigningKey {
        let key = SigningKey::generate("example.com/one", purpose).unwrap();
        std::fs::write(place.join(name), key.to_text()).unwrap();
        key
    }

    /// The required findings that fail: property and detail.
    fn failures(place: &Path, more: &str) -> Vec<(String, String)> {
        let config = config(place, more).unwrap();
        let findings = local_findings(config.audit.as_ref().unwrap());
        let fails = |finding: &Finding| finding.required && !finding.supported;
        findings
            .into_iter()
            .filter(fails)
            .map(|finding| (finding.property, finding.detail))
            .collect()
    }

    #[test]
    fn a_certificate_for_the_receiver_that_ended_is_found() {
        use crate::certificate_validity::tests::ending_in_days;

        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        key(place, "audit.key", Purpose::Log);
        let receiver = SigningKey::generate("example.com/receiver", Purpose::Cosigner).unwrap();
        let more = format!(
            "[audit.receiver]\nendpoint = \"https://127.0.0.1:9\"\npublic_key = \"{}\"\nca_file = \"c.pem\"\nclient_certificate = {{ certificate = \"c.pem\", key = \"c-key.pem\" }}\n",
            receiver.public()
        );
        let found = |days| {
            let (certificate, key) = ending_in_days(days);
            std::fs::write(place.join("c.pem"), certificate).unwrap();
            std::fs::write(place.join("c-key.pem"), key).unwrap();
            failures(place, &more)
        };
        assert_eq!(found(20), []);
        let ended = found(-1);
        assert!(ended[0].1.contains("ended at"), "{ended:?}");
    }

    #[test]
    fn contradictions_are_found_without_touching_anything() {
        let place = tempfile::tempdir().unwrap();
        key(place.path(), "audit.key", Purpose::Log);
        assert_eq!(failures(place.path(), ""), []);
        assert!(!place.path().join("audit").exists());

        // The key of a receiver.
        key(place.path(), "audit.key", Purpose::Cosigner);
        let found = failures(place.path(), "");
        assert!(found[0].1.contains("key of a receiver"), "{found:?}");

        // A log that another key signed.
        let first = key(place.path(), "audit.key", Purpose::Log);
        let directory = Directory::new(place.path().join("audit"));
        writer::Log::open(writer::LogOptions::new(directory, first))
            .unwrap()
            .close();
        assert_eq!(failures(place.path(), ""), []);
        key(place.path(), "audit.key", Purpose::Log);
        let found = failures(place.path(), "");
        assert!(found[0].0.contains("this key signed"), "{found:?}");

        // A file where the directory should be.
        std::fs::remove_dir_all(place.path().join("audit")).unwrap();
        std::fs::write(place.path().join("audit"), "").unwrap();
        let found = failures(place.path(), "");
        assert!(
            found.iter().any(|(_, why)| why.contains("no directory")),
            "{found:?}"
        );
    }
}
