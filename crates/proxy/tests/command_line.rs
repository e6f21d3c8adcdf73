//! The built command, run as a user runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Runs `sealgate` in `directory`, with an environment that has nothing of ours in it.
fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.current_dir(directory);
    for (name, _) in std::env::vars()
        .filter(|(name, _)| name.starts_with("SEALGATE_") || name.starts_with("AWS_"))
    {
        command.env_remove(name);
    }
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory).args(arguments).output().unwrap()
}

fn run_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that fails early does not read to the end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[track_caller]
fn succeed(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn fail(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let directory = tempfile::tempdir().unwrap();
    let help = succeed(&run(directory.path(), &["--help"]));
    for name in [
        "dev", "init", "check", "serve", "gc", "seal", "open", "inspect", "key-file",
    ] {
        assert!(help.contains(name), "{name} is not in the help");
        let help = succeed(&run(directory.path(), &[name, "--help"]));
        assert!(help.contains("Example"), "{name} --help has no example");
    }
}

#[test]
fn init_writes_a_configuration_once_that_check_accepts() {
    let directory = tempfile::tempdir().unwrap();
    let said = succeed(&run(directory.path(), &["init"]));
    assert!(said.contains("back it up"), "{said}");
    let written = fs::read_to_string(directory.path().join("sealgate.toml")).unwrap();

    let error = fail(&run(directory.path(), &["init"]));
    assert!(error.contains("never overwritten"), "{error}");
    assert_eq!(
        fs::read_to_string(directory.path().join("sealgate.toml")).unwrap(),
        written
    );

    let check = ["check", "--offline"];
    let error = fail(&run(directory.path(), &check));
    assert!(error.contains("SEALGATE_APP_SECRET is not set"), "{error}");
    let output = command(directory.path())
        .args(check)
        .env("SEALGATE_APP_SECRET", "a-secret-of-the-app")
        .output();
    assert!(succeed(&output.unwrap()).starts_with("ok"));

    let second = succeed(&run(directory.path(), &["init", "--output", "other.toml"]));
    let deployment = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("deployment"))
            .unwrap()
            .to_owned()
    };
    let other = fs::read_to_string(directory.path().join("other.toml")).unwrap();
    assert_ne!(deployment(&written), deployment(&other), "{second}");
}

#[test]
fn check_names_every_problem_with_line_and_fix() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("bad.toml"),
        "deployment = \"x\"\nlistner = 1\n[listener]\naddress = \"0.0.0.0:1\"\n",
    )
    .unwrap();
    let error = fail(&run(
        directory.path(),
        &["check", "--offline", "--config", "bad.toml"],
    ));
    for part in [
        "bad.toml:2: listner: unknown key",
        "bad.toml:4: listener.address: ",
        "allow_plaintext = true",
        "upstream: missing",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    let output = run(
        directory.path(),
        &["check", "--offline", "--json", "--config", "bad.toml"],
    );
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["works"], false);
    assert_eq!(document["problems"][0]["line"], 1);
    assert!(
        document["problems"]
            .as_array()
            .unwrap()
            .iter()
            .any(|problem| problem["key"] == "listner")
    );
}

#[test]
fn serve_does_not_start_with_a_bad_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let error = fail(&run(directory.path(), &["serve", "--config", "none.toml"]));
    assert!(
        error.contains("none.toml") && error.contains("sealgate init"),
        "{error}"
    );
}

/// More than one segment and not a multiple of one.
fn plaintext() -> Vec<u8> {
    (0..200_001_u32)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect()
}

fn key_file(directory: &Path) {
    let said = succeed(&run(directory, &["key-file", "create", "test.key"]));
    assert!(said.contains("back it up"), "{said}");
}

