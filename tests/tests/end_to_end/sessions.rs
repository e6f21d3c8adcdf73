//! Credentials that live for hours: made by one gateway, taken by another, by real clients of AWS STS.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use sealgate_access::token::{NewSession, TOKEN_ENTROPY, TokenKeys};
use sealgate_tests::{
    audit_key, environment, process,
    python::{aws, python, run_aws},
    rig::{Rig, put, with_rig_of},
    servers::Gateway,
    session::SessionCredentials,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const BUCKET: &str = "sessions";
const LIMIT: Duration = Duration::from_mins(4);
const COMMAND_LIMIT: Duration = Duration::from_mins(2);
const ROLE: &str = "arn:aws:iam::000000000000:role/nightly";
/// The target of a listing.
const LISTING: &str = "/sessions?list-type=2";

const ISSUER: &str = "https://ci.example.org";

/// The secret of sessions, in the file that `configuration` names.
const SECRET: &str = "a secret of sessions, the same on every replica";

/// Files are looked at every two seconds, twice before they count.
const NOTICE: Duration = Duration::from_secs(20);

/// Sessions, a role that reads, and whatever more.
fn configuration(directory: &Path, trusts: &str) -> Result<String> {
    std::fs::write(directory.join("session-secret"), SECRET)?;
    Ok(format!(
        r#"
[sessions]
secrets = ["file:{}"]

[[role]]
name = "nightly"
identities = ["client"]
{trusts}

[policy]

[[policy.rule]]
id = "administration"
identities = ["client"]
allow = ["admin"]

[[policy.rule]]
id = "nightly-reads"
identities = ["nightly"]
allow = ["reader"]
"#,
        directory.join("session-secret").display()
    ))
}

/// A session that the test itself makes, as any replica does that knows the secret.
fn made(identity: &str, source: &str, lifetime: u64) -> Result<SessionCredentials> {
    let keys = TokenKeys::new("rig", &[SECRET.as_bytes()])?;
    let new = NewSession {
        identity,
        session: "of-the-test",
        source,
        signed_by: "",
        lifetime,
        grant: "",
    };
    let mut entropy = [0; TOKEN_ENTROPY];
    getrandom::fill(&mut entropy)?;
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let (token, session) = keys.issue(&new, now, &entropy)?;
    Ok(SessionCredentials {
        id: session.claims.access_key_id.clone(),
        secret: session.secret_access_key.to_string(),
        token,
    })
}

/// An identity provider: a key, and tokens that it signs.
struct Provider(Ed25519KeyPair);

impl Provider {
    fn new(seed: u8) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        pair.map(Self).map_err(|error| anyhow::anyhow!("{error}"))
    }

    fn keys(&self, kid: &str) -> String {
        let x = BASE64URL_NOPAD.encode(self.0.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x }] })
            .to_string()
    }

    fn token(&self, kid: &str, subject: &str, audience: &str) -> Result<String> {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let claims =
            json!({ "iss": ISSUER, "aud": audience, "sub": subject, "iat": now, "exp": now + 300 });
        let text = [json!({ "alg": "EdDSA", "kid": kid }), claims]
            .map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()))
            .join(".");
        let signature = self.0.sign(text.as_bytes());
        Ok(format!(
            "{text}.{}",
            BASE64URL_NOPAD.encode(signature.as_ref())
        ))
    }
}

/// Asks for the role with a provider's token and no other credentials.
fn ask_with_token(gateway: &Gateway, token: &str) -> Result<String> {
    run_aws(
        &gateway.endpoint,
        [
            "sts",
            "assume-role-with-web-identity",
            "--role-arn",
            ROLE,
            "--role-session-name",
            "run-7",
            "--web-identity-token",
            token,
        ],
    )
}

