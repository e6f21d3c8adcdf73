//! What nobody may find in the log, at its most talkative.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::presigning::PresigningConfig;
use sealgate_tests::{
    content::pattern,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{Rig, get, put, with_rig_of},
};

const BUCKET: &str = "logs";
const LIMIT: Duration = Duration::from_mins(3);

/// The part of a signature that nobody needs to read a log.
fn signature_of(text: &str) -> Result<String> {
    let found = text.split("Signature=").nth(1).context("no signature")?;
    let signature: String = found.chars().take(64).collect();
    ensure!(
        signature.chars().all(|digit| digit.is_ascii_hexdigit()),
        "{signature}"
    );
    Ok(signature)
}

/// Sends a signed GET, and its signature's last digit altered, and returns both signatures.
async fn ask(rig: &Rig, target: &str) -> Result<[String; 2]> {
    let endpoint = &rig.gateway.endpoint;
    let right =
        RawRequest::new("GET", target).sign(endpoint, Payload::Signed(b""), SystemTime::now())?;
    let wrong = right.clone().alter_authorization(|text| {
        let (kept, last) = text.split_at(text.len() - 1);
        format!("{kept}{}", if last == "0" { "1" } else { "0" })
    });
    let mut signatures = Vec::new();
    for (request, expected) in [(right, 200), (wrong, 403)] {
        signatures.push(signature_of(
            request.signed("authorization").context("not signed")?,
        )?);
        let answer: RawAnswer = request.send(endpoint).await?;
        ensure!(answer.status == expected, "{target}: {}", answer.status);
    }
    signatures.try_into().ok().context("two of them")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_no_secret_no_signature_and_nothing_that_was_stored() -> Result<()> {
    with_rig_of("[log]\nlevel = \"trace\"\n", LIMIT, async |rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        // Text, which a log line would show as it is.
        let content: String = pattern(7, 3_000)
            .iter()
            .map(|byte| char::from(b'a' + byte % 26))
            .collect();
        put(&client, BUCKET, "letter", content.as_bytes()).await?;
        ensure!(get(&client, BUCKET, "letter").await? == content.as_bytes());
        let kept = client
            .put_object()
            .bucket(BUCKET)
            .key("labelled")
            .metadata("patient", "Wilhelmine Quast");
        kept.body(content.clone().into_bytes().into())
            .send()
            .await?;

        let mut secrets = vec![
            content[100..140].to_owned(),
            "Wilhelmine".to_owned(),
            rig.gateway.endpoint.secret_access_key.clone(),
            rig.minio.endpoint.secret_access_key.clone(),
            rig.key_server.endpoint.secret_access_key.clone(),
        ];
        secrets.extend(ask(rig, &format!("/{BUCKET}/letter")).await?);
        secrets.extend(ask(rig, &format!("/{BUCKET}?list-type=2")).await?);
        let until = PresigningConfig::expires_in(Duration::from_mins(1))?;
        let presigned = client
            .get_object()
            .bucket(BUCKET)
            .key("letter")
            .presigned(until)
            .await?;
        let target = presigned
            .uri()
            .strip_prefix(&rig.gateway.endpoint.url)
            .context("of the gateway")?;
        let answer = RawRequest::new("GET", target)
            .send(&rig.gateway.endpoint)
            .await?;
        ensure!(answer.status == 200, "presigned: {}", answer.status);
        secrets.push(signature_of(target)?);

        let logged = rig.gateway.process.logged()?;
        // The log says what was asked.
        ensure!(
            logged.contains("/logs/letter") && logged.contains("GetObject"),
            "{logged}"
        );
        ensure!(
            logged.contains("TRACE") || logged.contains("DEBUG"),
            "nothing but the usual:\n{logged}"
        );
        for secret in secrets {
            ensure!(secret.len() >= 8, "{secret:?} would be found anywhere");
            let line = logged.lines().find(|line| line.contains(&secret));
            ensure!(line.is_none(), "{secret:?} in: {line:?}");
        }
        Ok(())
    })
    .await
}
