//! Orders that wait for their time.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::rig::{get, put, state_bucket, with_rig};
use serde_json::json;

use super::{
    BUCKET, LIMIT, alice_and_bob, all_known, destroy, gateway, gateway_of_alice, order_file, shred,
    state_of, tenant, two_keys, verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_its_time_and_a_forged_one_destroys_nothing() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let (kms, [alice, bob], services) = two_keys(rig, ["alice", "bob"]).await?;
        let tenants = alice_and_bob();
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;
        let later = |wait: &'static str| {
            [&destroy("acme/alice", "alice.json")[..], &["--after", wait]].concat()
        };
        let due = || shred(rig, &gateway, &["--due"]);

        let (ordered, result, said) = shred(rig, &gateway, &later("30d"))?;
        ensure!(ordered && result["shredded"] == false, "{result} {said}");
        let (succeeded, result, _) = due()?;
        ensure!(
            succeeded && result["orders"][0]["shredded"] == false,
            "{result}"
        );
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"][0]["domain"] == "acme/alice", "{orders}");

        // Brought forward, meant for somebody else, or put where the storage can write.
        let file = order_file(rig.directory())?;
        let genuine = fs::read_to_string(&file)?;
        let now = "\"not_before\": \"2001-01-01T00:00:00Z\"";
        let line = genuine
            .lines()
            .find(|line| line.contains("not_before"))
            .context("no time")?;
        let line = line.trim().trim_end_matches(',');
        let forward = genuine.replace(line, now);
        ensure!(forward != genuine);
        for forged in [forward.clone(), forward.replace("alice", "bob")] {
            fs::write(&file, &forged)?;
            let (succeeded, result, _) = due()?;
            ensure!(
                !succeeded && result["orders"][0]["shredded"] == false,
                "{result}"
            );
            ensure!(result.to_string().contains("was not signed by"), "{result}");
        }
        let state = state_bucket(&bare).await?;
        for name in ["shred-orders/x.order", "control/shred"] {
            put(&bare, &state, name, forward.as_bytes()).await?;
        }
        fs::write(&file, &genuine)?;
        let (succeeded, result, _) = due()?;
        ensure!(
            succeeded && result["orders"][0]["shredded"] == false,
            "{result}"
        );
        for key in [&alice, &bob] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }

        let (again, _, said) = shred(rig, &gateway, &destroy("acme/alice", "other.json"))?;
        ensure!(!again && said.contains("--cancel"), "{said}");
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(cancelled, "{said}");
        let (succeeded, result, _) = due()?;
        ensure!(succeeded && result["orders"] == json!([]), "{result}");

        let (ordered, result, said) = shred(rig, &gateway, &later("3s"))?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(4)).await;
        ensure!(
            get(&through, BUCKET, "alice/a").await? == b"content",
            "nobody asked for it"
        );
        let (succeeded, result, said) = due()?;
        ensure!(
            succeeded && result["orders"][0]["shredded"] == true,
            "{result} {said}"
        );
        ensure!(verify(rig, "alice.json")?.0);
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
        ensure!(get(&through, BUCKET, "bob/a").await? == b"content");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ended_stays_so_and_one_for_other_keys_is_refused() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, other], services) = two_keys(rig, ["alice", "other"]).await?;
        let first = gateway_of_alice(rig, &services, "\"alice\"", "").await?;
        let soon = [&destroy("acme/alice", "alice.json")[..], &["--after", "1s"]].concat();

        // A backup of the directory brings back what was taken back.
        let (ordered, _, said) = shred(rig, &first, &soon)?;
        ensure!(ordered && said.contains(&alice), "{said}");
        let file = order_file(rig.directory())?;
        let backup = fs::read(&file)?;
        let (cancelled, _, said) = shred(rig, &first, &["--cancel", "acme/alice"])?;
        ensure!(cancelled, "{said}");
        fs::write(&file, backup)?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for arguments in [&["--due"][..], &["--list"]] {
            let (well, orders, said) = shred(rig, &first, arguments)?;
            ensure!(orders.to_string().contains("taken-back"), "{orders} {said}");
            ensure!(well == (arguments[0] == "--list"), "a timer hears of it");
        }
        let (cancelled, _, said) = shred(rig, &first, &["--cancel", "acme/alice"])?;
        ensure!(!cancelled && said.contains("taken back"), "{said}");
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);

        // The customer came back, and the domain has another key since.
        let (ordered, result, said) = shred(rig, &first, &soon)?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let second = gateway(rig, &services, &[tenant("alice", "\"other\"", "")])?;
        let (succeeded, due, _) = shred(rig, &second, &["--due"])?;
        let refused = due["orders"][0]["refused"].to_string();
        ensure!(
            !succeeded && refused.contains("the configuration of today has"),
            "{due}"
        );
        for key in [&alice, &other] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_in_another_directory_does_not_report_that_nothing_is_ordered() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let other = "{ buckets = [\"other\"], key_services = [\"rest\"] }".to_owned();
        let first = gateway(rig, "", &[other])?;
        for arguments in [&["--due"][..], &["--list"], &["--cancel", "acme/alice"]] {
            let (succeeded, _, said) = shred(rig, &first, arguments)?;
            ensure!(
                !succeeded && said.contains("no directory of orders"),
                "{said}"
            );
            for name in [
                "shred-orders",
                "shred-signing.key",
                "shred-signing.key.ended",
            ] {
                ensure!(!rig.directory().join(name).exists(), "{name} was made");
            }
        }
        Ok(())
    })
    .await
}
