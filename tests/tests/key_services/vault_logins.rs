//! The ways to log in to Vault, the life of its tokens, TLS in both directions, and a gateway that stands on it.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use sealgate_envelope::KeyServiceFailure;
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::vault::{
    ClientCertificate, TrustRoots, VaultConfiguration, VaultLogin, VaultTransit,
};
use sealgate_tests::process::run_successfully;
use sealgate_tests::servers::{Vault, vault::ROOT_TOKEN};
use sealgate_tests::{certificates, environment};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::behaviour::{context, expect, permit};
use super::vault::{limits, root};

fn service(vault: &Vault, login: VaultLogin) -> Result<VaultTransit> {
    let configuration = VaultConfiguration::new(&vault.url, "sealgate", login)
        .allow_plain_http()
        .limits(limits());
    Ok(VaultTransit::connect(configuration)?)
}

async fn round_trip(service: &VaultTransit) -> Result<()> {
    let detail = |error: sealgate_envelope::Error| anyhow!("{}", error.detail());
    let (made, wrap) = service.generate(&context("d", 1)).await.map_err(detail)?;
    let opened = service
        .unwrap(&permit(), &context("d", 1), &wrap)
        .await
        .map_err(detail)?;
    ensure!(opened == made);
    Ok(())
}

fn start(directory: &Path) -> Result<Vault> {
    let vault = Vault::start(directory)?;
    vault.make_key("sealgate")?;
    Ok(vault)
}

/// Two seconds of life, renewed up to five, then a new login: ten seconds need both.
#[tokio::test]
async fn an_app_role_renews_its_token_and_logs_in_anew() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = start(directory.path())?;
    let short = json!({ "token_ttl": "2s", "token_max_ttl": "5s" });
    let (role_id, secret_file) =
        vault.make_role("gateway", "sealgate", &short, directory.path())?;
    let login = VaultLogin::AppRole {
        mount: "approle".to_owned(),
        role_id: role_id.clone(),
        secret_id: std::fs::read_to_string(secret_file)?.into(),
    };
    let service = service(&vault, login)?;
    let (made, wrap) = service.generate(&context("d", 1)).await?;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let opened = service.unwrap(&permit(), &context("d", 1), &wrap).await?;
        ensure!(opened == made);
    }
    let wrong = VaultLogin::AppRole {
        mount: "approle".to_owned(),
        role_id,
        secret_id: "wrong".to_owned().into(),
    };
    let wrong = self::service(&vault, wrong)?;
    expect(
        &wrong.generate(&context("d", 1)).await,
        KeyServiceFailure::Denied,
    )
}

/// A token that was given once has nobody to log in again, so only a renewal keeps it alive. One of the two may not look
/// itself up, and is renewed all the same.
#[tokio::test]
async fn a_token_that_was_given_is_renewed_also_where_it_may_not_look_itself_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = start(directory.path())?;
    vault.write_policy("gateway", "sealgate")?;
    let renewal = "path \"auth/token/renew-self\" { capabilities = [\"update\"] }\n";
    let look_up = "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }\n";
    let both = format!("{renewal}{look_up}");
    for (name, policy) in [("renewal", renewal), ("both", &both)] {
        let policy = json!({ "policy": policy });
        vault.request("PUT", &format!("sys/policies/acl/{name}"), &policy)?;
    }
    let make_token = |id: &str, policies: &[&str]| -> Result<VaultTransit> {
        let token = json!({
            "id": id, "policies": policies, "no_default_policy": true,
            "ttl": "4s", "period": "4s",
        });
        vault.write("auth/token/create", &token)?;
        service(&vault, VaultLogin::Token(id.to_owned().into()))
    };
    let seeing = make_token("seeing", &["gateway", "both"])?;
    let blind = make_token("blind", &["gateway", "renewal"])?;
    let mortal = make_token("mortal", &["gateway"])?;
    for service in [&seeing, &blind, &mortal] {
        round_trip(service).await?;
    }
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        round_trip(&seeing).await.context("may look itself up")?;
        round_trip(&blind).await.context("may only renew itself")?;
    }
    // Without a renewal four seconds are all: else the others would prove nothing.
    let ended = mortal.generate(&context("d", 1)).await;
    expect(&ended, KeyServiceFailure::Denied)
}

