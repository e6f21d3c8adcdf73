//! The program: its ready line, kill -9, one process per state directory, SIGTERM.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests; clippy.toml allows it in the test functions alone"
)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use aws_sdk_kms::Client;
use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::primitives::Blob;
use common::{ACCESS_KEY, SECRET, client};

const ALIAS: &str = "alias/sealgate-dev";

/// The program, stopped when dropped.
struct Program {
    child: Child,
    endpoint: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, which is what a test wanted then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate-kms-mock"));
    command
        .env("KMS_TEST_SECRET", SECRET)
        .arg("--state-dir")
        .arg(directory.join("kms"))
        .args([
            "--principal",
            &format!("name=a,access-key-id={ACCESS_KEY},secret=env:KMS_TEST_SECRET,operations=*"),
        ])
        .args(["--create-alias", ALIAS]);
    command
}

fn start(directory: &Path) -> Program {
    let mut child = command(directory).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let endpoint = line
        .strip_prefix("ready ")
        .expect("the ready line")
        .trim_end()
        .to_owned();
    Program { child, endpoint }
}

fn refused(command: &mut Command) -> String {
    let Output {
        status,
        stderr,
        stdout,
    } = command.output().unwrap();
    assert!(!status.success() && stdout.is_empty());
    String::from_utf8(stderr).unwrap()
}

async fn create(client: &Client) -> String {
    client
        .create_key()
        .send()
        .await
        .unwrap()
        .key_metadata
        .unwrap()
        .key_id
}

#[tokio::test]
async fn every_acknowledged_key_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = start(directory.path());
    let first = client(&program.endpoint);
    let sealed = first
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new("x"))
        .send()
        .await
        .unwrap();

    // Writers are at work when the process dies; what they were told is done must be there afterwards.
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let client = first.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while let Ok(created) = client.create_key().send().await {
                    acknowledged.push(created.key_metadata.unwrap().key_id);
                }
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(!acknowledged.is_empty());

    let program = start(directory.path());
    let second = client(&program.endpoint);
    for key in &acknowledged {
        second.describe_key().key_id(key).send().await.unwrap();
    }
    let blob = sealed.ciphertext_blob.unwrap();
    let opened = second
        .decrypt()
        .ciphertext_blob(blob)
        .key_id(ALIAS)
        .send()
        .await
        .unwrap();
    assert_eq!(opened.plaintext.unwrap().as_ref(), b"x");
    create(&second).await;
}

/// One request to the control address; the status and the document.
fn control(endpoint: &str, method: &str, body: &str) -> (u16, serde_json::Value) {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} /faults HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, document) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(document).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_set_at_the_control_address() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = command(directory.path())
        .args(["--control", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = |prefix: &str| {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(prefix).expect(prefix).to_owned()
    };
    let (control_url, endpoint) = (next("control "), next("ready "));
    let program = Program { child, endpoint };
    let client = client(&program.endpoint);

    let throttled =
        r#"{"faults": [{"operations": ["CreateKey"], "then": {"error": "ThrottlingException"}}]}"#;
    let (status, document) = control(&control_url, "PUT", throttled);
    assert_eq!(
        (status, &document["faults"][0]["active"]),
        (200, &true.into())
    );
    let error = client.create_key().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ThrottlingException"));
    let (_, document) = control(&control_url, "GET", "");
    assert_eq!(document["faults"][0]["struck"], 1);

    let (status, document) = control(&control_url, "PUT", r#"{"faults": [{"then": "explode"}]}"#);
    assert_eq!(status, 400, "{document}");
    assert!(
        document["message"].as_str().unwrap().contains("explode"),
        "{document}"
    );
    let (_, document) = control(&control_url, "DELETE", "");
    assert_eq!(document["faults"], serde_json::json!([]));
    create(&client).await;
}

/// Seconds of processor time that a process has used.
#[cfg(target_os = "linux")]
fn processor_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = text.rsplit_once(") ").unwrap();
    // utime and stime, in ticks of 10 ms (proc(5)).
    fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap() / 100.0)
        .sum()
}

#[cfg(target_os = "linux")]
#[test]
fn without_file_descriptors_the_control_address_waits_without_burning_a_processor() {
    let directory = tempfile::tempdir().unwrap();
    let program = command(directory.path());
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 32; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .args(["--control", "127.0.0.1:0"])
        .env("KMS_TEST_SECRET", SECRET)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let address = line.strip_prefix("control http://").unwrap().to_owned();
    let endpoint = lines.next().unwrap().unwrap();
    let program = Program { child, endpoint };
    let silent: Vec<_> = (0..40)
        .map(|_| std::net::TcpStream::connect(&address).unwrap())
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let before = processor_seconds(program.child.id());
    std::thread::sleep(std::time::Duration::from_secs(1));
    let used = processor_seconds(program.child.id()) - before;
    assert!(used < 0.1, "{used} s of processor time in a second");
    drop(silent);
    let (status, _) = control(&format!("http://{address}"), "GET", "");
    assert_eq!(status, 200);
}

#[tokio::test]
async fn one_process_per_state_directory_and_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = start(directory.path());
    create(&client(&program.endpoint)).await;
    let message = refused(&mut command(directory.path()));
    assert!(message.contains("in use by another process"), "{message}");

    let pid = program.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(
        program.child.wait().unwrap().success(),
        "SIGTERM is a clean end"
    );
    start(directory.path());
}

#[test]
fn wrong_arguments_name_cause_and_fix() {
    let program = || Command::new(env!("CARGO_BIN_EXE_sealgate-kms-mock"));
    assert!(refused(&mut program()).contains("--create-credentials"));
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("kms");
    drop(start(directory.path()));
    std::fs::write(state.join("state.json"), "{").unwrap();
    let message = refused(&mut command(directory.path()));
    assert!(
        message.contains("not a complete state document") && message.contains("restore it"),
        "{message}"
    );
}
