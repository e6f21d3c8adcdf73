//! The server in this process, driven by the AWS SDK for Rust.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy.toml allows it in the test functions alone"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeyState};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use common::{ACCESS_KEY, SECRET, client, settings};
use sealgate_kms_mock::{
    ErrorCode, HookFuture, KmsError, Operation, Permissions, Principal, RequestHook, RequestInfo,
    RunningServer, TlsIdentity, Verdict,
};

const ALIAS: &str = "alias/sealgate-dev";

fn administrator() -> Principal {
    Principal::with_all_operations("administrator", ACCESS_KEY, SECRET).unwrap()
}

async fn server() -> (RunningServer, Client) {
    let server = RunningServer::builder()
        .principal(administrator())
        .alias(ALIAS)
        .start()
        .await
        .unwrap();
    let client = client(server.endpoint());
    (server, client)
}

#[tokio::test]
async fn a_data_key_goes_round() {
    let (server, client) = server().await;
    let arn = server.key_arn(ALIAS).unwrap();
    let metadata = client
        .describe_key()
        .key_id(ALIAS)
        .send()
        .await
        .unwrap()
        .key_metadata
        .unwrap();
    assert_eq!(metadata.arn(), Some(arn.as_str()));
    assert_eq!(metadata.key_state(), Some(&KeyState::Enabled));

    let generated = client
        .generate_data_key()
        .key_id(ALIAS)
        .key_spec(DataKeySpec::Aes256)
        .encryption_context("Bucket", "b")
        .send()
        .await
        .unwrap();
    assert!(generated.request_id().is_some());
    assert_eq!(generated.key_id(), Some(arn.as_str()));
    assert_eq!(
        generated.key_material_id(),
        metadata.current_key_material_id()
    );
    let blob = generated.ciphertext_blob.unwrap();
    assert_eq!(blob.as_ref().len(), 184);

    let decrypt = |value: &str| {
        client
            .decrypt()
            .key_id(arn.as_str())
            .ciphertext_blob(blob.clone())
            .encryption_context("Bucket", value)
            .send()
    };
    let opened = decrypt("b").await.unwrap();
    assert_eq!(opened.plaintext, generated.plaintext);
    assert_eq!(opened.key_material_id(), metadata.current_key_material_id());
    let refused = decrypt("c").await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_ciphertext_exception(), "{refused:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn errors_are_those_of_the_model() {
    let (_server, client) = server().await;
    let other = client
        .create_key()
        .send()
        .await
        .unwrap()
        .key_metadata
        .unwrap();
    let encrypted = client
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new("x"))
        .send()
        .await
        .unwrap();
    let blob = encrypted.ciphertext_blob.unwrap();

    let error = client
        .decrypt()
        .key_id(other.key_id())
        .ciphertext_blob(blob.clone())
        .send()
        .await
        .unwrap_err();
    assert!(
        error
            .as_service_error()
            .unwrap()
            .is_incorrect_key_exception(),
        "{error:?}"
    );
    let error = client
        .describe_key()
        .key_id("alias/none")
        .send()
        .await
        .unwrap_err();
    assert!(
        error.as_service_error().unwrap().is_not_found_exception(),
        "{error:?}"
    );
    let error = client
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new("x"))
        .dry_run(true)
        .send()
        .await
        .unwrap_err();
    assert!(
        error
            .as_service_error()
            .unwrap()
            .is_dry_run_operation_exception(),
        "{error:?}"
    );

    let sealed = client
        .encrypt()
        .key_id(other.key_id())
        .plaintext(Blob::new("y"))
        .send()
        .await
        .unwrap();
    let open = || {
        client
            .decrypt()
            .ciphertext_blob(sealed.ciphertext_blob.clone().unwrap())
            .send()
    };
    client
        .disable_key()
        .key_id(other.key_id())
        .send()
        .await
        .unwrap();
    assert!(
        open()
            .await
            .unwrap_err()
            .as_service_error()
            .unwrap()
            .is_disabled_exception()
    );
    client
        .schedule_key_deletion()
        .key_id(other.key_id())
        .pending_window_in_days(7)
        .send()
        .await
        .unwrap();
    assert!(
        open()
            .await
            .unwrap_err()
            .as_service_error()
            .unwrap()
            .is_kms_invalid_state_exception()
    );
    client
        .cancel_key_deletion()
        .key_id(other.key_id())
        .send()
        .await
        .unwrap();
    client
        .enable_key()
        .key_id(other.key_id())
        .send()
        .await
        .unwrap();
    assert_eq!(open().await.unwrap().plaintext.unwrap().as_ref(), b"y");
}