/// Revoked by an administrator: a role logs in again, a token that was given once can't.
#[tokio::test]
async fn a_revoked_token_is_replaced_where_that_is_possible() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = start(directory.path())?;
    let (role_id, secret_file) =
        vault.make_role("gateway", "sealgate", &json!({}), directory.path())?;
    let role = service(
        &vault,
        VaultLogin::AppRole {
            mount: "approle".to_owned(),
            role_id,
            secret_id: std::fs::read_to_string(secret_file)?.into(),
        },
    )?;
    round_trip(&role).await?;
    let path = "auth/approle/login";
    vault.write(&format!("sys/leases/revoke-prefix/{path}"), &json!({}))?;
    round_trip(&role).await?;

    let make_token = |id: &str| {
        let token = json!({ "id": id, "policies": ["gateway"], "ttl": "1h" });
        vault.write("auth/token/create", &token)
    };
    make_token("first")?;
    make_token("second")?;
    let file = directory.path().join("token");
    std::fs::write(&file, "first\n")?;
    let given = service(&vault, VaultLogin::Token("first".to_owned().into()))?;
    let from_file = service(&vault, VaultLogin::TokenFile(file.clone()))?;
    round_trip(&given).await?;
    round_trip(&from_file).await?;
    vault.write("auth/token/revoke", &json!({ "token": "first" }))?;
    std::fs::write(&file, "second\n")?;
    expect(
        &given.generate(&context("d", 1)).await,
        KeyServiceFailure::Denied,
    )?;
    round_trip(&from_file).await
}

/// What Vault asks a cluster about a service account's token, answered here: the login itself is Vault's own.
async fn review_tokens(listener: TcpListener, jwt: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.ends_with(b"}") && !request.ends_with(b"}\n") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                break;
            }
        }
        let genuine = String::from_utf8_lossy(&request).contains(&jwt);
        let status = json!({
            "authenticated": genuine,
            "user": { "username": "system:serviceaccount:storage:sealgate", "uid": "1" },
        });
        let review = json!({ "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status });
        let body = review.to_string();
        let answer = format!(
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok();
    }
}

/// A token as Kubernetes writes it; nobody checks its signature but the cluster.
fn service_account_token(number: u32) -> String {
    let part = |value: &serde_json::Value| {
        data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes())
    };
    let claims = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:storage:sealgate",
        "nbf": 1_600_000_000_u64,
        "iat": 1_600_000_000_u64,
        "exp": 4_000_000_000_u64,
        "jti": number.to_string(),
        "kubernetes.io/serviceaccount/namespace": "storage",
        "kubernetes.io/serviceaccount/service-account.name": "sealgate",
        "kubernetes.io/serviceaccount/service-account.uid": "1",
    });
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    format!("{}.{}.{}", part(&header), part(&claims), "c2lnbmF0dXJl")
}

#[tokio::test]
async fn a_service_account_of_kubernetes_logs_in_with_the_file_that_the_cluster_rotates()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = start(directory.path())?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let host = format!("http://{}", listener.local_addr()?);
    let cluster = tokio::spawn(review_tokens(listener, service_account_token(2)));
    vault.write_policy("gateway", "sealgate")?;
    // Not used with plaintext; Vault wants one all the same.
    let authority = certificates::make(directory.path())?.ca_file;
    let settings = json!({
        "kubernetes_host": host,
        "kubernetes_ca_cert": std::fs::read_to_string(authority)?,
        "disable_local_ca_jwt": true,
        "token_reviewer_jwt": service_account_token(0),
        "disable_iss_validation": true,
    });
    vault.write("auth/kubernetes/config", &settings)?;
    let role = json!({
        "bound_service_account_names": "sealgate",
        "bound_service_account_namespaces": "storage",
        "token_policies": "gateway",
    });
    vault.write("auth/kubernetes/role/gateway", &role)?;
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, service_account_token(1))?;
    let login = || VaultLogin::Kubernetes {
        mount: "kubernetes".to_owned(),
        role: "gateway".to_owned(),
        token_file: token_file.clone(),
    };
    // One that the cluster has replaced, and its successor in the same file.
    let service = service(&vault, login())?;
    expect(
        &service.generate(&context("d", 1)).await,
        KeyServiceFailure::Denied,
    )?;
    std::fs::write(&token_file, service_account_token(2))?;
    round_trip(&service).await?;
    cluster.abort();
    Ok(())
}