#[test]
fn a_file_is_sealed_inspected_and_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    key_file(path);
    fs::write(path.join("data"), plaintext()).unwrap();
    succeed(&run(path, &["seal", "--key-file", "test.key", "data"]));
    assert_eq!(names(path), ["data", "data.sealed", "test.key"]);

    let description = succeed(&run(path, &["inspect", "--json", "data.sealed"]));
    let description: serde_json::Value = serde_json::from_str(&description).unwrap();
    assert_eq!(description["plaintext_length"], 200_001);
    assert_eq!(description["suite"], "aes-256-gcm");
    assert_eq!(description["wraps"][0]["provider"], "local");
    assert_eq!(description["verified"], false);
    assert!(succeed(&run(path, &["inspect", "data.sealed"])).contains("200001 bytes"));

    let open = ["open", "--key-file", "test.key", "data.sealed"];
    assert!(fail(&run(path, &open)).contains("--force"));
    fs::remove_file(path.join("data")).unwrap();
    succeed(&run(path, &open));
    assert_eq!(fs::read(path.join("data")).unwrap(), plaintext());
    succeed(&run(path, &[open.as_slice(), &["--force"]].concat()));
    assert_eq!(names(path), ["data", "data.sealed", "test.key"]);
}

/// Runs with a passphrase in the environment variable `P` and another one in `Q`.
fn run_with_passphrases(directory: &Path, arguments: &[&str]) -> Output {
    command(directory)
        .args(arguments)
        .env("P", "correct horse battery")
        .env("Q", "staple staple staple")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_key_file_is_sealed_with_a_passphrase_and_its_key_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |arguments: &[&str]| run_with_passphrases(path, arguments);
    key_file(path);
    fs::write(path.join("data"), plaintext()).unwrap();
    succeed(&run(&["seal", "--key-file", "test.key", "data"]));
    let clear = fs::read_to_string(path.join("test.key")).unwrap();
    let key = clear.trim().rsplit(' ').next().unwrap().to_owned();

    let open = |place: &str| {
        run(&[
            "open",
            "--key-file",
            "test.key",
            "--passphrase",
            place,
            "--force",
            "data.sealed",
        ])
    };
    assert!(fail(&open("env:P")).contains("not sealed"));
    succeed(&run(&[
        "key-file",
        "seal",
        "--new-passphrase",
        "env:P",
        "test.key",
    ]));
    assert!(
        !fs::read_to_string(path.join("test.key"))
            .unwrap()
            .contains(&key)
    );
    succeed(&open("env:P"));
    assert!(
        fail(&run(&[
            "key-file",
            "seal",
            "--passphrase",
            "env:P",
            "test.key"
        ]))
        .contains("change-passphrase")
    );

    fs::write(path.join("passphrase"), "staple staple staple\n").unwrap();
    let change = [
        "key-file",
        "change-passphrase",
        "--passphrase",
        "env:P",
        "--new-passphrase",
        "file:passphrase",
        "test.key",
    ];
    succeed(&run(&change));
    succeed(&open("env:Q"));
    assert_eq!(fs::read(path.join("data")).unwrap(), plaintext());
    for (said, part) in [
        (fail(&open("env:P")), "passphrase is wrong"),
        (fail(&open("env:NONE")), "NONE is not set"),
        (fail(&run(&change)), "passphrase is wrong"),
        (
            fail(&run(&[
                "open",
                "--key-file",
                "test.key",
                "--force",
                "data.sealed",
            ])),
            "--passphrase env:NAME",
        ),
    ] {
        assert!(said.contains(part), "{said}");
    }
    let output = run(&[
        "open",
        "--key-file",
        "test.key",
        "--passphrase",
        "staple staple staple",
        "data.sealed",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        names(path),
        ["data", "data.sealed", "passphrase", "test.key"]
    );

    let text = fs::read_to_string(path.join("test.key")).unwrap();
    fs::write(
        path.join("test.key"),
        text.replacen(" 65536 ", " 65537 ", 1),
    )
    .unwrap();
    assert!(fail(&open("env:Q")).contains("damaged"));
    succeed(&run(&[
        "key-file",
        "create",
        "--new-passphrase",
        "env:P",
        "other.key",
    ]));
    assert!(
        fs::read_to_string(path.join("other.key"))
            .unwrap()
            .starts_with("sealgate-local-key-2 ")
    );
}

#[test]
fn pipes_work_in_both_directions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    key_file(path);
    for content in [Vec::new(), b"short".to_vec(), plaintext()] {
        let arguments = [
            "seal",
            "--key-file",
            "test.key",
            "--suite",
            "chacha20-poly1305",
            "-",
        ];
        let sealed = run_with_input(path, &arguments, &content);
        assert!(sealed.status.success(), "{sealed:?}");
        let opened = run_with_input(
            path,
            &["open", "--key-file", "test.key", "-"],
            &sealed.stdout,
        );
        assert!(
            opened.status.success(),
            "{}",
            String::from_utf8_lossy(&opened.stderr)
        );
        assert_eq!(opened.stdout, content);
        let description = run_with_input(path, &["inspect", "--json", "-"], &sealed.stdout);
        let description: serde_json::Value = serde_json::from_slice(&description.stdout).unwrap();
        assert_eq!(description["plaintext_length"], content.len());
        assert_eq!(description["suite"], "chacha20-poly1305");
    }
}

