//! The annotated example: it loads, and it shows every key that is known.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const EXAMPLE: &str = include_str!("../../sealgate.example.toml");

/// The files that the example names.
const FILES: [&str; 25] = [
    "lists-ca.pem",
    "hooks-ca.pem",
    "ca.pem",
    "gateway.pem",
    "gateway-key.pem",
    "audit.key",
    "audit-commands.key",
    "server.pem",
    "server-key.pem",
    "clients-ca.pem",
    "storage-ca.pem",
    "storage-client.pem",
    "storage-client-key.pem",
    "kms-ca.pem",
    "vault-ca.pem",
    "vault-client.pem",
    "vault-client-key.pem",
    "laptop.key",
    "secrets/storage-session-token",
    "secrets/state",
    "secrets/app-2",
    "secrets/session",
    "ci-ca.pem",
    "libvendor-pkcs11.so",
    "secrets/pin",
];

#[test]
fn the_example_loads_and_its_defaults_are_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("secrets")).unwrap();
    for file in FILES {
        std::fs::write(
            directory.path().join(file),
            "a-secret-in-a-file-of-the-example\n",
        )
        .unwrap();
    }
    std::fs::write(directory.path().join("cluster-jwks.json"), JWKS).unwrap();
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let policy = "forbid (principal, action, resource) when { !context.tls };";
    std::fs::write(policies.join("tls.cedar"), policy).unwrap();
    let environment = |name: &str| {
        EXAMPLE
            .contains(&format!("\"env:{name}\""))
            .then(|| format!("value of the variable {name}"))
    };
    let surroundings = Surroundings {
        directory: directory.path(),
        environment: &environment,
    };
    let config = Config::parse(EXAMPLE, surroundings).unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(config.limits, LimitsConfig::default());
    let [
        KeyServiceConfig::AwsKms(kms),
        KeyServiceConfig::VaultTransit(vault),
        KeyServiceConfig::Pkcs11(pkcs11),
        KeyServiceConfig::Local { .. },
    ] = config.key_services.as_slice()
    else {
        panic!("{:?}", config.key_services)
    };
    assert_eq!(kms.timeouts, KeyServiceTimeouts::default());
    assert_eq!(vault.timeouts, KeyServiceTimeouts::default());
    assert_eq!(pkcs11.timeout, KeyServiceTimeouts::default().operation);
    assert_eq!(config.identities[0].credentials.len(), 2);
    assert!(config.state.upstream.is_some());
    assert_eq!(config.domain_for("logs-eu", "audit/1").name, "acme/audit");
    assert_eq!(
        config.domain_for("logs-eu", "other").name,
        "0f3c7a5e9b1d4c62a8e0f1b2c3d4e5f6/logs-eu"
    );
    assert_eq!(
        config.policy.as_ref().unwrap().warnings(),
        Vec::<String>::new()
    );
    assert!(config.is_migrating("photos", "before-2026/a"));
    assert!(!config.is_migrating("photos", "a"));
}

/// A public key that nobody has the private one of any more.
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"1","x":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"}]}"#;

/// Every table there is, each with one key too many.
const STRANGE: &str = r#"
strange = 1
[listener]
strange = 1
tls = { strange = 1 }
[admin]
strange = 1
tls = { strange = 1 }
[upstream]
strange = 1
credentials = { strange = 1 }
client_certificate = { strange = 1 }
[state]
strange = 1
[[key_service]]
type = "aws-kms"
strange = 1
timeouts = { strange = 1 }
[[key_service]]
type = "vault-transit"
strange = 1
client_certificate = { strange = 1 }
login = { method = "token", strange = 1 }
[[key_service]]
type = "vault-transit"
login = { method = "approle", strange = 1 }
[[key_service]]
type = "vault-transit"
login = { method = "kubernetes", strange = 1 }
[[key_service]]
type = "pkcs11"
strange = 1
[[key_service]]
type = "local"
strange = 1
[recovery]
strange = 1
[credentials]
strange = 1
[[identity]]
strange = 1
limits = { strange = 1 }
[[identity.credential]]
strange = 1
[sessions]
strange = 1
[[role]]
strange = 1
[[role.web_identity]]
strange = 1
[[web_identity_provider]]
strange = 1
[[anonymous]]
strange = 1
[policy]
strange = 1
[[policy.rule]]
strange = 1
[[domain]]
strange = 1
[[migrating]]
strange = 1
[limits]
strange = 1
per_identity = { strange = 1 }
per_address = { strange = 1 }
[log]
strange = 1
[grants]
strange = 1
[[grants.approver]]
strange = 1
[grants.revocations]
strange = 1
[grants.notify]
strange = 1
[audit]
strange = 1
[audit.receiver]
strange = 1
[audit.commands]
strange = 1
"#;

#[test]
fn every_known_key_is_in_the_example() {
    let nothing = |_: &str| None;
    let surroundings = Surroundings {
        directory: Path::new("/nonexistent"),
        environment: &nothing,
    };
    let problems = Config::parse(STRANGE, surroundings).unwrap_err().problems;
    let strange: Vec<_> = problems
        .iter()
        .filter(|problem| problem.message == "unknown key")
        .collect();
    assert_eq!(
        strange.len(),
        STRANGE.matches("strange").count(),
        "a table is read without looking for unknown keys"
    );

    let known: BTreeSet<&str> = strange
        .iter()
        .flat_map(|problem| {
            problem
                .fix
                .split_once("known here: ")
                .unwrap()
                .1
                .split(", ")
        })
        .collect();
    assert!(known.len() > 40, "{known:?}");
    for key in known {
        let shown = EXAMPLE.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{key} = "))
                || line.contains(&format!("{{ {key} = "))
                || line.contains(&format!(", {key} = "))
                || line.trim_matches(['[', ']']).rsplit('.').next() == Some(key)
        });
        assert!(shown, "{key} is not in sealgate.example.toml");
    }
}

/// What fuzzing begins with: a seed that is refused shows it nothing of what comes behind.
#[test]
fn the_seeds_of_fuzzing_load_and_one_has_every_key_of_the_example() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let directory = fuzz.join("surroundings");
    for seed in ["smallest", "full", "other-choices"] {
        let text = std::fs::read_to_string(fuzz.join("seeds/config").join(seed)).unwrap();
        let environment = |name: &str| {
            let is_named = text.contains(&format!("env:{name}"));
            is_named.then(|| "q7Jx0vWn4Rk2Tz9LbY6cE1sHu8Mf5Pd3".to_owned())
        };
        let surroundings = Surroundings {
            directory: &directory,
            environment: &environment,
        };
        Config::parse(&text, surroundings).unwrap_or_else(|error| panic!("{seed}: {error}"));
        if seed == "full" {
            let key = |line: &str| line.split(" = ").next().map(str::to_owned);
            let keys = |text: &str| -> BTreeSet<_> { text.lines().filter_map(key).collect() };
            let shown = keys(EXAMPLE);
            let lost: Vec<_> = shown
                .iter()
                .filter(|key| !key.is_empty() && !key.starts_with('#'))
                .filter(|key| !keys(&text).contains(*key))
                .collect();
            assert!(lost.is_empty(), "{lost:?}");
        }
    }
}
