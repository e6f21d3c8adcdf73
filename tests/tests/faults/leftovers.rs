//! What a storage leaves where it was killed.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealgate_tests::{
    rig::{state_bucket, with_rig},
    servers::report,
};

use crate::world::BUCKET;

/// A storage on a file system that is killed while it deletes leaves empty directories, which it lists as prefixes.
#[tokio::test(flavor = "multi_thread")]
async fn gc_passes_over_uploads_of_which_nothing_is_there() -> Result<()> {
    with_rig(Duration::from_mins(2), async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        let uploads = rig.minio.data.join(&state).join("uploads");
        std::fs::create_dir_all(uploads.join("0".repeat(64)).join("parts"))?;
        let listed = bare.list_objects_v2().bucket(&state);
        let listed = listed.prefix("uploads/").delimiter("/").send().await?;
        ensure!(listed.common_prefixes().len() == 1, "{listed:?}");
        let mut command = rig.gateway.command("gc")?;
        let (succeeded, document, said) =
            tokio::task::block_in_place(|| report(&mut command, Duration::from_mins(1)))?;
        ensure!(succeeded, "{said}");
        let examined = document
            .get("uploads")
            .and_then(|uploads| uploads.as_array());
        ensure!(examined.is_some_and(Vec::is_empty), "{document:#}");
        Ok(())
    })
    .await
}
