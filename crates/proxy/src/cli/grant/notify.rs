//! Who is told of a step. What is told is no secret and no proof: whoever gets it looks at the request before they sign.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sealgate_access::grant::GrantRequest;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::describe;
use crate::config::NotifyConfig;
use crate::web_client::WebClient;

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Tells of a step (`requested`, `approved`, `denied`, `revoked`) by whoever made it.
///
/// # Errors
/// Where somebody could not be told; the others were.
pub(super) async fn notify(
    config: &NotifyConfig,
    event: &str,
    by: &str,
    request: &GrantRequest,
) -> anyhow::Result<()> {
    let document = json!({
        "event": format!("grant-{event}"),
        "by": by,
        "grant": describe::request_json(request),
    })
    .to_string();
    let posted = match &config.webhook {
        Some(address) => WebClient::new(address, 0)?.post(document.clone()).await,
        None => Ok(()),
    };
    let ran = match config.command.split_first() {
        Some((program, arguments)) => execute(program, arguments, event, request, &document).await,
        None => Ok(()),
    };
    posted.context("grants.notify.webhook")?;
    ran.context("grants.notify.command")
}

async fn execute(
    program: &str,
    arguments: &[String],
    event: &str,
    request: &GrantRequest,
    document: &str,
) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        // The configuration's secrets may be in the environment.
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
        .env("SEALGATE_GRANT_EVENT", event)
        .env("SEALGATE_GRANT_ID", &request.id)
        .stdin(Stdio::piped())
        // What it says does not belong into this command's document.
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| program.to_owned())?;
    let mut input = child.stdin.take().context("no standard input")?;
    let run = async {
        // A program that does not want it closes its end.
        let _ = input.write_all(document.as_bytes()).await;
        drop(input);
        child.wait().await
    };
    let Ok(ended) = tokio::time::timeout(LIMIT, run).await else {
        bail!("{program} has not ended within {LIMIT:?}");
    };
    let status = ended?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// As [`notify`]; what goes wrong is a warning, because the step itself was made.
pub(super) async fn notify_or_warn(
    config: &NotifyConfig,
    event: &str,
    by: &str,
    request: &GrantRequest,
) -> bool {
    let outcome = notify(config, event, by, request).await;
    if let Err(error) = &outcome {
        super::super::output::error(&anyhow::anyhow!(
            "warning: recorded, but not everybody was told: {error:#}"
        ));
    }
    outcome.is_ok()
}
