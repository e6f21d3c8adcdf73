//! What every scenario uses: the settings that tests/clients/run hands over, steps with one line each, and data to store.

use std::{env, process::exit, sync::LazyLock};

use anyhow::{Context, Result, ensure};

pub const MIB: usize = 1 << 20;

/// Where the gateway is and what is stored there.
pub struct Settings {
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub canary: String,
}

pub static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Settings {
    endpoint: setting("S3_ENDPOINT"),
    region: setting("AWS_REGION"),
    bucket: format!("{}files", setting("BUCKET_PREFIX")),
    canary: setting("CANARY"),
});

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        eprintln!("{name} is not set; tests/clients/run sets it");
        exit(2);
    })
}

/// Runs one step and says that it held. The first that does not ends the program.
pub async fn step(name: &str, action: impl Future<Output = Result<()>>) {
    // In a box, because the futures of SDKs are large.
    if let Err(error) = Box::pin(action).await {
        let reason = format!("{error:#}");
        println!(
            "fail\t{name}\t{}",
            reason.split_whitespace().collect::<Vec<_>>().join(" ")
        );
        exit(1);
    }
    println!("ok\t{name}");
}

/// `length` bytes that hold the canary again and again, with a counter so that no two pieces are alike.
pub fn content(length: usize) -> Vec<u8> {
    let mut text = String::with_capacity(length + 64);
    let mut line = 0;
    while text.len() < length {
        text.push_str(&format!("{} {line}\n", SETTINGS.canary));
        line += 1;
    }
    text.truncate(length);
    text.into_bytes()
}

/// Tells a difference by its position, not by megabytes of output.
pub fn same_bytes(actual: &[u8], expected: &[u8]) -> Result<()> {
    let shared = actual
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    ensure!(
        actual == expected,
        "{} bytes instead of {}, different from byte {shared}",
        actual.len(),
        expected.len()
    );
    Ok(())
}

/// The bucket, made by aws-sdk-s3: neither object_store nor opendal makes buckets.
pub async fn make_bucket() -> Result<()> {
    crate::aws_sdk::client()
        .await
        .create_bucket()
        .bucket(&SETTINGS.bucket)
        .send()
        .await
        .context("CreateBucket")?;
    Ok(())
}

/// A client that does what a browser does with a presigned URL.
pub async fn fetch(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>)> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.bytes().await?.to_vec()))
}