#[tokio::test]
async fn principals_do_what_they_may() {
    let permissions = Permissions::from_names(["Decrypt"]).unwrap();
    let server = RunningServer::builder()
        .principal(administrator())
        .principal(
            Principal::new("reader", "AKIAREADER", "secret of the reader", permissions).unwrap(),
        )
        .alias(ALIAS)
        .start()
        .await
        .unwrap();
    let blob = client(server.endpoint())
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new("x"))
        .send()
        .await
        .unwrap();
    let as_principal = |access_key, secret| {
        Client::from_conf(settings(server.endpoint(), access_key, secret).build())
    };

    let reader = as_principal("AKIAREADER", "secret of the reader");
    reader
        .decrypt()
        .ciphertext_blob(blob.ciphertext_blob.unwrap())
        .send()
        .await
        .unwrap();
    for (client, code) in [
        (reader, "AccessDeniedException"),
        (
            as_principal("AKIAREADER", SECRET),
            "InvalidSignatureException",
        ),
        (
            as_principal("AKIANOBODY", SECRET),
            "UnrecognizedClientException",
        ),
    ] {
        let error = client.list_keys().send().await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    }
}

#[tokio::test]
async fn tls() {
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let pem = certificate.cert.pem();
    let identity = TlsIdentity::from_pem(
        pem.as_bytes(),
        certificate.signing_key.serialize_pem().as_bytes(),
    )
    .unwrap();
    let server = RunningServer::builder()
        .principal(administrator())
        .alias(ALIAS)
        .tls(identity)
        .start()
        .await
        .unwrap();
    assert!(
        server.endpoint().starts_with("https://127.0.0.1:"),
        "{}",
        server.endpoint()
    );

    let trusting = |store: TrustStore| {
        let context = TlsContext::builder()
            .with_trust_store(store)
            .build()
            .unwrap();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https();
        Client::from_conf(
            settings(server.endpoint(), ACCESS_KEY, SECRET)
                .http_client(http)
                .build(),
        )
    };
    let client = trusting(TrustStore::empty().with_pem_certificate(pem.as_bytes()));
    client
        .generate_data_key()
        .key_id(ALIAS)
        .key_spec(DataKeySpec::Aes256)
        .send()
        .await
        .unwrap();
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
        .unwrap()
        .cert
        .pem();
    let client = trusting(TrustStore::empty().with_pem_certificate(stranger.as_bytes()));
    assert!(
        client.list_keys().send().await.is_err(),
        "another certificate is trusted"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn state_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        RunningServer::builder()
            .principal(administrator())
            .alias(ALIAS)
            .state_directory(directory.path().join("kms"))
            .start()
    };
    let server = start().await.unwrap();
    let arn = server.key_arn(ALIAS).unwrap();
    let sealed = client(server.endpoint())
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new("x"))
        .send()
        .await
        .unwrap();
    assert!(
        start()
            .await
            .unwrap_err()
            .to_string()
            .contains("in use by another process")
    );
    server.shutdown().await;

    let server = start().await.unwrap();
    assert_eq!(server.key_arn(ALIAS), Some(arn.clone()));
    assert_eq!(server.ensure_alias(ALIAS).unwrap(), arn);
    let blob = sealed.ciphertext_blob.unwrap();
    let opened = client(server.endpoint())
        .decrypt()
        .ciphertext_blob(blob)
        .send()
        .await
        .unwrap();
    assert_eq!(opened.plaintext.unwrap().as_ref(), b"x");
}

