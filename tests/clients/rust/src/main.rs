//! Three clients for Rust against the gateway: aws-sdk-s3, object_store and opendal. The argument says which.

mod aws_sdk;
mod object_store_client;
mod opendal_client;
mod steps;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("aws-sdk-s3") => aws_sdk::run().await,
        Some("object_store") => object_store_client::run().await,
        Some("opendal") => opendal_client::run().await,
        _ => bail!(
            "usage: sealgate-client-rust aws-sdk-s3|object_store|opendal; tests/clients/run starts it"
        ),
    }
}
