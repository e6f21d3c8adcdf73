//! Outages, throttling, time limits, and answers that cannot be right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate_envelope::KeyServiceFailure;
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::aws::{AwsKms, AwsKmsConfiguration, AwsKmsLimits};
use sealgate_kms_mock::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::rig::{Rig, context, credentials, failure, permit, quick_limits};

const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012";

#[tokio::test]
async fn throttling_is_retried_within_the_attempts_and_then_reported() {
    let rig = Rig::start().await;
    let service = rig.service_for(&rig.arn()).await;
    rig.faults.fail(ErrorCode::Throttling, 2);
    service.generate(&context("d")).await.unwrap();
    assert_eq!(rig.faults.requests(), 3);

    rig.faults.fail(ErrorCode::Throttling, 100);
    assert_eq!(
        failure(service.generate(&context("d")).await),
        KeyServiceFailure::Throttled
    );
    assert_eq!(rig.faults.requests(), 6);
}

#[tokio::test]
async fn refusals_are_not_retried() {
    let rig = Rig::start().await;
    let service = rig.service_for(&rig.arn()).await;
    for (code, expected) in [
        (ErrorCode::AccessDenied, KeyServiceFailure::Denied),
        (ErrorCode::Disabled, KeyServiceFailure::KeyUnusable),
        (ErrorCode::InvalidCiphertext, KeyServiceFailure::Refused),
        (ErrorCode::InvalidKeyUsage, KeyServiceFailure::Misconfigured),
    ] {
        let before = rig.faults.requests();
        rig.faults.fail(code, 1);
        assert_eq!(failure(service.generate(&context("d")).await), expected);
        assert_eq!(rig.faults.requests() - before, 1, "{expected:?}");
    }
}

#[tokio::test]
async fn the_retry_budget_stops_retries_in_a_long_outage() {
    let rig = Rig::start().await;
    let limits = AwsKmsLimits {
        retry_budget: 20,
        ..quick_limits()
    };
    let service = AwsKms::connect(rig.configuration(&rig.arn()).limits(limits))
        .await
        .unwrap();
    rig.faults.fail(ErrorCode::KmsInternal, 1_000);
    for _ in 0..20 {
        assert_eq!(
            failure(service.generate(&context("d")).await),
            KeyServiceFailure::Unavailable
        );
    }
    let requests = rig.faults.requests();
    assert!(
        (21..=30).contains(&requests),
        "20 calls and at most a few retries, not {requests}"
    );
}

#[tokio::test]
async fn wrong_credentials_are_denied() {
    let rig = Rig::start().await;
    for (access_key_id, secret) in [
        ("AKIAGATEWAY", "not the secret"),
        ("AKIANOBODY", "whatever it is"),
    ] {
        let configuration = rig
            .configuration(&rig.arn())
            .credentials(credentials(access_key_id, secret));
        let service = AwsKms::connect(configuration).await.unwrap();
        assert_eq!(
            failure(service.generate(&context("d")).await),
            KeyServiceFailure::Denied
        );
    }
}

#[tokio::test]
async fn a_slow_service_is_given_up_in_time() {
    let rig = Rig::start().await;
    rig.faults.delay(Duration::from_secs(30));
    let limits = AwsKmsLimits {
        read_timeout: Duration::from_millis(100),
        attempt_timeout: Duration::from_millis(200),
        operation_timeout: Duration::from_millis(700),
        ..quick_limits()
    };
    let service = AwsKms::connect(rig.configuration(&rig.arn()).limits(limits))
        .await
        .unwrap();
    let started = Instant::now();
    assert_eq!(
        failure(service.generate(&context("d")).await),
        KeyServiceFailure::Unavailable
    );
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_closed_port_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(
        failure(service_at(endpoint).await.generate(&context("d")).await),
        KeyServiceFailure::Unavailable
    );
}

async fn service_at(endpoint: String) -> AwsKms {
    let configuration = AwsKmsConfiguration::new(ARN)
        .endpoint(endpoint)
        .allow_plain_http()
        .credentials(credentials("AKIA", "secret"))
        .limits(AwsKmsLimits {
            attempts: 1,
            ..quick_limits()
        });
    AwsKms::connect(configuration).await.unwrap()
}

/// A server that gives every request the same answer.
async fn service_answering(status: &'static str, body: String) -> AwsKms {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let body = Arc::new(body);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let body = Arc::clone(&body);
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let _read = connection.read(&mut request).await;
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _written = connection
                    .write_all(format!("{head}{body}").as_bytes())
                    .await;
            });
        }
    });
    service_at(endpoint).await
}

