//! What a bad configuration gets: every problem, each with its line and its fix.

use std::path::Path;

use super::*;

/// The smallest configuration, but for who may use it.
pub(super) const WITHOUT_IDENTITIES: &str = r#"
        deployment = "test"
        [listener]
        address = "127.0.0.1:0"
        [upstream]
        endpoint = "http://127.0.0.1:9000"
        region = "us-east-1"
        [[key_service]]
        type = "aws-kms"
        key = "alias/a"
        region = "eu-central-1"
    "#;

/// A configuration that is right; tests break it.
pub(super) const GOOD: &str = r#"deployment = "test-1"

[listener]
address = "127.0.0.1:0"

[upstream]
endpoint = "http://127.0.0.1:9000"
region = "us-east-1"
credentials = { access_key_id = "AKIA1", secret_access_key = "env:UPSTREAM_SECRET" }

[[key_service]]
type = "aws-kms"
key = "alias/sealgate"
region = "us-east-1"

[[identity]]
name = "app"

[[identity.credential]]
access_key_id = "app-1"
secret_access_key = "env:APP_SECRET"
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "UPSTREAM_SECRET" => Some("upstream-secret-value".to_owned()),
        "APP_SECRET" => Some("client-secret-value".to_owned()),
        "SHORT" => Some("short".to_owned()),
        _ => None,
    }
}

fn parse_in(directory: &Path, text: &str) -> Result<Config, ConfigError> {
    Config::parse(
        text,
        Surroundings {
            directory,
            environment: &environment,
        },
    )
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_in(Path::new("/nonexistent"), text)
}

/// `GOOD` with `from` replaced; the one problem that comes of it.
#[track_caller]
fn problem_of(from: &str, to: &str) -> Problem {
    assert!(
        GOOD.contains(from),
        "{from:?} is not in the good configuration"
    );
    let problems = parse(&GOOD.replacen(from, to, 1)).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[track_caller]
fn check(from: &str, to: &str, line: usize, key: &str, message: &str, fix: &str) {
    let problem = problem_of(from, to);
    assert_eq!(
        (problem.line, problem.key.as_str()),
        (Some(line), key),
        "{problem:?}"
    );
    assert!(problem.message.contains(message), "{problem:?}");
    assert!(problem.fix.contains(fix), "{problem:?}");
}

#[test]
fn a_good_configuration_has_its_values_and_defaults() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.deployment, "test-1");
    assert_eq!(config.listener.address.port(), 0);
    assert_eq!(
        config.upstream.endpoint.to_string(),
        "http://127.0.0.1:9000"
    );
    assert_eq!(config.upstream.addressing, Addressing::Path);
    let CredentialSource::Static(credentials) = &config.upstream.credentials else {
        panic!("not static")
    };
    assert_eq!(
        credentials.secret_access_key.expose(),
        "upstream-secret-value"
    );
    assert_eq!(config.state.bucket, default_state_bucket("test-1"));
    let [KeyServiceConfig::AwsKms(service)] = config.key_services.as_slice() else {
        panic!("not one AWS KMS")
    };
    assert!(matches!(
        service.credentials,
        CredentialSource::Chain { profile: None }
    ));
    assert_eq!(
        config.identities[0].credentials[0]
            .secret_access_key
            .expose(),
        "client-secret-value"
    );
    assert_eq!(config.limits, LimitsConfig::default());
    assert_eq!(config.log, LogConfig::default());
    assert_eq!(config.domain_for("photos", "x").name, "test-1/photos");
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", parse(GOOD).unwrap());
    assert!(!shown.contains("secret-value"), "{shown}");
}

#[test]
fn unknown_keys_name_the_known_ones() {
    check(
        "region",
        "regoin = 1\nregion",
        8,
        "upstream.regoin",
        "unknown key",
        "endpoint, client_certificate, region",
    );
    check(
        "[upstream]",
        "[upstraem]\n[upstream]",
        6,
        "upstraem",
        "unknown key",
        "upstream",
    );
    check(
        "name = \"app\"",
        "name = \"app\"\nrole = 1",
        18,
        "identity[0].role",
        "unknown key",
        "credential",
    );
    check(
        "\"AKIA1\",",
        "\"AKIA1\", token = 1,",
        9,
        "upstream.credentials.token",
        "unknown key",
        "session_token",
    );
}

#[test]
fn missing_keys_are_named_at_their_table() {
    check(
        "deployment = \"test-1\"\n",
        "",
        1,
        "deployment",
        "missing",
        "sealgate init",
    );
    check(
        "address = \"127.0.0.1:0\"\n",
        "",
        3,
        "listener.address",
        "missing",
        "127.0.0.1",
    );
    check(
        "name = \"app\"\n",
        "",
        16,
        "identity[0].name",
        "missing",
        "name",
    );
}

