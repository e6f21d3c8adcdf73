//! Deletions of which nobody has heard what came, and what is lost or planted while an order is under way.

use std::fs;

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::{
    rig::{Rig, get, put, state_bucket, with_rig},
    servers::Gateway,
};
use serde_json::{Value, json};

use super::{
    BUCKET, LIMIT, a_timer_stops, alice_and_bob, all_known, causes, destroy, gateway,
    gateway_of_alice, hostile::record_of, kms_table, new_key, resuming::kill_at_the_flush, shred,
    state_of, tenant, two_keys, verify,
};

/// Has the destruction of alice's key asked for, without an answer. The name of the key, as reports have it.
fn ask_in_vain(rig: &Rig, gateway: &Gateway, key: &str) -> Result<String> {
    rig.key_server.set_faults(&json!([{
        "operations": ["ScheduleKeyDeletion"],
        "keys": [key],
        "then": { "error": "KMSInternalException" },
    }]))?;
    let (done, _, said) = shred(rig, gateway, &destroy("acme/alice", "alice.json"))?;
    ensure!(!done && said.contains("could not be destroyed"), "{said}");
    rig.key_server.set_faults(&json!([]))?;
    let (_, orders, _) = shred(rig, gateway, &["--list"])?;
    let state = orders.pointer("/orders/0/state");
    ensure!(
        state.is_some_and(|state| state == "needs-confirmation"),
        "{orders}"
    );
    let name = orders.pointer("/orders/0/keys/0").and_then(Value::as_str);
    Ok(name.context("no key")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_everything_is_looked_at_again_before_the_key_goes() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, _], services) = two_keys(rig, ["alice", "bob"]).await?;
        let own = alice_and_bob();
        let first = gateway(rig, &services, &own)?;
        let through = first.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&first, 2).await?;
        ask_in_vain(rig, &first, &alice)?;

        // Weeks later bob has the key, too.
        let both = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\", \"alice\"", ""),
        ];
        let second = gateway(rig, &services, &both)?;
        a_timer_stops(rig, &second)?;
        let refused = causes(&shred(rig, &second, &destroy("acme/alice", "alice.json"))?)?;
        ensure!(
            refused.contains("also that of the domain acme/bob"),
            "{refused}"
        );
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        let (cancelled, _, said) = shred(rig, &second, &["--cancel", "acme/alice"])?;
        ensure!(cancelled, "{said}");
        ensure!(get(&through, BUCKET, "alice/a").await? == b"content");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_answer_got_lost_is_found_and_not_taken_back() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, bob], services) = two_keys(rig, ["alice", "bob"]).await?;
        let gateway = gateway(rig, &services, &alice_and_bob())?;
        for key in ["alice/a", "bob/a"] {
            put(&gateway.endpoint.s3()?, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;
        ask_in_vain(rig, &gateway, &alice)?;
        // It was heard.
        let heard = kms.schedule_key_deletion().key_id(&alice);
        heard.pending_window_in_days(30).send().await?;
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(
            !cancelled && said.contains("cannot be taken back"),
            "{said}"
        );
        a_timer_stops(rig, &gateway)?;
        let arguments = destroy("acme/alice", "alice.json");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("[done, final from"), "{said}");
        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && result["final_from"].is_string(), "{result} {said}");
        ensure!(verify(rig, "alice.json")?.1.contains(&alice));

        // A deletion that was heard, of a key service that is gone for good before anything could be shown.
        let arguments = destroy("acme/bob", "bob.json");
        kill_at_the_flush(rig, &gateway, &bob, &arguments).await?;
        all_known(&gateway, 2).await?;
        rig.key_server.set_faults(&json!([{
            "operations": ["DescribeKey", "Decrypt", "ScheduleKeyDeletion"],
            "keys": [bob],
            "then": { "error": "KMSInternalException" },
        }]))?;
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/bob"])?;
        ensure!(!cancelled && said.contains("nobody can tell"), "{said}");
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        let name = orders.pointer("/orders/0/keys/0").and_then(Value::as_str);
        let name = name.context("no key")?;
        let stated = [&arguments[..], &["--destroyed", name]].concat();
        let (done, _, said) = shred(rig, &gateway, &stated)?;
        ensure!(
            !done && said.contains("[NOT CONFIRMED: its destruction was confirmed"),
            "{said}"
        );
        let (done, result, said) = shred(rig, &gateway, &stated)?;
        ensure!(done && said.contains("as you state"), "{result} {said}");
        let certificate = &result["certificate"];
        ensure!(certificate["keys"] == json!([]), "{result}");
        ensure!(certificate["final_from"].is_null(), "{result}");
        let objects = &certificate["objects"];
        ensure!(
            objects["not_tried"] == 1 && objects["refused_after"] == 0,
            "{result}"
        );
        let (genuine, said) = verify(rig, "bob.json")?;
        ensure!(genuine && said.contains("NOT CONFIRMED"), "{said}");
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"] == json!([]), "{orders}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_found_is_never_certified_as_destroyed() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway_of_alice(rig, &services, "\"alice\"", "").await?;
        let name = ask_in_vain(rig, &gateway, &alice)?;
        // Credentials of another account.
        let elsewhere = |operations: Value| {
            rig.key_server.set_faults(&json!([{
                "operations": operations,
                "keys": [alice],
                "then": { "error": "NotFoundException" },
            }]))
        };
        elsewhere(json!(["DescribeKey", "Decrypt", "ScheduleKeyDeletion"]))?;
        for _ in 0..2 {
            a_timer_stops(rig, &gateway)?;
            ensure!(!rig.directory().join("alice.json").exists(), "certified");
        }
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(!cancelled && said.contains("not confirmed"), "{said}");
        ensure!(state_of_directly(rig, &alice).await? == KeyState::Enabled);

        // The way out, in the operator's name.
        elsewhere(json!([
            "DescribeKey",
            "Decrypt",
            "ScheduleKeyDeletion",
            "GenerateDataKey"
        ]))?;
        let arguments = destroy("acme/alice", "alice.json");
        let stated = [&arguments[..], &["--destroyed", &name]].concat();
        let (done, _, said) = shred(rig, &gateway, &stated)?;
        ensure!(!done && said.contains("found out only now"), "{said}");
        let (done, result, said) = shred(rig, &gateway, &stated)?;
        ensure!(done, "{result} {said}");
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(genuine && said.contains("NOT CONFIRMED"), "{said}");
        ensure!(result["certificate"]["keys"] == json!([]), "{result}");
        ensure!(result["final_from"].is_null(), "of no key: {result}");
        let objects = &result["certificate"]["objects"];
        ensure!(
            objects["not_tried"] == 1 && objects["refused_after"] == 0,
            "{result}"
        );
        Ok(())
    })
    .await
}

