//! Runs that failed, were killed, or were taken back in the key service.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::{
    rig::{get, put, state_bucket, with_rig},
    servers::Gateway,
};
use serde_json::{Value, json};

use super::{
    ASKED, BUCKET, LIMIT, SOON, a_timer_stops, alice_and_bob, all_known, causes, command, destroy,
    gateway, gateway_of_alice, kms_table, new_key, order_file, order_reaches, recovery_of, shred,
    state_of, tenant, two_keys, verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_or_was_killed_is_gone_on_with_to_one_certificate() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, second], services) = two_keys(rig, ["alice", "second"]).await?;
        let names = "\"alice\", \"second\"";
        let gateway = gateway_of_alice(rig, &services, names, "").await?;
        let through = gateway.endpoint.s3()?;

        // The second deletion fails.
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "keys": [second],
            "then": { "error": "AccessDeniedException" },
        }]))?;
        let arguments = destroy("acme/alice", "alice.json");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("could not be destroyed"), "{said}");
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        ensure!(state_of(&kms, &second).await? == KeyState::Enabled);
        ensure!(!rig.directory().join("alice.json").exists());
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(
            orders["orders"][0]["state"] == "needs-confirmation",
            "{orders}"
        );
        ensure!(
            orders["orders"][0]["keys"]
                .as_array()
                .is_some_and(|keys| keys.len() == 2),
            "{orders}"
        );
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(
            !cancelled && said.contains("cannot be taken back"),
            "{said}"
        );
        rig.key_server.set_faults(&json!([]))?;

        // Somebody sees the mistake and takes the one deletion back: a timer destroys nothing from then on, whatever it sees.
        take_back(&kms, &alice).await?;
        for _ in 0..2 {
            a_timer_stops(rig, &gateway)?;
            ensure!(state_of(&kms, &second).await? == KeyState::Enabled);
            let again = kms.schedule_key_deletion().key_id(&alice);
            again.pending_window_in_days(30).send().await.ok();
        }
        // A person is shown what became of each key, and what was confirmed before that does not count.
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("found out only now"), "{said}");
        ensure!(
            said.contains("[to be destroyed; it was asked for before"),
            "{said}"
        );
        ensure!(state_of(&kms, &second).await? == KeyState::Enabled);

        // Killed while a gateway does not answer.
        kill_at_the_flush(rig, &gateway, &second, &arguments).await?;
        ensure!(
            !rig.directory().join("alice.json").exists(),
            "it was not done"
        );
        all_known(&gateway, 2).await?;

        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        let keys = result["certificate"]["keys"]
            .as_array()
            .context("no keys")?;
        ensure!(keys.len() == 2, "{result}");
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(
            genuine && said.contains(&alice) && said.contains(&second),
            "{said}"
        );
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"] == json!([]), "{orders}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_key_service_leaves_an_order_that_looks_again_and_can_be_taken_back()
-> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway_of_alice(rig, &services, "\"alice\"", "").await?;
        // The likeliest mistake: with the configuration of gateways, which may not delete keys.
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "then": { "error": "AccessDeniedException" },
        }]))?;
        let arguments = destroy("acme/alice", "alice.json");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("could not be destroyed"), "{said}");
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(
            orders["orders"][0]["state"] == "needs-confirmation",
            "{orders}"
        );
        rig.key_server.set_faults(&json!([]))?;

        // It was asked for once: a timer does not ask again. A person does, and what came since is seen.
        put(&bare, BUCKET, "alice/plain", b"in the clear").await?;
        a_timer_stops(rig, &gateway)?;
        let refused = causes(&shred(rig, &gateway, &arguments)?)?;
        ensure!(refused.contains("in the clear"), "{refused}");
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);

        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(cancelled, "{said}");
        let (succeeded, due, _) = shred(rig, &gateway, &["--due"])?;
        ensure!(succeeded && due["orders"] == json!([]), "{due}");
        Ok(())
    })
    .await
}