#[test]
fn all_problems_are_reported_at_once_in_order() {
    let text = GOOD
        .replace("us-east-1", "not a region")
        .replace("test-1", "")
        .replace("APP_SECRET", "NOT_SET");
    let error = parse(&text).unwrap_err();
    let lines: Vec<_> = error
        .problems
        .iter()
        .map(|problem| problem.line.unwrap())
        .collect();
    assert_eq!(lines, [1, 8, 14, 21], "{error}");
    assert!(error.to_string().contains(
        "line 21: identity[0].credential[0].secret_access_key: the environment variable NOT_SET"
    ));
}

#[test]
fn what_is_not_toml_is_named_by_line_without_quoting_it() {
    let error = parse("deployment = \"x\"\nsecret_access_key = hunter2 hunter2\n").unwrap_err();
    assert_eq!(error.problems[0].line, Some(2));
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn secrets_in_the_text_are_refused_and_not_repeated() {
    let problem = problem_of("env:APP_SECRET", "hunter2hunter2");
    assert_eq!(problem.line, Some(21));
    assert!(problem.fix.contains("env:NAME"), "{problem:?}");
    assert!(!format!("{problem:?}").contains("hunter2"));
}

#[test]
fn secrets_that_are_not_there_or_too_short_are_refused() {
    let key = "identity[0].credential[0].secret_access_key";
    check(
        "env:APP_SECRET",
        "file:no-such",
        21,
        key,
        "no-such",
        "put the secret",
    );
    check("env:APP_SECRET", "env:SHORT", 21, key, "too short", "8");
    check(
        "env:UPSTREAM_SECRET",
        "env:",
        9,
        "upstream.credentials.secret_access_key",
        "not set",
        "set",
    );
}

#[test]
fn secret_files_are_relative_to_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("app-secret"), "from-a-file\n").unwrap();
    let config = parse_in(
        directory.path(),
        &GOOD.replace("env:APP_SECRET", "file:app-secret"),
    )
    .unwrap();
    assert_eq!(
        config.identities[0].credentials[0]
            .secret_access_key
            .expose(),
        "from-a-file"
    );
}

#[test]
fn plaintext_over_a_network_is_refused_unless_allowed_beside_it() {
    let allow = "allow_plaintext = true";
    check(
        "http://127.0.0.1:9000",
        "http://storage:9000",
        7,
        "upstream.endpoint",
        "plaintext",
        allow,
    );
    check(
        "127.0.0.1:0",
        "0.0.0.0:8014",
        4,
        "listener.address",
        "plaintext",
        allow,
    );
    let with_kms = |line: &str| format!("key = \"alias/sealgate\"\n{line}");
    let kms_endpoint = with_kms("endpoint = \"http://kms:8000\"");
    check(
        "key = \"alias/sealgate\"",
        &kms_endpoint,
        14,
        "key_service[0].endpoint",
        "plaintext",
        allow,
    );
    for (from, to) in [
        (
            "http://127.0.0.1:9000\"",
            "http://storage:9000\"\nallow_plaintext = true",
        ),
        ("127.0.0.1:0\"", "0.0.0.0:8014\"\nallow_plaintext = true"),
        (
            "key = \"alias/sealgate\"",
            &with_kms("endpoint = \"http://kms:8000\"\nallow_plaintext = true"),
        ),
    ] {
        parse(&GOOD.replace(from, to)).unwrap();
    }
}

#[test]
fn contradictions_are_refused() {
    check(
        "http://127.0.0.1:9000\"",
        "https://storage\"\nallow_plaintext = true",
        6,
        "upstream",
        "contradicts an https endpoint",
        "remove allow_plaintext",
    );
    check(
        "region",
        "profile = \"a\"\nregion",
        10,
        "upstream.credentials",
        "contradict profile",
        "remove one",
    );
    check(
        "region",
        "addressing = \"virtual-host\"\nregion",
        6,
        "upstream",
        "IP address",
        "path",
    );
    check(
        "key = \"alias",
        "allow_plaintext = true\nkey = \"alias",
        11,
        "key_service[0]",
        "AWS's own endpoint",
        "remove",
    );
}

#[test]
fn key_services_need_their_keys() {
    check(
        "\"aws-kms\"",
        "\"aws\"",
        12,
        "key_service[0].type",
        "unknown value",
        "\"aws-kms\" or \"vault-transit\"",
    );
    check(
        "alias/sealgate\"\nregion = \"us-east-1\"",
        "alias/sealgate\"",
        11,
        "key_service[0]",
        "region",
        "ARN",
    );
    let arn = "key = \"arn:aws:kms:eu-west-1:1:key/x\"";
    let config =
        parse(&GOOD.replace("key = \"alias/sealgate\"\nregion = \"us-east-1\"", arn)).unwrap();
    let KeyServiceConfig::AwsKms(service) = &config.key_services[0] else {
        panic!("not AWS KMS")
    };
    assert_eq!(service.region, "eu-west-1");
}

