//! `/metrics`: what a gateway counts, and that nothing of what is stored is in it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    admin::AdminEndpoint,
    certificates,
    content::pattern,
    raw_http::{Payload, RawRequest},
    rig::{bounded, get, put},
    servers::{Devstore, Gateway, GatewaySettings, KeyServer},
};

const LIMIT: Duration = Duration::from_mins(2);
const BUCKET: &str = "secret-bucket";
const KEY: &str = "secret-object";

/// The samples of the text format, by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    parsed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_what_happened_and_names_nothing_that_is_stored() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = certificates::make(directory.path())?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let admin = AdminEndpoint::new(Some(&files))?;
    let gateway = Gateway::start(
        GatewaySettings {
            // Requests of the test are raw, and those speak no TLS.
            more: admin.table(),
            ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
        },
        directory.path(),
    )?;
    bounded(LIMIT, async {
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        let body = pattern(1, 3 << 20);
        put(&client, BUCKET, KEY, &body).await?;
        for _ in 0..3 {
            ensure!(get(&client, BUCKET, KEY).await? == body, "other bytes");
        }
        ensure!(get(&client, BUCKET, "missing").await.is_err());
        let stranger = gateway
            .endpoint
            .with_credentials(&gateway.endpoint.access_key_id, "a wrong secret");
        let refused = RawRequest::new("GET", &format!("/{BUCKET}/{KEY}"))
            .sign(&stranger, Payload::Signed(b""), SystemTime::now())?
            .send(&gateway.endpoint)
            .await?;
        ensure!(refused.status == 403, "{}", refused.status);

        let answer = admin.get("/metrics").await?;
        ensure!(answer.status == 200);
        ensure!(
            answer.header("content-type") == Some("text/plain; version=0.0.4; charset=utf-8"),
            "{:?}",
            answer.header("content-type")
        );
        let text = answer.text();
        let found = samples(&text);
        let value = |name: &str| {
            found
                .get(name)
                .copied()
                .with_context(|| format!("{name} is not in\n{text}"))
        };
        for (name, expected) in [
            ("sealgate_requests_total{operation=\"PutObject\",status=\"2xx\"}", 1.0),
            ("sealgate_requests_total{operation=\"GetObject\",status=\"2xx\"}", 3.0),
            ("sealgate_requests_total{operation=\"GetObject\",status=\"4xx\"}", 1.0),
            ("sealgate_requests_total{operation=\"Unknown\",status=\"4xx\"}", 1.0),
            ("sealgate_request_duration_seconds_count{operation=\"GetObject\"}", 4.0),
            ("sealgate_refusals_total{code=\"NoSuchKey\"}", 1.0),
            ("sealgate_refusals_total{code=\"SignatureDoesNotMatch\"}", 1.0),
            ("sealgate_requests_in_flight", 0.0),
            ("sealgate_responses_interrupted_total", 0.0),
            ("sealgate_verification_failures_total", 0.0),
            ("sealgate_working_keys{use=\"sealing\"}", 1.0),
            ("sealgate_ready", 1.0),
            ("sealgate_check_ok{check=\"storage\"}", 1.0),
            ("sealgate_upstream_retries_total", 0.0),
        ] {
            let counted = value(name)?;
            ensure!((counted - expected).abs() < 0.5, "{name} is {counted}");
        }
        for (name, least) in [
            ("sealgate_request_body_bytes_total", 3_145_728.0),
            ("sealgate_response_body_bytes_total", 3.0 * 3_145_728.0),
            ("sealgate_key_service_calls_total{call=\"generate\",key_service=\"1\",outcome=\"ok\"}", 2.0),
            ("sealgate_key_service_calls_total{call=\"unwrap\",key_service=\"1\",outcome=\"ok\"}", 2.0),
            ("sealgate_key_service_call_duration_seconds_count{key_service=\"1\"}", 4.0),
            ("sealgate_working_key_lookups_total{outcome=\"hit\"}", 3.0),
            ("sealgate_upstream_requests_total{status=\"2xx\"}", 5.0),
            ("sealgate_upstream_requests_total{status=\"4xx\"}", 1.0),
            ("sealgate_tls_certificate_expiry_timestamp_seconds{listener=\"admin\"}", 1.0),
            ("process_start_time_seconds", 1.0),
        ] {
            let counted = value(name)?;
            ensure!(counted >= least, "{name} is {counted}");
        }
        #[cfg(target_os = "linux")]
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
            ensure!(value(name)? > 0.0, "{name}");
        }
        for secret in [BUCKET, KEY, "missing", "arn:", "key/", gateway.endpoint.access_key_id.as_str(), "alias/"] {
            ensure!(!text.contains(secret), "{secret} is in the metrics");
        }
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}