fn refused(outcome: Result<String>, code: &str) -> Result<()> {
    let message = format!("{:#}", outcome.err().context("it was allowed")?);
    ensure!(message.contains(code), "{code}: {message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_cli_gets_sessions_that_every_replica_takes() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let configuration = configuration(directory.path(), "")?;
    with_rig_of(&configuration, LIMIT, async |rig: &mut Rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        put(&client, BUCKET, "report", b"report").await?;
        let second = rig.gateway_with_more(&configuration)?;
        let endpoint = &rig.gateway.endpoint;
        let object = format!("s3://{BUCKET}/report");

        let printed = run_aws(endpoint, ["sts", "get-session-token", "--duration-seconds", "900"])?;
        let own = SessionCredentials::of_sts(&printed)?;
        for gateway in [&second, &rig.gateway] {
            ensure!(own.run_aws(gateway, &["s3", "cp", &object, "-"])? == "report");
        }
        let file = directory.path().join("file");
        std::fs::write(&file, vec![7; 9 << 20])?;
        let file = file.display().to_string();
        own.run_aws(&second, &["s3", "cp", &file, &format!("s3://{BUCKET}/parts")])?;

        let role = ["--role-arn", ROLE, "--role-session-name", "run-7"];
        let printed = run_aws(endpoint, [&["sts", "assume-role"], role.as_slice()].concat())?;
        let nightly = SessionCredentials::of_sts(&printed)?;
        ensure!(nightly.run_aws(&second, &["s3", "cp", &object, "-"])? == "report");
        let identity = nightly.run_aws(&second, &["sts", "get-caller-identity"])?;
        ensure!(identity.contains("assumed-role/nightly/run-7"), "{identity}");
        refused(nightly.run_aws(&second, &["s3", "rm", &object]), "AccessDenied")?;
        refused(
            run_aws(endpoint, ["sts", "assume-role", "--role-arn", &format!("{ROLE}-other"), "--role-session-name", "run-7"]),
            "(AccessDenied)",
        )?;
        refused(
            run_aws(endpoint, ["sts", "get-session-token", "--duration-seconds", "129600"]),
            "(ValidationError)",
        )?;

        // A profile that assumes the role by itself, as operators write it.
        let profile = directory.path().join("profile");
        std::fs::write(
            &profile,
            format!("[profile nightly]\nrole_arn = {ROLE}\ncredential_source = Environment\nrole_session_name = by-profile\n"),
        )?;
        let mut command = aws(&second.endpoint)?;
        command
            .env("AWS_CONFIG_FILE", &profile)
            .env("AWS_ENDPOINT_URL_STS", &endpoint.url)
            .args(["--profile", "nightly", "s3", "cp", &object, "-"]);
        ensure!(process::run_successfully(&mut command, COMMAND_LIMIT)? == "report");
        ensure!(second.process.logged()?.contains("nightly/by-profile"));
        // The log shows neither tokens nor secrets.
        for gateway in [&rig.gateway, &second] {
            let logged = gateway.process.logged()?;
            ensure!(!logged.contains(&own.token) && !logged.contains(&own.secret));
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_gets_uses_and_is_refused_sessions_and_all_of_it_is_recorded() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let configuration = configuration(directory.path(), "")?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    audit_key::make(
        "example.com/sessions",
        &directory.path().join("audit.key"),
        &[],
    )?;
    let audit = |name: &str| {
        format!(
            "{configuration}\n[audit]\ndirectory = \"{}\"\nkey = \"file:{}\"\n",
            path(name),
            path("audit.key")
        )
    };
    with_rig_of(&audit("audit"), LIMIT, async |rig: &mut Rig| {
        rig.clients(BUCKET).await?;
        let second = rig.gateway_with_more(&audit("audit-2"))?;
        let mut command = python(&rig.gateway.endpoint, "tests")?;
        command.env("SESSIONS_DIRECTORY", directory.path()).args([
            "-m",
            "sessions",
            &rig.gateway.endpoint.url,
            &second.endpoint.url,
            BUCKET,
            ROLE,
        ]);
        let printed = process::run_successfully(&mut command, COMMAND_LIMIT)?;
        ensure!(printed.trim_end().ends_with("done"), "{printed}");

        // Who got a session at the second gateway is recorded there, and what it did at the first.
        let found = |log: &str, action: &str| -> Result<Vec<Value>> {
            let mut search = Command::new(environment::own_program("sealgate")?);
            search.args(["audit", "search", &path(log), "--action", action, "--json"]);
            let printed = process::run_successfully(&mut search, COMMAND_LIMIT)?;
            printed
                .lines()
                .map(|line| Ok(serde_json::from_str(line)?))
                .collect()
        };
        let made = found("audit-2", "AssumeRole")?;
        let made = made
            .iter()
            .find(|record| record["decision"] == "allow")
            .context("no session of a role is recorded")?;
        let policy = made["policy"].as_str().unwrap_or_default();
        let id = policy
            .strip_prefix("role nightly, session boto3-run ")
            .with_context(|| format!("{made:#}"))?;
        ensure!(
            made["identity"] == "client" && made["session"].is_string(),
            "{made:#}"
        );
        let read = found("audit", "decrypt")?;
        let session = json!(format!("{id} boto3-run client"));
        ensure!(
            read.iter().any(|record| record["identity"] == "nightly"
                && record["session"] == session
                && record["key"] == "sessions/one"),
            "{session} {read:#?}"
        );
        let refused = found("audit", "AssumeRole")?;
        ensure!(
            refused.iter().any(|record| record["decision"] == "deny"),
            "{refused:#?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_themselves_and_when_what_they_stand_for_is_taken_back() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let configuration = configuration(directory.path(), "")?;
    with_rig_of(&configuration, LIMIT, async |rig: &mut Rig| {
        rig.clients(BUCKET).await?;
        let gateway = &rig.gateway;
        // The error code of a listing, if any.
        let code = async |session: &SessionCredentials| session.error_code(gateway, "GET", LISTING).await;
        let becomes_invalid = async |session: &SessionCredentials| -> Result<()> {
            let deadline = Instant::now() + NOTICE;
            while code(session).await?.as_deref() != Some("InvalidToken") {
                ensure!(Instant::now() < deadline, "not within {NOTICE:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        };
        let short = made("client", "", 3)?;
        ensure!(code(&short).await?.is_none());
        let role = made("nightly", "client", 900)?;
        ensure!(code(&role).await?.is_none());
        // The wrong token, a changed one, and those of nobody.
        ensure!(code(&role.with_token(&short.token)).await?.as_deref() == Some("InvalidToken"));
        // Whatever the last character is, another one stands in its place.
        let cut = role.token.get(..role.token.len() - 1).unwrap_or_default();
        let last = if role.token.ends_with('A') { 'Q' } else { 'A' };
        let changed = format!("{cut}{last}");
        ensure!(code(&role.with_token(&changed)).await?.as_deref() == Some("InvalidToken"));
        for (identity, source) in [("nobody", ""), ("nightly", ""), ("nightly", "nobody"), ("client", "client"), ("nightly", "ci/x")] {
            let made = made(identity, source, 900)?;
            let found = code(&made).await?;
            ensure!(found.as_deref() == Some("InvalidToken"), "{identity} {source}: {found:?}");
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        ensure!(code(&short).await?.as_deref() == Some("ExpiredToken"));

        // Whoever may assume the role no more has lost its sessions, too.
        let text = std::fs::read_to_string(&gateway.configuration)?;
        let changed = text.replace("[[role]]", "[[identity]]\nname = \"other\"\n[[identity.credential]]\naccess_key_id = \"SGOTHER\"\nsecret_access_key = \"env:CLIENT_SECRET\"\n[[role]]")
            .replace("identities = [\"client\"]\n\n\n[policy]", "identities = [\"other\"]\n\n\n[policy]");
        ensure!(changed.contains("identities = [\"other\"]"), "{changed}");
        std::fs::write(&gateway.configuration, changed)?;
        gateway.process.signal("HUP")?;
        becomes_invalid(&role).await?;
        // Another secret ends all of them.
        let own = made("client", "", 900)?;
        ensure!(code(&own).await?.is_none());
        std::fs::write(directory.path().join("session-secret"), "another secret of sessions, long enough")?;
        becomes_invalid(&own).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn web_identities_assume_roles_by_the_keys_in_a_file() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let provider = Provider::new(1)?;
    let jwks = directory.path().join("jwks.json");
    std::fs::write(&jwks, provider.keys("one"))?;
    let trusts = format!(
        "[[role.web_identity]]\nprovider = \"ci\"\nsubjects = [\"repo:acme/*\"]\n[[web_identity_provider]]\nname = \"ci\"\nissuer = \"{ISSUER}\"\naudiences = [\"sealgate\"]\njwks_file = \"{}\"\n",
        jwks.display()
    );
    let configuration = configuration(directory.path(), &trusts)?;
    with_rig_of(&configuration, LIMIT, async |rig: &mut Rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        put(&client, BUCKET, "report", b"report").await?;
        let gateway = &rig.gateway;
        let token = provider.token("one", "repo:acme/app", "sealgate")?;
        let made = SessionCredentials::of_sts(&ask_with_token(gateway, &token)?)?;
        let object = format!("s3://{BUCKET}/report");
        ensure!(made.run_aws(gateway, &["s3", "cp", &object, "-"])? == "report");

        // Somebody else's subject, audience, key.
        let other_key = Provider::new(2)?.token("one", "repo:acme/app", "sealgate")?;
        for (token, code) in [
            (
                provider.token("one", "repo:evil/app", "sealgate")?,
                "(AccessDenied)",
            ),
            (
                provider.token("one", "repo:acme/app", "other")?,
                "(InvalidIdentityToken)",
            ),
            (other_key, "(InvalidIdentityToken)"),
            ("nonsense".to_owned(), "(InvalidIdentityToken)"),
        ] {
            refused(ask_with_token(gateway, &token), code)?;
        }

        // As a pod has it: a file with a token and two variables, which the CLI's own provider of credentials reads.
        let file = directory.path().join("token");
        std::fs::write(&file, &token)?;
        let mut command = aws(&gateway.endpoint)?;
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_ROLE_ARN", ROLE)
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
            .env("AWS_ENDPOINT_URL_STS", &gateway.endpoint.url)
            .args(["s3", "cp", &object, "-"]);
        ensure!(process::run_successfully(&mut command, COMMAND_LIMIT)? == "report");
        ensure!(!gateway.process.logged()?.contains(&token));

        // A new key in the file is taken without a restart.
        let next = Provider::new(3)?;
        std::fs::write(&jwks, next.keys("two"))?;
        let token = next.token("two", "repo:acme/app", "sealgate")?;
        let deadline = Instant::now() + NOTICE;
        while ask_with_token(gateway, &token).is_err() {
            ensure!(Instant::now() < deadline, "not within {NOTICE:?}");
        }
        refused(
            ask_with_token(
                gateway,
                &provider.token("one", "repo:acme/app", "sealgate")?,
            ),
            "(InvalidIdentityToken)",
        )
    })
    .await
}

/// Answers every request with the same document, and counts them.
async fn serve(
    listener: TcpListener,
    document: String,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        let mut piece = [0; 1_024];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut piece).await {
                Ok(length) if length > 0 => {
                    head.extend_from_slice(piece.get(..length).unwrap_or_default());
                }
                _ => break,
            }
        }
        if !head.starts_with(b"GET /keys/jwks.json?v=1 HTTP/1.1\r\n") {
            continue;
        }
        asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let length = document.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{document}"
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_identities_assume_roles_by_the_keys_at_a_url() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let provider = Provider::new(4)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let trusts = format!(
        "[[role.web_identity]]\nprovider = \"ci\"\nsubjects = [\"*\"]\n[[web_identity_provider]]\nname = \"ci\"\nissuer = \"{ISSUER}\"\naudiences = [\"sealgate\"]\njwks_url = \"http://{}/keys/jwks.json?v=1\"\n",
        listener.local_addr()?
    );
    let configuration = configuration(directory.path(), &trusts)?;
    with_rig_of(&configuration, LIMIT, async |rig: &mut Rig| {
        let gateway = &rig.gateway;
        let asked = std::sync::Arc::default();
        let server = tokio::spawn(serve(
            listener,
            provider.keys("one"),
            std::sync::Arc::clone(&asked),
        ));
        let token = provider.token("one", "anybody", "sealgate")?;
        for _ in 0..2 {
            SessionCredentials::of_sts(&ask_with_token(gateway, &token)?)?;
        }
        // Keys that nobody knows do not make it ask again and again.
        let unknown = provider.token("other", "anybody", "sealgate")?;
        for _ in 0..2 {
            refused(ask_with_token(gateway, &unknown), "(InvalidIdentityToken)")?;
        }
        ensure!(
            asked.load(std::sync::atomic::Ordering::SeqCst) == 1,
            "{asked:?}"
        );
        // Without the provider, what is known goes on; a gateway that never had it says so.
        server.abort();
        SessionCredentials::of_sts(&ask_with_token(gateway, &token)?)?;
        let second = rig.gateway_with_more(&configuration)?;
        refused(ask_with_token(&second, &token), "(IDPCommunicationError)")
    })
    .await
}