#[test]
fn what_was_tampered_with_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    key_file(path);
    let content = plaintext();
    fs::write(path.join("data"), &content).unwrap();
    succeed(&run(
        path,
        &["seal", "--key-file", "test.key", "data", "good"],
    ));
    let good = fs::read(path.join("good")).unwrap();
    let before = ["data", "good", "sealed", "test.key"];
    let in_second_segment = good.len() - 384 - 28 * 2 - 40_000;
    for (what, sealed) in [
        (
            "header",
            [&good[..40], &[good[40] ^ 1], &good[41..]].concat(),
        ),
        (
            "second segment",
            [
                &good[..in_second_segment],
                &[good[in_second_segment] ^ 1],
                &good[in_second_segment + 1..],
            ]
            .concat(),
        ),
        ("end", good[..good.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("plaintext", content.clone()),
    ] {
        fs::write(path.join("sealed"), sealed).unwrap();
        let error = fail(&run(
            path,
            &["open", "--key-file", "test.key", "sealed", "out"],
        ));
        assert!(error.starts_with("sealgate: "), "{what}: {error}");
        assert_eq!(names(path), before, "{what}");
        let piped = run(path, &["open", "--key-file", "test.key", "sealed", "-"]);
        assert!(!piped.status.success(), "{what}");
        assert!(
            content.starts_with(&piped.stdout),
            "{what}: standard output has unverified bytes"
        );
    }
}

#[test]
fn another_key_or_domain_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    key_file(path);
    succeed(&run(path, &["key-file", "create", "other.key"]));
    fs::write(path.join("data"), "content").unwrap();
    succeed(&run(
        path,
        &["seal", "--key-file", "test.key", "--domain", "mine", "data"],
    ));
    for arguments in [
        ["--key-file", "other.key", "--domain", "mine"],
        ["--key-file", "test.key", "--domain", "yours"],
    ] {
        let error = fail(&run(
            path,
            &[["open"].as_slice(), &arguments, &["data.sealed", "out"]].concat(),
        ));
        assert!(error.contains("data.sealed"), "{error}");
    }
    assert!(!path.join("out").exists());
    succeed(&run(
        path,
        &[
            "open",
            "--key-file",
            "test.key",
            "--domain",
            "mine",
            "data.sealed",
            "out",
        ],
    ));
}

#[test]
fn exactly_one_source_of_keys_is_demanded() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("data"), "content").unwrap();
    for arguments in [
        ["seal", "data"].as_slice(),
        &["seal", "--key-file", "a", "--kms-key", "b", "data"],
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--key-file"));
    }
}

/// Ends the child when a test ends before it.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn dev_shows_one_object_serves_and_stops_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = command(directory.path());
    child
        .args(["dev", "--listen", "127.0.0.1:0", "--dir", "try"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut guard = Guard(child.spawn().unwrap());
    let lines = BufReader::new(guard.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut said = String::new();
    let mut ready = None;
    for line in lines {
        if let Some(url) = line.strip_prefix("ready ") {
            ready = Some(url.to_owned());
            break;
        }
        said.push_str(&line);
        said.push('\n');
    }
    let url = ready.unwrap_or_else(|| panic!("dev ended before it was ready: {said}"));
    assert!(
        url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"),
        "{url}"
    );
    assert!(
        said.contains("|Hello! Whoever r|") && said.contains("The storage held"),
        "{said}"
    );
    assert!(
        said.contains("aws s3 mb") && said.contains("import boto3") && said.contains(&url),
        "{said}"
    );
    assert_eq!(
        names(&directory.path().join("try")),
        ["keys", "settings.json", "storage"]
    );

    let kill = Command::new("kill")
        .args(["-TERM", &guard.0.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert!(guard.0.wait().unwrap().success());
}