/// Carries out an order until the keys are destroyed and the key service refuses, and kills it while a gateway is silent.
pub(super) async fn kill_at_the_flush(
    rig: &sealgate_tests::rig::Rig,
    gateway: &Gateway,
    key: &str,
    arguments: &[&str],
) -> Result<()> {
    let kms = rig.key_server.endpoint.kms();
    gateway.process.signal("STOP")?;
    let mut child = command(rig, gateway, arguments)?
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + SOON;
    while state_of(&kms, key).await? != KeyState::PendingDeletion {
        ensure!(Instant::now() < deadline, "the key stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while !destroyed(rig.directory())? {
        ensure!(Instant::now() < deadline, "a key stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    child.kill()?;
    child.wait()?;
    gateway.process.signal("CONT")
}

/// Whether every key is destroyed, as the order has it.
fn destroyed(directory: &std::path::Path) -> Result<bool> {
    let order = fs::read_to_string(order_file(directory)?)?;
    let (_, document) = order.split_once('\n').context("no signature")?;
    let order: Value = serde_json::from_str(document)?;
    let keys = order.pointer("/progress/plan/keys");
    let keys = keys.and_then(Value::as_array).context("no keys")?;
    Ok(keys
        .iter()
        .all(|key| key.pointer("/state/destroyed").is_some()))
}

async fn take_back(kms: &aws_sdk_kms::Client, key: &str) -> Result<()> {
    kms.cancel_key_deletion().key_id(key).send().await?;
    kms.enable_key().key_id(key).send().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_taken_back_in_the_key_service_is_not_certified_with_its_old_date()
-> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, bob], services) = two_keys(rig, ["alice", "bob"]).await?;
        let recovery = recovery_of(rig, "recovery")?;
        let domains = [
            tenant("alice", "\"alice\"", ""),
            tenant("bob", "\"bob\"", &recovery),
        ];
        let gateway = gateway(rig, &services, &domains)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/b"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;
        let seven = |domain, certificate| {
            let mut arguments = destroy(domain, certificate).to_vec();
            arguments.extend(["--waiting-days", "7"]);
            arguments
        };

        let arguments = seven("acme/alice", "alice.json");
        kill_at_the_flush(rig, &gateway, &alice, &arguments).await?;
        take_back(&kms, &alice).await?;
        all_known(&gateway, 2).await?;
        let (done, due, _) = shred(rig, &gateway, &["--due"])?;
        let failed = due["orders"][0]["failed"].to_string();
        ensure!(!done && failed.contains("taken the deletion back"), "{due}");
        ensure!(!rig.directory().join("alice.json").exists());
        // Somebody schedules it again by himself, for later.
        let again = kms.schedule_key_deletion().key_id(&alice);
        let again = again.pending_window_in_days(30).send().await?;
        let date = again.deletion_date.context("no date")?;
        let (done, due, _) = shred(rig, &gateway, &["--due"])?;
        ensure!(!done, "a timer goes on: {due}");
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("found out only now"), "{said}");
        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done, "{result} {said}");
        let final_from = result["final_from"].as_str().context("no date")?;
        let format = aws_sdk_kms::primitives::DateTimeFormat::DateTime;
        let final_from = aws_sdk_kms::primitives::DateTime::from_str(final_from, format)?;
        ensure!(
            (final_from.secs() - date.secs()).abs() <= 1,
            "{final_from} is not {date}"
        );

        // Whoever takes the deletion back may end the order, too, although another key is gone for good.
        let mut arguments = seven("acme/bob", "bob.json");
        arguments.extend(["--recovery-key", "recovery.key"]);
        kill_at_the_flush(rig, &gateway, &bob, &arguments).await?;
        ensure!(!rig.directory().join("recovery.key").exists());
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/bob"])?;
        ensure!(
            !cancelled && said.contains("cannot be taken back"),
            "{said}"
        );
        take_back(&kms, &bob).await?;
        let (cancelled, result, said) = shred(rig, &gateway, &["--cancel", "acme/bob"])?;
        ensure!(cancelled && result["how"] == "given-up", "{result} {said}");
        let gone = result["gone_for_good"].as_array().context("no keys")?;
        ensure!(gone.len() == 1, "{result}");
        let gone = gone[0]["key"].as_str().context("no name")?;
        let (_, due, _) = shred(rig, &gateway, &["--due"])?;
        ensure!(due["orders"] == json!([]), "{due}");
        ensure!(state_of(&kms, &bob).await? == KeyState::Enabled);
        ensure!(get(&through, BUCKET, "bob/b").await? == b"content");

        // And the domain can be ordered again, with what is left.
        let domains = alice_and_bob();
        let without = self::gateway(rig, &services, &domains)?;
        all_known(&without, 3).await?;
        let arguments = [&destroy("acme/bob", "bob.json")[..], &["--destroyed", gone]].concat();
        let (done, result, said) = shred(rig, &without, &arguments)?;
        ensure!(done && result["final_from"].is_null(), "{result} {said}");
        ensure!(
            verify(rig, "bob.json")?
                .1
                .contains("as the operator states")
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_key_that_is_out_of_reach_is_not_destroyed() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let recovery = recovery_of(rig, "recovery")?;
        let gateway = gateway_of_alice(rig, &services, "\"alice\"", &recovery).await?;
        // While the key service takes its time, somebody unplugs the medium with the recovery key.
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "delay_milliseconds": 4_000,
            "times": 1,
        }]))?;
        let mut arguments = destroy("acme/alice", "alice.json").to_vec();
        arguments.extend(["--recovery-key", "recovery.key"]);
        let child = command(rig, &gateway, &arguments)?
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let deadline = Instant::now() + SOON;
        while order_file(rig.directory()).is_err() {
            ensure!(Instant::now() < deadline, "no order");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (here, there) = (
            rig.directory().join("recovery.key"),
            rig.directory().join("unplugged.key"),
        );
        fs::rename(&here, &there)?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "{said}");
        ensure!(
            said.contains("nothing shows that its key was destroyed"),
            "{said}"
        );
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        // From now on a timer does nothing, whatever it sees.
        for _ in 0..2 {
            a_timer_stops(rig, &gateway)?;
            ensure!(!rig.directory().join("alice.json").exists() && there.exists());
        }
        fs::rename(&there, &here)?;
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(
            !done && said.contains("found out only now") && here.exists(),
            "{said}"
        );
        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        ensure!(!here.exists() && verify(rig, "alice.json")?.0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_told_only_when_the_key_service_refuses() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway_of_alice(rig, &services, "\"alice\"", "").await?;
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "delay_milliseconds": 3_000,
            "times": 1,
        }]))?;
        let child = command(rig, &gateway, &destroy("acme/alice", "alice.json"))?
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        order_reaches(rig, ASKED).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The deletion is on its way; from now on the service does not say what has become of the key.
        rig.key_server.set_faults(&json!([{
            "operations": ["DescribeKey", "Decrypt"],
            "keys": [alice],
            "then": { "error": "KMSInternalException" },
        }]))?;
        order_reaches(rig, "\"destroyed\"").await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let told = get(&bare, &state, "control/commands").await;
        ensure!(
            told.is_err(),
            "gateways were told to drop their keys too early"
        );
        rig.key_server.set_faults(&json!([]))?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}");
        get(&bare, &state, "control/commands").await?;
        ensure!(verify(rig, "alice.json")?.0);
        Ok(())
    })
    .await
}