async fn state_of_directly(rig: &Rig, key: &str) -> Result<KeyState> {
    rig.key_server.set_faults(&json!([]))?;
    state_of(&rig.key_server.endpoint.kms(), key).await
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_planted_record_nor_a_lost_list_keeps_an_order_from_its_end() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway_of_alice(rig, &services, "\"alice\"", "").await?;
        let arguments = destroy("acme/alice", "alice.json");
        kill_at_the_flush(rig, &gateway, &alice, &arguments).await?;
        all_known(&gateway, 2).await?;
        // In the place of the record that was verified, and beside it.
        let (name, _, _) = record_of(&bare, &state, "acme/alice").await?;
        put(&bare, &state, &name, b"no record").await?;
        let hash = "0".repeat(64);
        put(
            &bare,
            &state,
            &format!("uploads/{hash}/record"),
            b"no record",
        )
        .await?;
        let id = "0".repeat(32);
        put(&bare, &state, &format!("registry/{id}"), b"no record").await?;

        fs::remove_file(rig.directory().join("shred-signing.key.ended"))?;
        for arguments in [&["--due"][..], &["--cancel", "acme/alice"]] {
            let (done, _, said) = shred(rig, &gateway, arguments)?;
            ensure!(!done && said.contains("--new-ended-list"), "{said}");
        }
        let (begun, orders, said) = shred(rig, &gateway, &["--new-ended-list"])?;
        ensure!(
            begun && orders["orders"][0]["state"] == "needs-confirmation",
            "{orders} {said}"
        );
        let (done, due, _) = shred(rig, &gateway, &["--due"])?;
        ensure!(!done, "a timer goes on: {due}");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("found out only now"), "{said}");
        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(genuine && said.contains(&name), "{said}");
        Ok(())
    })
    .await
}
