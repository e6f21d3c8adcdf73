//! Keys that are not one domain's alone.

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::{
    rig::{get, put, with_rig},
    servers::Gateway,
};
use serde_json::json;

use super::{
    BUCKET, LIMIT, alice_and_bob, causes, destroy, gateway, gateway_of_alice, kms_table, new_key,
    shred, state_of, tenant, two_keys,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_shared_is_not_destroyed_and_who_shares_it_is_named() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, bob], services) = two_keys(rig, ["alice", "bob"]).await?;
        let alone = alice_and_bob();
        let honest = gateway(rig, &services, &alone)?;
        put(&honest.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        let refused = |gateway: &Gateway, parts: &[&str]| -> Result<()> {
            let (done, result, said) = shred(rig, gateway, &destroy("acme/alice", "alice.json"))?;
            let causes = result["refused"].to_string();
            ensure!(!done && result["shredded"] == false, "{result} {said}");
            for part in parts {
                ensure!(causes.contains(part), "{part:?} is not in {causes}");
            }
            ensure!(!rig.directory().join("alice.json").exists());
            Ok(())
        };

        // A key service that is away is the one thing to be told: whatever else would be said could be wrong.
        let away = services.replace(&rig.key_server.endpoint.url, "http://127.0.0.1:9");
        let lonely = gateway(rig, &away, &alone)?;
        let (done, result, said) = shred(rig, &lonely, &destroy("acme/alice", "alice.json"))?;
        let causes = result["refused"].as_array().context("refused")?;
        ensure!(!done && !causes.is_empty(), "{result} {said}");
        for cause in causes {
            ensure!(
                cause.to_string().contains("does not tell its key"),
                "{result}"
            );
        }

        // By the configuration: of another domain, also under an alias, and of all that have no table.
        let shared = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\", \"alice\"", ""),
        ];
        let sharing = gateway(rig, &services, &shared)?;
        refused(
            &sharing,
            &["key service alice is also that of the domain acme/bob"],
        )?;
        kms.create_alias()
            .alias_name("alias/other-name")
            .target_key_id(&alice)
            .send()
            .await?;
        let by_alias = kms_table(rig, "alice", &alice) + &kms_table(rig, "bob", "alias/other-name");
        refused(
            &gateway(rig, &by_alias, &alone)?,
            &["key service bob is also that of the domain acme/bob"],
        )?;

        // By what is stored, whatever the configuration says now: objects, and a record.
        put(&sharing.endpoint.s3()?, BUCKET, "bob/b", b"content").await?;
        refused(
            &honest,
            &[
                "has wrapped for others, too",
                "tenants/bob/b",
                "of the domain acme/bob",
            ],
        )?;
        // A key that stays, and has wrapped for the domain.
        let twice = [tenant("alice", "\"alice\", \"bob\"", "")];
        put(
            &gateway(rig, &services, &twice)?.endpoint.s3()?,
            BUCKET,
            "alice/both",
            b"content",
        )
        .await?;
        refused(
            &honest,
            &["key service bob is also that of the domain acme/bob"],
        )?;
        let (done, result, _) = shred(rig, &honest, &["--domain", "rig/tenants", "--dry-run"])?;
        ensure!(
            !done
                && result["refused"]
                    .to_string()
                    .contains("no [[domain]] is about"),
            "{result}"
        );
        for key in [&alice, &bob] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_with_a_key_that_is_left_is_seen_before_it_goes() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, second], services) = two_keys(rig, ["alice", "second"]).await?;
        let names = "\"alice\", \"second\"";
        let gateway = gateway_of_alice(rig, &services, names, "").await?;
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "keys": [second],
            "then": { "error": "AccessDeniedException" },
        }]))?;
        let arguments = destroy("acme/alice", "alice.json");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("take back in its service"), "{said}");
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        rig.key_server.set_faults(&json!([]))?;

        // Weeks go by, and somebody gives bob the second key.
        let given = [tenant("bob", "\"second\"", "")];
        let bobs = super::gateway(rig, &services, &given)?;
        put(&bobs.endpoint.s3()?, BUCKET, "bob/b", b"content").await?;
        let refused = causes(&shred(rig, &gateway, &arguments)?)?;
        ensure!(refused.contains("has wrapped for others, too"), "{refused}");
        ensure!(refused.contains("bob/b"), "{refused}");
        ensure!(state_of(&kms, &second).await? == KeyState::Enabled);
        ensure!(get(&bobs.endpoint.s3()?, BUCKET, "bob/b").await? == b"content");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_disabled_is_told_as_what_it_is() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway(rig, &services, &[tenant("alice", "\"alice\"", "")])?;
        put(&gateway.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        kms.disable_key().key_id(&alice).send().await?;
        let arguments = destroy("acme/alice", "alice.json");
        let outcome = shred(rig, &gateway, &arguments)?;
        let refused = causes(&outcome)?;
        ensure!(refused.contains("is disabled"), "{refused}");
        let count = outcome.1["refused"].as_array().map_or(0, Vec::len);
        ensure!(count == 1, "nothing else is said: {refused}");
        Ok(())
    })
    .await
}
