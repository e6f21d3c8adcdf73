//! What `sealgate dev` tells a newcomer before it serves.

use std::fmt::Write as _;

use super::embedded::Embedded;
use super::hex_dump;
use super::plan::Plan;
use super::round_trip::Exchange;

/// Lines of the storage's bytes that are shown.
const SHOWN_LINES: usize = 6;
/// What clients sign for, which the gateway leaves to them: in older regions, such as us-east-1, version 1 of the aws CLI presigns with Signature
/// Version 2.
const CLIENT_REGION: &str = "eu-central-1";

/// The text, without the line end behind it.
pub(super) fn render(
    plan: &Plan,
    embedded: &Embedded,
    url: &str,
    exchange: Result<&Exchange, &String>,
) -> String {
    let storage = match (&plan.upstream, embedded.storage_endpoint()) {
        (Some(upstream), _) => upstream.endpoint.to_string(),
        (None, Some(endpoint)) => format!("{endpoint}  (embedded)"),
        (None, None) => String::new(),
    };
    let keys = match (&plan.key_service, embedded.key_server_endpoint()) {
        (Some(service), _) => {
            let place = service
                .endpoint
                .as_ref()
                .map_or("AWS KMS".to_owned(), ToString::to_string);
            format!("{place}  (key {})", service.key)
        }
        (None, Some(endpoint)) => format!("{endpoint}  (embedded)"),
        (None, None) => String::new(),
    };
    let mut text = format!(
        "sealgate dev: for trying out and for tests, not for real data\n\n\
         \x20 clients ──► gateway     {url}\n\
         \x20             ├─► storage     {storage}\n\
         \x20             └─► key server  {keys}\n\
         \x20 directory   {}   deployment {}\n\n",
        plan.directory.display(),
        plan.deployment
    );
    // Writing to a string does not fail.
    let _ = match exchange {
        Ok(exchange) => write!(
            text,
            "One object, just now. The client sent and got back {} bytes:\n\n{}\n\
             The storage held {} bytes for it:\n\n{}\n",
            exchange.plaintext.len(),
            hex_dump::render(&exchange.plaintext, SHOWN_LINES),
            exchange.stored.len(),
            hex_dump::render(&exchange.stored, SHOWN_LINES)
        ),
        Err(cause) => writeln!(
            text,
            "No object was stored and fetched for a test: {cause}\n\
             If buckets may not be made there, use one that exists. Else check --upstream and its credentials; the log says more.\n"
        ),
    };
    text.push_str(&commands(plan, url));
    text
}

/// Lines to paste into a shell.
fn commands(plan: &Plan, url: &str) -> String {
    let region = plan
        .upstream
        .as_ref()
        .map_or(CLIENT_REGION, |upstream| upstream.region.as_str());
    let (shell, id, secret) = if plan.client_from_environment {
        (
            "For another shell in which SEALGATE_ACCESS_KEY_ID and SEALGATE_SECRET_ACCESS_KEY are set as here",
            "\"$SEALGATE_ACCESS_KEY_ID\"",
            "\"$SEALGATE_SECRET_ACCESS_KEY\"",
        )
    } else {
        (
            "For another shell",
            plan.client.access_key_id.as_str(),
            plan.client.secret_access_key.expose(),
        )
    };
    format!(
        "{shell}, the aws CLI:\n\n\
         export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={region} AWS_ENDPOINT_URL_S3={url}\n\
         aws s3 mb s3://photos\n\
         echo 'only we can read this' | aws s3 cp - s3://photos/note.txt\n\
         aws s3 cp s3://photos/note.txt -\n\n\
         Or boto3, in the same shell:\n\n\
         python3 -c 'import boto3; print(boto3.client(\"s3\", endpoint_url=\"{url}\", region_name=\"{region}\").get_object(Bucket=\"photos\", Key=\"note.txt\")[\"Body\"].read())'\n"
    )
}