#[test]
fn identities_are_unique() {
    let second = "\n[[identity]]\nname = \"app\"\n[[identity.credential]]\naccess_key_id = \"app-1\"\nsecret_access_key = \"env:APP_SECRET\"\n";
    let problems = parse(&format!("{GOOD}{second}")).unwrap_err().problems;
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "identity[1].name",
            "identity[1].credential[0].access_key_id"
        ]
    );
}

#[test]
fn limits_have_bounds_and_agree() {
    let with = |limits: &str| parse(&format!("{GOOD}\n[limits]\n{limits}\n"));
    let config =
        with("small_object = \"64 KiB\"\nidle_timeout = \"90s\"\nconcurrent_requests = 7").unwrap();
    assert_eq!(config.limits.small_object, 65_536);
    assert_eq!(
        config.limits.idle_timeout,
        std::time::Duration::from_secs(90)
    );
    assert_eq!(config.limits.concurrent_requests, 7);
    for (limits, share) in [
        ("", 256),
        ("connections = 40", 10),
        ("connections = 2", 1),
        ("connections_per_address = 0", 0),
    ] {
        let found = with(limits).unwrap().limits.connections_per_address;
        assert_eq!(found, share, "{limits}");
    }
    for (limits, part) in [
        ("small_object = \"17 MiB\"", "choose from 0 B to 16 MiB"),
        ("small_object = 5", "write a size"),
        ("connections = 0", "choose from 1 to"),
        ("connections = \"many\"", "write a number"),
        (
            "small_object_memory = \"1 KiB\"",
            "at least as large as small_object",
        ),
        ("working_key_lifetime = \"25h\"", "to 24h"),
        ("working_key_hard_limit = \"1h\"", "at least as long"),
        ("idle_timeout = \"soon\"", "such as \"30s\""),
    ] {
        let error = with(limits).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert!(error.to_string().contains(part), "{limits}: {error}");
    }
}

#[test]
fn a_tenant_with_keys_of_its_own_is_a_line() {
    let services = "[[key_service]]\nname = \"hsm\"\ntype = \"aws-kms\"\nkey = \"alias/b\"\nregion = \"us-east-1\"\n";
    let with = |lines: &str| parse(&format!("{lines}\n{GOOD}\n{services}"));
    let config = with(
        r#"domain = [
  { buckets = ["data"], prefix = "alice/", name = "alice", key_services = ["hsm"], working_key_lifetime = "1h" },
  { buckets = ["data"], prefix = "bob/", name = "bob", key_services = ["hsm", "1"], required_wraps = 2 },
]"#,
    )
    .unwrap();
    assert_eq!(config.key_service_names, ["1", "hsm"]);
    let alice = config.domain_for("data", "alice/x");
    assert_eq!(alice.name, "alice");
    assert_eq!(alice.sealing.key_services, Some(vec![1]));
    assert_eq!(alice.sealing.soft_age, std::time::Duration::from_hours(1));
    let bob = config.domain_for("data", "bob/x").sealing;
    assert_eq!(
        (bob.key_services.clone(), bob.required_wraps),
        (Some(vec![1, 0]), 2)
    );
    assert_eq!(
        config.domain_for("data", "carol/x").sealing.key_services,
        None
    );

    for (table, part) in [
        ("key_services = [\"vault\"]", "use one of 1, hsm"),
        ("key_services = []", "nothing can be sealed"),
        ("key_services = [\"1\", \"1\"]", "stands twice"),
        ("key_services = [\"1\"], required_wraps = 2", "more wraps"),
        (
            "working_key_lifetime = \"2h\", working_key_hard_limit = \"1h\"",
            "at least as long",
        ),
        (
            "name = \"a\", required_wraps = 2 }, { buckets = [\"b\"], name = \"a\"",
            "same name",
        ),
    ] {
        let error = with(&format!("domain = [{{ buckets = [\"data\"], {table} }}]")).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{table}: {error}");
        assert!(error.to_string().contains(part), "{table}: {error}");
    }
    let twice = format!("{GOOD}\n{services}\n{services}");
    assert!(
        parse(&twice)
            .unwrap_err()
            .to_string()
            .contains("has this name")
    );
    let quorum = parse(&format!("{GOOD}\n[limits]\nrequired_wraps = 2\n")).unwrap_err();
    assert!(
        quorum
            .to_string()
            .contains("more than there are key services"),
        "{quorum}"
    );
}

