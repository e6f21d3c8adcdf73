//! What a timer goes on with, and what it leaves to a person.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::rig::{get, with_rig};
use serde_json::{Value, json};

use super::{
    ASKED, BUCKET, LIMIT, a_timer_stops, causes, command, destroy, gateway_of_alice, kms_table,
    new_key, order_reaches, recovery_of, shred, state_of, two_keys, verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn on_the_straight_course_it_goes_on_with_what_an_outage_has_interrupted() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, second], services) = two_keys(rig, ["alice", "second"]).await?;
        let names = "\"alice\", \"second\"";
        let gateway = gateway_of_alice(rig, &services, names, "").await?;
        let through = gateway.endpoint.s3()?;
        let order = [&destroy("acme/alice", "alice.json")[..], &["--after", "1s"]].concat();
        let (ordered, result, said) = shred(rig, &gateway, &order)?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(2)).await;

        // While the first key goes, the service begins to tell nothing of the second one.
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "delay_milliseconds": 4_000,
            "times": 1,
        }]))?;
        let child = command(rig, &gateway, &["--due"])?
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        order_reaches(rig, ASKED).await?;
        rig.key_server.set_faults(&json!([{
            "operations": ["DescribeKey"],
            "keys": [second],
            "then": { "error": "KMSInternalException" },
        }]))?;
        // Whoever wants to know how far it came need not wait for it.
        let (listed, orders, said) = shred(rig, &gateway, &["--list"])?;
        ensure!(
            listed && orders["orders"][0]["state"] == "begun",
            "{orders} {said}"
        );
        ensure!(said.contains("another run is at work"), "{said}");
        let output = child.wait_with_output()?;
        ensure!(!output.status.success(), "the second key was not told");
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        rig.key_server.set_faults(&json!([]))?;
        ensure!(state_of(&kms, &second).await? == KeyState::Enabled);
        let (_, orders, _) = shred(rig, &gateway, &["--list"])?;
        ensure!(orders["orders"][0]["state"] == "begun", "{orders}");

        let (done, result, said) = shred(rig, &gateway, &["--due"])?;
        ensure!(
            done && result["orders"][0]["shredded"] == true,
            "{result} {said}"
        );
        ensure!(!result["orders"][0]["final_from"].is_null(), "{result}");
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(
            genuine && said.contains(&alice) && said.contains(&second),
            "{said}"
        );
        ensure!(said.contains("can cancel its deletion"), "{said}");
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");

        // Somebody brings a key back: nobody says any more that there is nothing to do.
        let again = destroy("acme/alice", "again.json");
        let refused = causes(&shred(rig, &gateway, &again)?)?;
        ensure!(refused.contains("there is nothing to do"), "{refused}");
        kms.cancel_key_deletion().key_id(&alice).send().await?;
        for _ in 0..2 {
            let refused = causes(&shred(rig, &gateway, &again)?)?;
            ensure!(
                refused.contains("is there now") && !refused.contains("there is nothing to do"),
                "{refused}"
            );
            kms.enable_key().key_id(&alice).send().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_needs_a_person_is_confirmed_or_taken_back_before_anything_was_asked_for()
-> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let kms = rig.key_server.endpoint.kms();
        let alice = new_key(&kms).await?;
        let recovery = recovery_of(rig, "recovery")?;
        let services = kms_table(rig, "alice", &alice);
        let gateway = gateway_of_alice(rig, &services, "\"alice\"", &recovery).await?;
        let file = ["--recovery-key", "recovery.key"];
        let dry = [&["--domain", "acme/alice", "--dry-run"][..], &file].concat();
        let (_, planned, said) = shred(rig, &gateway, &dry)?;
        let name_of = |place: usize| {
            let name = planned.pointer(&format!("/keys/{place}/key"));
            name.and_then(Value::as_str)
                .with_context(|| format!("{planned} {said}"))
        };
        let (key, recovery_key) = (name_of(0)?, name_of(1)?);
        ensure!(!planned["notes"].to_string().contains("under way"));

        // Said to be destroyed, and its file is there: nobody is to find that out after the other key is gone.
        let order = [
            &destroy("acme/alice", "alice.json")[..],
            &file,
            &["--destroyed", recovery_key, "--after", "1s"],
        ]
        .concat();
        let (ordered, result, said) = shred(rig, &gateway, &order)?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        a_timer_stops(rig, &gateway)?;
        let (_, planned, _) = shred(rig, &gateway, &dry)?;
        ensure!(
            planned["notes"].to_string().contains("under way"),
            "{planned}"
        );

        // Taken back, whatever has become of a key of which nothing was asked.
        rig.key_server.set_faults(&json!([{
            "operations": ["DescribeKey"],
            "keys": [alice],
            "then": { "error": "KMSInternalException" },
        }]))?;
        let cancel = ["--cancel", "acme/alice", "--destroyed", key];
        let (cancelled, result, said) = shred(rig, &gateway, &cancel)?;
        ensure!(
            cancelled && result["how"] == "taken-back",
            "{result} {said}"
        );
        rig.key_server.set_faults(&json!([]))?;

        // Ordered again, and confirmed, by what a run before has shown.
        let (ordered, result, said) = shred(rig, &gateway, &order)?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        a_timer_stops(rig, &gateway)?;
        let confirm = ["--domain", "acme/alice", "--confirm", "acme/alice"];
        let (done, _, said) = shred(rig, &gateway, &confirm)?;
        ensure!(!done && said.contains("found out only now"), "{said}");
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        let (done, result, said) = shred(rig, &gateway, &confirm)?;
        ensure!(done && result["final_from"].is_null(), "{result} {said}");
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        ensure!(!rig.directory().join("recovery.key").exists());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_has_disabled_meanwhile_is_left_to_a_person() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let (kms, [alice, second], services) = two_keys(rig, ["alice", "second"]).await?;
        let names = "\"alice\", \"second\"";
        let gateway = gateway_of_alice(rig, &services, names, "").await?;

        // While the order waits: enabled again, it is no key like before.
        let order = [&destroy("acme/alice", "alice.json")[..], &["--after", "1s"]].concat();
        let (ordered, result, said) = shred(rig, &gateway, &order)?;
        ensure!(ordered, "{result} {said}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        kms.disable_key().key_id(&second).send().await?;
        let (done, due, _) = shred(rig, &gateway, &["--due"])?;
        let refused = due["orders"][0]["refused"].to_string();
        ensure!(!done && refused.contains("is disabled"), "{due}");
        kms.enable_key().key_id(&second).send().await?;
        for _ in 0..2 {
            a_timer_stops(rig, &gateway)?;
        }
        for key in [&alice, &second] {
            ensure!(state_of(&kms, key).await? == KeyState::Enabled);
        }
        let (cancelled, _, said) = shred(rig, &gateway, &["--cancel", "acme/alice"])?;
        ensure!(cancelled, "{said}");

        // While the first key goes.
        rig.key_server.set_faults(&json!([{
            "operations": ["ScheduleKeyDeletion"],
            "delay_milliseconds": 4_000,
            "times": 1,
        }]))?;
        let arguments = destroy("acme/alice", "alice.json");
        let child = command(rig, &gateway, &arguments)?
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        order_reaches(rig, ASKED).await?;
        kms.disable_key().key_id(&second).send().await?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            !output.status.success() && said.contains("it is disabled"),
            "{said}"
        );
        ensure!(state_of(&kms, &alice).await? == KeyState::PendingDeletion);
        kms.enable_key().key_id(&second).send().await?;
        for _ in 0..2 {
            a_timer_stops(rig, &gateway)?;
            ensure!(state_of(&kms, &second).await? == KeyState::Enabled);
        }
        // Whoever was shown a key that can be used has not confirmed a disabled one.
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("found out only now"), "{said}");
        kms.disable_key().key_id(&second).send().await?;
        // A person is shown it, and may have it destroyed all the same.
        let (done, _, said) = shred(rig, &gateway, &arguments)?;
        ensure!(!done && said.contains("it is disabled"), "{said}");
        ensure!(state_of(&kms, &second).await? == KeyState::Disabled);
        let (done, result, said) = shred(rig, &gateway, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        ensure!(state_of(&kms, &second).await? == KeyState::PendingDeletion);
        Ok(())
    })
    .await
}
