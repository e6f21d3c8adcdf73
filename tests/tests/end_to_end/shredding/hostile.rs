//! What whoever runs the storage can put in the way of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::Client;
use futures_util::FutureExt as _;
use sealgate_tests::{
    rig::{get, put, state_bucket, with_rig},
    servers::{Action, Meddler},
};
use serde_json::json;

use super::{
    BUCKET, LIMIT, alice_and_bob, all_known, causes, destroy, gateway, gateway_at, is_of,
    keep_versions, kms_table, new_key, shred, state_of, tenant, two_keys, verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_wrap_outside_does_not_keep_a_key_alive_and_an_outage_does() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let (kms, [alice, _], services) = two_keys(rig, ["alice", "bob"]).await?;
        let tenants = alice_and_bob();
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;
        // The storage copies an object of alice, whose header names her key, to the place of bob.
        bare.copy_object()
            .bucket(BUCKET)
            .key("bob/forged")
            .copy_source(format!("{BUCKET}/alice/a"))
            .send()
            .await?;
        let arguments = destroy("acme/alice", "alice.json");
        rig.key_server.set_faults(&json!([{
            "operations": ["Decrypt"],
            "keys": [alice],
            "then": { "error": "KMSInternalException" },
        }]))?;
        let refused = causes(&shred(rig, &gateway, &arguments)?)?;
        ensure!(refused.contains("bob/forged"), "{refused}");
        ensure!(!refused.contains("has wrapped for others"), "{refused}");
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        rig.key_server.set_faults(&json!([]))?;

        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && said.contains("bob/forged"), "{result} {said}");
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(genuine && said.contains("bob/forged"), "{said}");
        ensure!(get(&through, BUCKET, "bob/a").await? == b"content");
        Ok(())
    })
    .await
}

/// The newest version of the one record that claims a domain: its name, its version and its bytes.
pub(super) async fn record_of(
    bare: &Client,
    state: &str,
    domain: &str,
) -> Result<(String, Option<String>, Vec<u8>)> {
    let listed = bare
        .list_object_versions()
        .bucket(state)
        .prefix("registry/");
    for version in listed.send().await?.versions() {
        let name = version.key().context("a name")?;
        let read = bare.get_object().bucket(state).key(name);
        let read = read.set_version_id(version.version_id().map(str::to_owned));
        let bytes = read.send().await?.body.collect().await?.to_vec();
        if is_of(&bytes, domain) {
            return Ok((
                name.to_owned(),
                version.version_id().map(str::to_owned),
                bytes,
            ));
        }
    }
    anyhow::bail!("no record of {domain}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_version_does_not_have_the_record_of_somebody_else_deleted() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        keep_versions(&bare, &state).await?;
        let (kms, [alice, _], services) = two_keys(rig, ["alice", "bob"]).await?;
        let tenants = alice_and_bob();
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;
        // Alice's record, with the id of bob's working key (bytes 8 to 23), under bob's name.
        let (_, _, of_alice) = record_of(&bare, &state, "acme/alice").await?;
        let (name, genuine, of_bob) = record_of(&bare, &state, "acme/bob").await?;
        let mut forged = of_alice;
        forged[8..24].copy_from_slice(&of_bob[8..24]);
        put(&bare, &state, &name, &forged).await?;

        let arguments = destroy("acme/alice", "alice.json");
        let refused = causes(&shred(rig, &gateway, &arguments)?)?;
        ensure!(
            refused.contains(&name) && refused.contains("acme/bob"),
            "{refused}"
        );
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);

        let listed = bare.list_object_versions().bucket(&state).prefix(&name);
        for version in listed.send().await?.versions() {
            if version.version_id() != genuine.as_deref() {
                let delete = bare.delete_object().bucket(&state).key(&name);
                let delete = delete.set_version_id(version.version_id().map(str::to_owned));
                delete.send().await?;
            }
        }
        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done, "{result} {said}");
        ensure!(record_of(&bare, &state, "acme/bob").await?.1 == genuine);
        ensure!(record_of(&bare, &state, "acme/alice").await.is_err());
        ensure!(get(&through, BUCKET, "bob/a").await? == b"content");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_the_storage_denies_having_prove_nothing() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let tenants = [tenant("alice", "\"alice\"", "")];
        let honest = gateway(rig, &services, &tenants)?;
        put(&honest.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        all_known(&honest, 2).await?;
        // The first look shows it; whoever wants to open it hears that it is not there.
        let looks = Arc::new(AtomicUsize::new(0));
        let meddler = Meddler::start(&rig.minio.endpoint, move |asked| {
            let path = format!("/{BUCKET}/alice/a");
            let is_denied = asked.method == "HEAD"
                && asked.path == path
                && looks.fetch_add(1, Ordering::SeqCst) > 0;
            let action = if is_denied {
                Action::Answer(404, Vec::new())
            } else {
                Action::Pass
            };
            std::future::ready(action).boxed()
        })
        .await?;
        let denying = gateway_at(rig, &meddler.endpoint, &services, &tenants)?;
        let refused = causes(&shred(rig, &denying, &destroy("acme/alice", "alice.json"))?)?;
        ensure!(
            refused.contains("has none of those that were drawn"),
            "{refused}"
        );
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_listed_and_not_shown_is_not_passed_over() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let tenants = [tenant("alice", "\"alice\"", "")];
        let honest = gateway(rig, &services, &tenants)?;
        put(&honest.endpoint.s3()?, BUCKET, "alice/a", b"content").await?;
        let prefix = format!("/{state}/registry/");
        let meddler = Meddler::start(&rig.minio.endpoint, move |asked| {
            let action = if asked.method == "GET" && asked.path.starts_with(&prefix) {
                let missing = b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
                Action::Answer(404, missing.to_vec())
            } else {
                Action::Pass
            };
            std::future::ready(action).boxed()
        })
        .await?;
        let hiding = gateway_at(rig, &meddler.endpoint, &services, &tenants)?;
        let refused = causes(&shred(rig, &hiding, &destroy("acme/alice", "alice.json"))?)?;
        ensure!(
            refused.contains("the storage lists it, and says that it is not there"),
            "{refused}"
        );
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        Ok(())
    })
    .await
}