#[tokio::test]
async fn tls_takes_a_private_authority_and_shows_a_certificate() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = certificates::make(directory.path())?;
    let vault = Vault::start_with(directory.path(), Some(files.clone()))?;
    vault.make_key("sealgate")?;
    let configuration = || VaultConfiguration::new(&vault.url, "sealgate", root()).limits(limits());
    let authority = TrustRoots::Pem(std::fs::read(&files.ca_file)?);
    let certificate = ClientCertificate {
        chain: std::fs::read(&files.certificate)?,
        key: std::fs::read(&files.key)?.into(),
    };
    let complete = configuration()
        .trust_roots(authority.clone())
        .client_certificate(certificate.clone());
    round_trip(&VaultTransit::connect(complete)?).await?;
    for lacking in [
        configuration().trust_roots(authority),
        configuration().client_certificate(certificate),
    ] {
        let service = VaultTransit::connect(lacking)?;
        let outcome = service.generate(&context("d", 1)).await;
        expect(&outcome, KeyServiceFailure::Unavailable)?;
    }
    Ok(())
}

/// From the configuration: `sealgate seal` and `open` with the same file, and what `check` says of the key.
#[tokio::test]
async fn a_configuration_with_vault_seals_and_opens() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = start(directory.path())?;
    let (role_id, _) = vault.make_role("gateway", "sealgate", &json!({}), directory.path())?;
    let configuration = directory.path().join("sealgate.toml");
    std::fs::write(
        &configuration,
        format!(
            r#"
deployment = "d"
[listener]
address = "127.0.0.1:0"
[upstream]
endpoint = "http://127.0.0.1:1"
region = "us-east-1"
credentials = {{ access_key_id = "none", secret_access_key = "env:UPSTREAM" }}
[[key_service]]
type = "vault-transit"
endpoint = "{}"
key = "sealgate"
login = {{ method = "approle", role_id = "{role_id}", secret_id = "file:gateway-secret-id" }}
[[identity]]
name = "app"
[[identity.credential]]
access_key_id = "app"
secret_access_key = "env:UPSTREAM"
"#,
            vault.url
        ),
    )?;
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "what Vault keeps the key of")?;
    let sealed = directory.path().join("sealed");
    let opened = directory.path().join("opened");
    let sealgate = |arguments: &[&Path]| -> Result<String> {
        let mut command = Command::new(environment::own_program("sealgate")?);
        command
            .args(arguments)
            .env("UPSTREAM", "a-secret-of-nobody");
        run_successfully(&mut command, Duration::from_secs(30))
    };
    let [seal, open, flag] = ["seal", "open", "--config"].map(Path::new);
    sealgate(&[seal, flag, &configuration, &plain, &sealed])?;
    sealgate(&[open, flag, &configuration, &sealed, &opened])?;
    ensure!(std::fs::read(&opened)? == std::fs::read(&plain)?);

    let mut check = Command::new(environment::own_program("sealgate")?);
    check
        .args(["check", "--json", "--config"])
        .arg(&configuration)
        .env("UPSTREAM", "a-secret-of-nobody");
    // The storage is not there, so the command as a whole fails.
    let report = sealgate_tests::process::run(&mut check, Duration::from_mins(1))?;
    let report: serde_json::Value = serde_json::from_slice(&report.stdout)?;
    let text = report.to_string();
    let findings = report
        .pointer("/findings")
        .and_then(|findings| findings.as_array());
    let of_vault = findings
        .context("no findings")?
        .iter()
        .find(|finding| finding.to_string().contains("Vault key transit/sealgate"));
    ensure!(
        of_vault.and_then(|finding| finding.pointer("/supported")) == Some(&json!(true)),
        "{text}"
    );
    ensure!(!text.contains(ROOT_TOKEN));
    Ok(())
}
