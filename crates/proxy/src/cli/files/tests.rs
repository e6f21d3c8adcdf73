//! Files that are sealed and opened with the keys of a deployment.

use std::path::Path;

use clap::Parser;
use sealgate_audit::{Purpose, SigningKey};
use sealgate_envelope::key_service::local::LocalKeyService;
use tempfile::TempDir;

use super::super::{
    open::{self, OpenArguments},
    seal::{self, SealArguments},
};
use crate::config::Config;

/// The arguments of a command, as they are typed.
#[derive(Parser)]
struct CommandLine<A: clap::Args> {
    #[command(flatten)]
    arguments: A,
}

fn arguments<A: clap::Args>(words: &[&str]) -> A {
    CommandLine::parse_from([&["-"], words].concat()).arguments
}

/// A configuration with an audit log, and `more`.
fn configured(more: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    LocalKeyService::create(path("key")).unwrap();
    for name in ["audit", "commands"] {
        let key = SigningKey::generate(&format!("example.com/{name}"), Purpose::Log).unwrap();
        std::fs::write(path(&format!("{name}.key")), key.to_text()).unwrap();
    }
    std::fs::write(path("secret"), "a secret of the test").unwrap();
    let text = format!(
        "deployment = 'test'\n[listener]\naddress = '127.0.0.1:0'\n\
         [upstream]\nendpoint = 'http://127.0.0.1:9'\nregion = 'r'\n\
         [[key_service]]\ntype = 'local'\nfile = 'key'\n\
         [[identity]]\nname = 'test'\n\
         [[identity.credential]]\naccess_key_id = 'client'\nsecret_access_key = 'file:secret'\n\
         [audit]\ndirectory = 'audit'\nkey = 'file:audit.key'\n{more}"
    );
    std::fs::write(path("sealgate.toml"), text).unwrap();
    std::fs::write(path("notes"), "my notes").unwrap();
    place
}

fn seal_then_open(place: &Path) -> (anyhow::Result<()>, anyhow::Result<()>) {
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let config = || Some(Config::load(&place.join("sealgate.toml")).unwrap());
    let by = path("sealgate.toml");
    let words = ["--config", &by, &path("notes")];
    let sealed = seal::seal(arguments::<SealArguments>(&words), config());
    let words = ["--config", &by, &path("notes.sealed"), &path("opened")];
    let opened = open::open(arguments::<OpenArguments>(&words), config());
    (sealed, opened)
}

#[test]
fn the_keys_of_a_deployment_are_not_used_unrecorded() {
    let place = configured("");
    let (sealed, opened) = seal_then_open(place.path());
    for outcome in [sealed, opened] {
        let error = format!("{:#}", outcome.unwrap_err());
        assert!(error.contains("[audit.commands]"), "{error}");
    }
    assert!(!place.path().join("notes.sealed").exists());
}

#[test]
fn files_are_recorded_in_the_log_of_commands() {
    let place = configured("[audit.commands]\ndirectory = 'log'\nkey = 'file:commands.key'\n");
    let (sealed, opened) = seal_then_open(place.path());
    sealed.unwrap();
    opened.unwrap();
    let content = std::fs::read(place.path().join("opened")).unwrap();
    assert_eq!(content, b"my notes");
    let log = sealgate_audit::Directory::new(place.path().join("log"));
    let segments = log.segments().unwrap().into_iter();
    let text: String = segments
        .map(|segment| std::fs::read_to_string(segment.path).unwrap())
        .collect();
    for (operation, file, action) in [
        ("sealgate seal", "notes", "encrypt"),
        ("sealgate open", "notes.sealed", "decrypt"),
    ] {
        let key = place.path().join(file).display().to_string();
        let is_intent = |line: &&str| {
            [operation, &key, action]
                .iter()
                .all(|value| line.contains(&format!("\"{value}\"")))
        };
        assert_eq!(text.lines().filter(is_intent).count(), 1, "{text}");
    }
}
