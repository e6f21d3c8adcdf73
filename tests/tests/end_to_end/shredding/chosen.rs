//! What is destroyed is chosen by the configuration and the operator, and by nothing that the storage shows.

use anyhow::{Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::rig::{get, put, with_rig};

use super::{
    BUCKET, LIMIT, all_known, causes, destroy, gateway, kms_table, new_key, recovery_of, shred,
    state_of, tenant, two_keys, verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_storage_shows_is_named_and_goes_only_if_the_operator_says_so() -> Result<()>
{
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, old], services) = two_keys(rig, ["alice", "old"]).await?;
        // One object that `old` has wrapped lies in the place of alice; nobody names `old` any more.
        let before = gateway(rig, &services, &[tenant("alice", "\"old\"", "")])?;
        put(&before.endpoint.s3()?, BUCKET, "alice/planted", b"content").await?;
        let today = gateway(rig, &services, &[tenant("alice", "\"alice\"", "")])?;
        put(&today.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        all_known(&today, 3).await?;
        let arguments = destroy("acme/alice", "alice.json");
        let refused = causes(&shred(rig, &today, &arguments)?)?;
        ensure!(refused.contains("--also old"), "{refused}");
        for key in [&alice, &old] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }
        let unknown = [&arguments[..], &["--also", "older"]].concat();
        let (done, _, said) = shred(rig, &today, &unknown)?;
        ensure!(
            !done && said.contains("no [[key_service]] has the name older"),
            "{said}"
        );
        let also = [&arguments[..], &["--also", "old"]].concat();
        let (done, result, said) = shred(rig, &today, &also)?;
        ensure!(done && said.contains(&old), "{result} {said}");
        for key in [&alice, &old] {
            ensure!(state_of(&kms, key).await? == KeyState::PendingDeletion);
        }
        ensure!(verify(rig, "alice.json")?.1.contains(&old));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_listed_was_not_looked_at() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        // One key by two names.
        let services = kms_table(rig, "alice", &alice) + &kms_table(rig, "again", &alice);
        let tenants = [
            tenant("alice", "\"alice\", \"again\"", ""),
            "{ buckets = [\"hidden\"], key_services = [\"rest\"] }".to_owned(),
        ];
        let gateway = gateway(rig, &services, &tenants)?;
        put(&gateway.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        let dry_run = ["--domain", "acme/alice", "--dry-run"];
        let refused = causes(&shred(rig, &gateway, &dry_run)?)?;
        ensure!(
            refused.contains("the bucket hidden") && refused.contains("--bucket hidden"),
            "{refused}"
        );
        // It is not there at all, so it cannot be looked at, either.
        let named = [&dry_run[..], &["--bucket", "hidden"]].concat();
        let (done, _, said) = shred(rig, &gateway, &named)?;
        ensure!(!done && said.contains("hidden"), "{said}");
        let through = gateway.endpoint.s3()?;
        through.create_bucket().bucket("hidden").send().await?;
        let (would, plan, said) = shred(rig, &gateway, &named)?;
        ensure!(would, "{plan} {said}");
        ensure!(
            plan["buckets"] == serde_json::json!(["hidden", BUCKET]),
            "{plan}"
        );
        let keys = plan["keys"].as_array().map_or(0, Vec::len);
        ensure!(keys == 1, "it goes once: {plan}");
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_key_of_somebody_else_is_not_destroyed() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, _], services) = two_keys(rig, ["alice", "bob"]).await?;
        let tenants = [
            tenant("alice", "\"alice\"", ", recovery = false"),
            tenant("bob", "\"bob\"", &recovery_of(rig, "bob")?),
        ];
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        let arguments = [
            &destroy("acme/alice", "alice.json")[..],
            &["--recovery-key", "bob.key"],
        ]
        .concat();
        let refused = causes(&shred(rig, &gateway, &arguments)?)?;
        for part in [
            "is that of other domains, too",
            "has wrapped for others, too",
        ] {
            ensure!(refused.contains(part), "{refused}");
        }
        ensure!(rig.directory().join("bob.key").exists());
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        ensure!(get(&through, BUCKET, "alice/a").await? == b"content");
        Ok(())
    })
    .await
}