#[test]
fn domains_are_checked() {
    let with = |domain: &str| {
        parse(&format!(
            "{GOOD}\n[[domain]]\nbuckets = [\"a*\"]\n{domain}\n"
        ))
    };
    let config =
        with("name = \"shared/{bucket}\"\nformer = [\"old\"]\nsuite = \"chacha20-poly1305\"")
            .unwrap();
    let rule = config.domain_for("abc", "key");
    assert_eq!(
        (rule.name.as_str(), rule.former.as_slice()),
        ("shared/abc", ["old".to_owned()].as_slice())
    );
    for (domain, part) in [
        ("", "says nothing"),
        ("name = \"{key}\"", "unknown placeholder"),
        ("name = \"a\"\nformer = [\"a\"]", "among former"),
        ("name = \"a\\u0007\"", "control characters"),
        ("suite = \"rot13\"", "aes-256-gcm"),
        (
            "name = \"a\"\n[[domain]]\nbuckets = [\"ab\"]\nname = \"b\"",
            "never count",
        ),
    ] {
        let error = with(domain).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert!(error.to_string().contains(part), "{domain}: {error}");
    }
    let long = format!("name = \"{}{{bucket}}\"", "a".repeat(193));
    assert!(with(&long).unwrap_err().to_string().contains("too long"));
}

#[test]
fn a_listener_with_tls_needs_its_files_and_no_permission_for_plaintext() {
    let directory = tempfile::tempdir().unwrap();
    let tls = "tls = { certificate = \"a.pem\", key = \"b.pem\" }";
    let with = |lines: &str| {
        parse_in(
            directory.path(),
            &GOOD.replace("127.0.0.1:0\"", &format!("0.0.0.0:8014\"\n{lines}")),
        )
    };
    let error = with(tls).unwrap_err();
    let keys: Vec<_> = error
        .problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["listener.tls.certificate", "listener.tls.key"],
        "{error}"
    );
    for name in ["a.pem", "b.pem"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    assert_eq!(
        with(tls).unwrap().listener.tls.unwrap().certificate,
        directory.path().join("a.pem")
    );
    let error = with(&format!("{tls}\nallow_plaintext = true")).unwrap_err();
    assert!(error.to_string().contains("contradicts tls"), "{error}");
}

#[test]
fn host_names_of_the_listener_are_checked() {
    let with = |line: &str| parse(&GOOD.replace("[upstream]", &format!("{line}\n[upstream]")));
    let config =
        with("base_domains = [\"S3.Example.org\"]\nexternal_hosts = [\"lb.example.org:8443\"]")
            .unwrap();
    assert_eq!(config.listener.base_domains, ["s3.example.org"]);
    assert_eq!(config.listener.external_hosts, ["lb.example.org:8443"]);
    assert_eq!(config.listener.regions, None);
    let one = with("regions = [\"eu-central-1\"]").unwrap();
    assert_eq!(one.listener.regions, Some(vec!["eu-central-1".to_owned()]));
    let none = with("regions = []").unwrap_err().to_string();
    assert!(none.contains("nobody could sign"), "{none}");
    assert!(
        with("base_domains = [\"a:1\"]")
            .unwrap_err()
            .to_string()
            .contains("has a port")
    );
    assert!(
        with("external_hosts = [\"https://a\"]")
            .unwrap_err()
            .to_string()
            .contains("not a host name")
    );
}

#[test]
fn proxies_in_front_are_named_by_address() {
    let with = |lines: &str| parse(&GOOD.replace("[upstream]", &format!("{lines}\n[upstream]")));
    let listener = with(
        "proxy_protocol = [\"10.0.0.5\"]\ntrusted_proxies = [\"10.1.2.3/8\", \"fd00::/8\"]\n\
         forwarded_header = \"forwarded\"\nexternal_scheme = \"https\"",
    )
    .unwrap()
    .listener;
    let shown =
        |networks: &[ipnet::IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&listener.proxy_protocol), ["10.0.0.5/32"]);
    assert_eq!(shown(&listener.trusted_proxies), ["10.0.0.0/8", "fd00::/8"]);
    assert_eq!(listener.forwarded_header, ForwardedHeader::Forwarded);
    assert_eq!(listener.client_scheme(), Scheme::Https);
    for (line, message) in [
        ("trusted_proxies = [\"0.0.0.0/0\"]", "everybody"),
        ("trusted_proxies = [\"::/0\"]", "everybody"),
        ("proxy_protocol = [\"proxy.example.org\"]", "not an address"),
        ("proxy_protocol = [\"10.0.0.0/33\"]", "not an address"),
        ("forwarded_header = \"forwarded\"", "nobody is trusted"),
        ("external_scheme = \"ftp\"", "unknown value"),
    ] {
        let error = with(line).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_missing_file_names_the_command_that_writes_one() {
    let error = Config::load(Path::new("/nonexistent/sealgate.toml")).unwrap_err();
    assert!(error.to_string().contains("sealgate init"), "{error}");
}
