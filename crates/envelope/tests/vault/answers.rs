//! Answers that cannot be right.

use sealgate_envelope::key_service::vault::{
    VaultConfiguration, VaultLimits, VaultLogin, VaultTransit,
};
use sealgate_envelope::key_service::{EncryptionContext, KeyService, UnwrapPermit, failure_of};
use sealgate_envelope::{Domain, KeyServiceFailure, Provider, WorkingKeyId, Wrap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A status and a body for the requests whose path contains the text.
type Answers = &'static [(&'static str, u16, &'static str)];

/// A server that gives each request the first answer for its path.
async fn service_answering(answers: Answers, login: VaultLogin) -> VaultTransit {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let length = connection.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]);
                let path = request.split(' ').nth(1).unwrap();
                let answer = answers.iter().find(|(part, ..)| path.contains(part));
                let (_, status, body) = answer.unwrap();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} Any\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                connection.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    let configuration = VaultConfiguration::new(address, "key", login)
        .allow_plain_http()
        .limits(VaultLimits {
            attempts: 1,
            ..VaultLimits::default()
        });
    VaultTransit::connect(configuration).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own policy and audit"
)]
async fn failure(service: &VaultTransit) -> Option<KeyServiceFailure> {
    let id = WorkingKeyId::from_bytes([7; 16]);
    let context = EncryptionContext::new(Domain::new("d").unwrap(), id);
    let key = service.key_reference().await.unwrap();
    let wrap = Wrap::new(Provider::VaultTransit, key, b"vault:v1:AAAA".into()).unwrap();
    let permit = UnwrapPermit::issue("test");
    let error = service.unwrap(&permit, &context, &wrap).await.unwrap_err();
    failure_of(&error)
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_an_answer_of_no_protocol() {
    let login = VaultLogin::AppRole {
        mount: "approle".to_owned(),
        role_id: "role".to_owned(),
        secret_id: "secret".to_owned().into(),
    };
    let answers: Answers = &[(
        "login",
        200,
        r#"{"auth":{"client_token":"line\nfeed","lease_duration":0,"renewable":false}}"#,
    )];
    let service = service_answering(answers, login).await;
    assert_eq!(failure(&service).await, Some(KeyServiceFailure::Malformed));
}

#[tokio::test]
async fn what_is_no_wrap_does_not_show_that_a_key_is_derived() {
    let answers: Answers = &[
        ("lookup-self", 200, r#"{"data":{"ttl":0}}"#),
        ("keys", 403, r#"{"errors":["permission denied"]}"#),
        (
            "datakey",
            200,
            r#"{"data":{"plaintext":"AAAA","ciphertext":"AAAA"}}"#,
        ),
        (
            "decrypt",
            400,
            r#"{"errors":["invalid ciphertext: no prefix"]}"#,
        ),
    ];
    let service = service_answering(answers, VaultLogin::Token("token".to_owned().into())).await;
    assert_eq!(failure(&service).await, Some(KeyServiceFailure::Malformed));
}