#[tokio::test]
async fn the_request_log_tells_who_did_what_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("requests.jsonl");
    let server = RunningServer::builder()
        .principal(administrator())
        .alias(ALIAS)
        .request_log(&path)
        .start()
        .await
        .unwrap();
    let client = client(server.endpoint());
    let secret = "a plaintext that stays secret";
    let encrypt = client
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new(secret))
        .encryption_context("Bucket", "b");
    let sealed = encrypt.send().await.unwrap();
    let request_id = sealed.request_id().unwrap().to_owned();
    let blob = sealed.ciphertext_blob.unwrap();
    client
        .decrypt()
        .ciphertext_blob(blob)
        .encryption_context("Bucket", "c")
        .send()
        .await
        .unwrap_err();
    let stranger = Client::from_conf(settings(server.endpoint(), "AKIANOBODY", SECRET).build());
    stranger.list_keys().send().await.unwrap_err();
    server.shutdown().await;

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["request_id"], request_id.as_str());
    assert_eq!(
        (&lines[0]["principal"], &lines[0]["operation"]),
        (&"administrator".into(), &"Encrypt".into())
    );
    assert_eq!(lines[0]["encryption_context"]["Bucket"], "b");
    assert!(
        lines[0]["key_id"]
            .as_str()
            .unwrap()
            .starts_with("arn:aws:kms:us-east-1:111122223333:key/")
    );
    assert_eq!(lines[1]["outcome"], "InvalidCiphertextException");
    assert_eq!(lines[1]["reason"], "ciphertext or encryption context");
    assert_eq!(
        (&lines[2]["access_key_id"], lines[2].get("principal")),
        (&"AKIANOBODY".into(), None)
    );
    let encoded = data_encoding::BASE64.encode(secret.as_bytes());
    for hidden in [secret, encoded.as_str(), SECRET] {
        assert!(!text.contains(hidden), "{text}");
    }
}

#[tokio::test]
async fn a_rotated_key_opens_what_it_sealed_before() {
    let (server, client) = server().await;
    let arn = server.key_arn(ALIAS).unwrap();
    let encrypt = || client.encrypt().key_id(ALIAS).plaintext(Blob::new("x"));
    let before = encrypt().send().await.unwrap().ciphertext_blob.unwrap();
    client
        .rotate_key_on_demand()
        .key_id(&arn)
        .send()
        .await
        .unwrap();
    let after = encrypt().send().await.unwrap().ciphertext_blob.unwrap();
    let open = |blob: &Blob| {
        client
            .decrypt()
            .key_id(ALIAS)
            .ciphertext_blob(blob.clone())
            .send()
    };
    let (old, new) = (open(&before).await.unwrap(), open(&after).await.unwrap());
    assert_eq!(old.plaintext(), new.plaintext());
    assert_ne!(old.key_material_id(), new.key_material_id());

    let rewrapped = client
        .re_encrypt()
        .ciphertext_blob(before)
        .destination_key_id(ALIAS)
        .send()
        .await
        .unwrap();
    assert_eq!(rewrapped.source_key_material_id(), old.key_material_id());
    assert_eq!(
        rewrapped.destination_key_material_id(),
        new.key_material_id()
    );
    let listed = client
        .list_key_rotations()
        .key_id(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(listed.rotations().len(), 1);
    assert_eq!(
        listed.rotations()[0].key_material_id(),
        new.key_material_id()
    );

    client
        .delete_alias()
        .alias_name(ALIAS)
        .send()
        .await
        .unwrap();
    let gone = encrypt().send().await.unwrap_err();
    assert_eq!(gone.code(), Some("NotFoundException"));
}

#[tokio::test]
async fn faults_strike_as_they_are_set_and_no_longer() {
    let (server, client) = server().await;
    let encrypt = || {
        client
            .encrypt()
            .key_id(ALIAS)
            .plaintext(Blob::new("x"))
            .send()
    };
    let set = |faults: serde_json::Value| {
        server
            .faults()
            .set(serde_json::from_value(faults).unwrap())
            .unwrap();
    };

    set(serde_json::json!([{"times": 1, "then": {"error": "ThrottlingException"}}]));
    assert_eq!(
        encrypt().await.unwrap_err().code(),
        Some("ThrottlingException")
    );
    encrypt().await.unwrap();

    set(serde_json::json!([{"keys": [ALIAS], "then": {"status": 503}}]));
    let error = encrypt().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 503);
    client.list_keys().send().await.unwrap();

    set(serde_json::json!([{"operations": ["Encrypt"], "delay_milliseconds": 300}]));
    let started = std::time::Instant::now();
    encrypt().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));

    set(serde_json::json!([{"then": "reset", "for_milliseconds": 3_600_000}]));
    let error = encrypt().await.unwrap_err();
    assert!(error.as_service_error().is_none(), "{error:?}");
    assert!(error.raw_response().is_none(), "{error:?}");
    set(serde_json::json!([]));
    encrypt().await.unwrap();
}

