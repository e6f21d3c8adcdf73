//! The key server goes away and comes back.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    content::pattern,
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{get, put, with_rig},
};

const BUCKET: &str = "keys";

async fn request(gateway: &Endpoint, method: &str, key: &str, body: &[u8]) -> Result<RawAnswer> {
    RawRequest::new(method, &format!("/{BUCKET}/{key}"))
        .header("content-length", &body.len().to_string())
        .body(body)
        .sign(gateway, Payload::Signed(body), SystemTime::now())?
        .send(gateway)
        .await
}

fn check_outage(answer: &RawAnswer, what: &str) -> Result<()> {
    ensure!(
        answer.status == 503,
        "{what} is answered {} {}",
        answer.status,
        answer.text()
    );
    let seconds: u32 = answer
        .header("retry-after")
        .with_context(|| format!("{what} has no Retry-After"))?
        .parse()?;
    ensure!(seconds > 0, "Retry-After is {seconds}");
    ensure!(
        answer.error_code().is_some(),
        "{what} has no error document"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_keys_go_on_serving_and_others_get_503() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let small = pattern(1, 1_000);
        let large = pattern(2, 3 * 1024 * 1024);
        put(&through, BUCKET, "small", &small).await?;
        put(&through, BUCKET, "large", &large).await?;

        rig.key_server.kill()?;

        // What is cached goes on: reading, and sealing with the working key of the day.
        ensure!(get(&through, BUCKET, "small").await? == small, "small");
        ensure!(get(&through, BUCKET, "large").await? == large, "large");
        put(&through, BUCKET, "during", &small).await?;
        ensure!(get(&through, BUCKET, "during").await? == small, "during");

        // A gateway that has nothing cached starts, and says what is the matter.
        let fresh = rig.another_gateway()?;
        let answer = request(&fresh.endpoint, "GET", "small", b"").await?;
        check_outage(&answer, "GET")?;
        let answer = request(&fresh.endpoint, "PUT", "new", b"new").await?;
        check_outage(&answer, "PUT")?;
        let listed = bare
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix("new")
            .send()
            .await?;
        ensure!(listed.contents().is_empty(), "an object without a key");
        // What needs no key works.
        let names = fresh
            .endpoint
            .s3()?
            .list_objects_v2()
            .bucket(BUCKET)
            .send()
            .await?;
        ensure!(names.contents().len() == 3, "the listing");

        rig.key_server.start_again()?;
        let client = fresh.endpoint.s3()?;
        let deadline = Instant::now() + Duration::from_mins(1);
        // Failures are remembered for a while, so that an outage is no flood; reading and sealing each have their own memory.
        while let Err(error) = get(&client, BUCKET, "small").await {
            ensure!(
                Instant::now() < deadline,
                "the key server is back, and nothing opens: {error:#}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        while let Err(error) = put(&client, BUCKET, "afterwards", &large).await {
            ensure!(
                Instant::now() < deadline,
                "the key server is back, and nothing is sealed: {error:#}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ensure!(
            get(&client, BUCKET, "small").await? == small,
            "small, afterwards"
        );
        ensure!(
            get(&through, BUCKET, "afterwards").await? == large,
            "afterwards"
        );
        Ok(())
    })
    .await
}