#[tokio::test]
async fn impossible_answers_are_refused_and_never_shown() {
    let key = |length: usize| data_encoding::BASE64.encode(&vec![0x5a; length]);
    let answer = |plaintext: &str, arn: &str| {
        format!(r#"{{"Plaintext":"{plaintext}","CiphertextBlob":"AAAA","KeyId":"{arn}"}}"#)
    };
    let good = service_answering("200 OK", answer(&key(32), ARN)).await;
    good.generate(&context("d")).await.unwrap();
    for body in [
        answer(&key(31), ARN),
        answer(&key(33), ARN),
        answer("", ARN),
        answer(&key(32), &ARN.replace("1234-", "9999-")),
        format!(r#"{{"Plaintext":"{}","KeyId":"{ARN}"}}"#, key(32)),
        format!(r#"{{"CiphertextBlob":"AAAA","KeyId":"{ARN}"}}"#),
        format!(r#"{{"Plaintext":"{}","CiphertextBlob":"AAAA"}}"#, key(32)),
        format!(
            r#"{{"Plaintext":"{}","CiphertextBlob":"{}","KeyId":"{ARN}"}}"#,
            key(32),
            key(1_025)
        ),
        format!(r#"{{"Plaintext":"{}""#, key(32)),
        "<html>a proxy's page</html>".to_owned(),
    ] {
        let service = service_answering("200 OK", body.clone()).await;
        let error = service.generate(&context("d")).await.unwrap_err();
        assert!(
            !format!("{error:?}").contains("WlpaWlpa"),
            "the key is in {error:?}"
        );
        assert_eq!(
            failure::<()>(Err(error)),
            KeyServiceFailure::Malformed,
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let answer = |padding: usize| {
        let padding = "a".repeat(padding);
        format!(
            r#"{{"KeyMetadata":{{"KeyId":"1","Arn":"{ARN}","KeyUsage":"ENCRYPT_DECRYPT"}},"Padding":"{padding}"}}"#
        )
    };
    let long = service_answering("200 OK", answer(1_000_000)).await;
    assert!(long.describe().await.is_ok());
    let too_long = service_answering("200 OK", answer(1 << 20)).await;
    assert_eq!(
        failure(too_long.describe().await),
        KeyServiceFailure::Malformed
    );
}

#[tokio::test]
async fn what_is_said_of_another_key_is_no_description_and_no_deletion() {
    let answer = |arn: &str| {
        format!(
            r#"{{"KeyMetadata":{{"KeyId":"1","Arn":"{arn}","KeyUsage":"ENCRYPT_DECRYPT","KeyState":"PendingDeletion","DeletionDate":1800000000}}}}"#
        )
    };
    let good = service_answering("200 OK", answer(ARN)).await;
    assert!(good.describe().await.unwrap().deletion.is_some());
    assert_eq!(
        good.schedule_deletion(7).await.unwrap().final_from,
        1_800_000_000_000
    );
    let other = service_answering("200 OK", answer(&ARN.replace("1234-", "9999-"))).await;
    assert_eq!(
        failure(other.describe().await),
        KeyServiceFailure::Malformed
    );
    assert_eq!(
        failure(other.schedule_deletion(7).await),
        KeyServiceFailure::Malformed
    );
}

#[tokio::test]
async fn statuses_without_a_code_are_sorted_by_the_status() {
    for (status, expected) in [
        ("502 Bad Gateway", KeyServiceFailure::Unavailable),
        ("503 Service Unavailable", KeyServiceFailure::Unavailable),
        ("429 Too Many Requests", KeyServiceFailure::Throttled),
        ("403 Forbidden", KeyServiceFailure::Denied),
        ("418 I'm a teapot", KeyServiceFailure::Malformed),
    ] {
        for body in ["", "{}", "<html></html>"] {
            let service = service_answering(status, body.to_owned()).await;
            assert_eq!(
                failure(service.generate(&context("d")).await),
                expected,
                "{status} {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_key_server_that_stops_is_an_outage_until_it_is_back() {
    let rig = Rig::start().await;
    let service = rig.service().await;
    let (_, wrap) = service.generate(&context("d")).await.unwrap();
    rig.server.shutdown().await;
    assert_eq!(
        failure(service.unwrap(&permit(), &context("d"), &wrap).await),
        KeyServiceFailure::Unavailable
    );
}