#[tokio::test]
async fn a_fault_finds_its_key_by_every_name_and_by_its_ciphertexts() {
    let (server, client) = server().await;
    let other = server.ensure_alias("alias/other").unwrap();
    let sealed = client
        .encrypt()
        .key_id(ALIAS)
        .plaintext(Blob::new("x"))
        .send()
        .await
        .unwrap()
        .ciphertext_blob
        .unwrap();
    let arn = server.key_arn(ALIAS).unwrap();
    let id = arn.rsplit('/').next().unwrap().to_owned();
    for name in [ALIAS.to_owned(), arn, id] {
        let fault = serde_json::json!([{"keys": [name], "then": {"error": "DisabledException"}}]);
        server
            .faults()
            .set(serde_json::from_value(fault).unwrap())
            .unwrap();
        let decrypt = client.decrypt().ciphertext_blob(sealed.clone()).send();
        assert_eq!(
            decrypt.await.unwrap_err().code(),
            Some("DisabledException"),
            "{name}"
        );
        client.describe_key().key_id(&other).send().await.unwrap();
        assert_eq!(server.faults().status()[0].struck, 1);
    }
}

/// Fails GenerateRandom and delays ListKeys.
struct FixedHook;

impl RequestHook for FixedHook {
    fn before_operation<'a>(&'a self, request: &'a RequestInfo) -> HookFuture<'a> {
        Box::pin(async move {
            match request.operation {
                Operation::GenerateRandom => {
                    Verdict::Fail(KmsError::new(ErrorCode::Throttling, "Rate exceeded"))
                }
                Operation::ListKeys => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Verdict::Proceed
                }
                _ => Verdict::Proceed,
            }
        })
    }
}

#[tokio::test]
async fn a_hook_fails_and_delays_requests() {
    let server = RunningServer::builder()
        .principal(administrator())
        .alias(ALIAS)
        .hook(Arc::new(FixedHook))
        .start()
        .await
        .unwrap();
    let client = client(server.endpoint());
    let error = client
        .generate_random()
        .number_of_bytes(1)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("ThrottlingException"));
    client.describe_key().key_id(ALIAS).send().await.unwrap();

    // Shutdown waits for the request that the hook holds back.
    let slow = tokio::spawn(client.list_keys().send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown().await;
    assert_eq!(slow.await.unwrap().unwrap().keys().len(), 1);
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name() {
    let start = |builder: sealgate_kms_mock::ServerBuilder| async {
        builder.start().await.unwrap_err().to_string()
    };
    let builder = || RunningServer::builder().principal(administrator());
    assert!(
        start(RunningServer::builder())
            .await
            .contains("no principal")
    );
    assert!(start(builder().account("12")).await.contains("12 digits"));
    assert!(start(builder().region("US East")).await.contains("region"));
    assert!(start(builder().alias("nope")).await.contains("alias nope"));
    let outside = builder().control("0.0.0.0:0".parse().unwrap());
    assert!(start(outside).await.contains("loopback"));
    let taken = builder().start().await.unwrap();
    assert!(
        start(builder().listen(taken.local_addr()))
            .await
            .contains("choose another address")
    );
}
