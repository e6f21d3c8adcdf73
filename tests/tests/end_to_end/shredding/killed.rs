//! `kill -9` at any point.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use sealgate_tests::{
    rig::{put, state_bucket, with_rig},
    servers::report,
};
use serde_json::{Value, json};

use super::{
    BUCKET, LIMIT, all_known, command, destroy, gateway, keep_versions, kms_table, new_key,
    recovery_of, shred, tenant, verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_comes_to_one_certificate_with_the_right_numbers() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        keep_versions(&bare, &state_bucket(&bare).await?).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let recovery = recovery_of(rig, "recovery")?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway(rig, &services, &[tenant("alice", "\"alice\"", &recovery)])?;
        for key in ["alice/a", "alice/b"] {
            put(&gateway.endpoint.s3()?, BUCKET, key, b"content").await?;
        }
        let (renewed, rewrap, _) = report(gateway.command("keys rewrap")?.arg("--renew"), LIMIT)?;
        ensure!(renewed, "{rewrap}");
        all_known(&gateway, 2).await?;
        let mut arguments = destroy("acme/alice", "alice.json").to_vec();
        arguments.extend(["--recovery-key", "recovery.key"]);
        // Each time it gets a little further.
        let mut kills = 0;
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut child = command(rig, &gateway, &arguments)?
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            tokio::time::sleep(Duration::from_millis(200 * (kills + 1))).await;
            if child.try_wait()?.is_none() {
                child.kill()?;
                kills += 1;
            }
            child.wait()?;
            let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
            if rig.directory().join("alice.json").exists() && orders["orders"] == json!([]) {
                break;
            }
            ensure!(Instant::now() < deadline, "it comes to no end");
        }
        ensure!(kills > 3, "{kills} kills");
        let certificate = fs::read(rig.directory().join("alice.json"))?;
        let certificate: Value = serde_json::from_slice(&certificate)?;
        for (pointer, expected) in [
            ("/registry", json!({ "working_keys": 1, "versions": 2 })),
            (
                "/objects",
                json!({ "seen": 2, "opened_before": 2, "refused_after": 2, "not_tried": 0, "deleted": 0 }),
            ),
        ] {
            ensure!(
                certificate.pointer(pointer) == Some(&expected),
                "{certificate}"
            );
        }
        let keys = certificate.pointer("/keys").and_then(Value::as_array);
        ensure!(keys.is_some_and(|keys| keys.len() == 2), "{certificate}");
        ensure!(!rig.directory().join("recovery.key").exists());
        ensure!(verify(rig, "alice.json")?.0);
        Ok(())
    })
    .await
}
