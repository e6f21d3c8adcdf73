//! The whole way of one tenant.

use std::fs;

use anyhow::{Context, Result, ensure};
use aws_sdk_kms::types::KeyState;
use sealgate_tests::{
    content::pattern,
    rig::{get, put, state_bucket, with_rig},
    servers::report,
};
use serde_json::json;

use super::{
    BUCKET, LIMIT, alice_and_bob, all_known, causes, destroy, gateway, is_of, keep_versions,
    kms_table, records, shred, state_of, status_of_put, two_keys, verify,
};
use crate::stored::{PART, upload_in_parts};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_leaves_is_gone_and_the_others_stay() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (_, bare) = rig.clients(BUCKET).await?;
        let state = state_bucket(&bare).await?;
        keep_versions(&bare, &state).await?;
        let (kms, [alice, bob], services) = two_keys(rig, ["alice", "bob"]).await?;
        let tenants = alice_and_bob();
        let first = gateway(rig, &services, &tenants)?;
        let second = gateway(rig, &services, &tenants)?;
        let (one, two) = (first.endpoint.s3()?, second.endpoint.s3()?);
        let content = pattern(1, 70_000);
        for key in ["alice/a", "alice/b", "bob/a", "elsewhere"] {
            put(&one, BUCKET, key, &content).await?;
        }
        put(&two, BUCKET, "alice/c", &content).await?;
        upload_in_parts(&two, BUCKET, "alice/parts", &pattern(2, PART + 9)).await?;
        // More than one version of a record.
        let (renewed, rewrap, _) = report(first.command("keys rewrap")?.arg("--renew"), LIMIT)?;
        ensure!(renewed, "{rewrap}");
        let of_alice = |all: &[Vec<u8>]| all.iter().filter(|one| is_of(one, "acme/alice")).count();
        let before = records(&bare, &state).await?;
        ensure!(
            of_alice(&before) == 4,
            "two gateways, two versions: {}",
            of_alice(&before)
        );
        all_known(&first, 3).await?;

        let (would, plan, _) = shred(rig, &first, &["--domain", "acme/alice", "--dry-run"])?;
        ensure!(
            would && plan["objects"] == 4 && plan["refused"] == json!([]),
            "{plan}"
        );
        ensure!(plan["keys"][0]["full_name"] == alice.as_str(), "{plan}");
        ensure!(
            plan["keys"].as_array().is_some_and(|keys| keys.len() == 1),
            "{plan}"
        );
        let named = ["--domain", "acme/alice", "--certificate", "alice.json"];
        let wrong = [&named[..], &["--confirm", "acme/bob"]].concat();
        for arguments in [&named[..], &wrong] {
            let (done, _, said) = shred(rig, &first, arguments)?;
            ensure!(!done && said.contains("nothing was done"), "{said}");
        }
        for name in ["shred-signing.key", "shred-orders"] {
            let made = rig.directory().join(name).exists();
            ensure!(!made, "{name} was made before anything was confirmed");
        }
        ensure!(state_of(&kms, &alice).await? == KeyState::Enabled);
        ensure!(get(&two, BUCKET, "alice/a").await? == content);

        let arguments = [
            &destroy("acme/alice", "alice.json")[..],
            &["--waiting-days", "7"],
        ]
        .concat();
        let (done, result, said) = shred(rig, &first, &arguments)?;
        ensure!(done && result["shredded"] == true, "{result} {said}");
        // Exactly the keys that go were shown.
        ensure!(said.contains(&alice) && !said.contains(&bob), "{said}");
        ensure!(
            !said.contains("enable the key"),
            "advice for what is to be so: {said}"
        );
        let certificate = &result["certificate"];
        ensure!(
            certificate["keys"][0]["full_name"] == alice.as_str(),
            "{result}"
        );
        ensure!(certificate["buckets"] == json!([BUCKET]), "{result}");
        // The key server is none of AWS's own, and may have backups.
        let survivors = &certificate["keys"][0]["not_covered"];
        ensure!(survivors.to_string().contains("backups"), "{result}");
        ensure!(
            certificate["registry"] == json!({ "working_keys": 2, "versions": 4 }),
            "{result}"
        );
        ensure!(
            certificate["objects"]
                == json!({ "seen": 4, "opened_before": 4, "refused_after": 4, "not_tried": 0, "deleted": 0 }),
            "{result}"
        );
        ensure!(
            certificate["gateways"]["gateways"]
                .as_array()
                .is_some_and(|all| all.len() == 3),
            "{result}"
        );
        let described = kms.describe_key().key_id(&alice).send().await?;
        let deletion = described
            .key_metadata
            .and_then(|key| key.deletion_date)
            .context("no date")?;
        let final_from = result["final_from"].as_str().context("no date")?;
        let final_from = aws_sdk_kms::primitives::DateTime::from_str(
            final_from,
            aws_sdk_kms::primitives::DateTimeFormat::DateTime,
        )?;
        ensure!(
            (final_from.secs() - deletion.secs()).abs() <= 1,
            "{final_from} is not {deletion}"
        );

        for client in [&one, &two] {
            for key in ["alice/a", "alice/b", "alice/c", "alice/parts"] {
                ensure!(get(client, BUCKET, key).await.is_err(), "{key} opens");
            }
            let status = status_of_put(client, "alice/new").await;
            ensure!(matches!(status, Some(403 | 503)), "PUT: {status:?}");
            for key in ["bob/a", "elsewhere"] {
                ensure!(get(client, BUCKET, key).await? == content, "{key}");
            }
            ensure!(status_of_put(client, "bob/new").await == Some(200));
        }
        ensure!(
            first.process.logged()?.contains("is pending deletion"),
            "the log names the cause"
        );
        let after = records(&bare, &state).await?;
        ensure!(
            of_alice(&after) == 0 && after.len() >= 2,
            "{} records",
            after.len()
        );
        let (works, check, _) = report(&mut first.command("check")?, LIMIT)?;
        ensure!(
            !works && check.to_string().contains("pending deletion"),
            "{check}"
        );
        // One that starts now, with everything that the storage still has.
        let late = gateway(rig, &services, &tenants)?;
        ensure!(get(&late.endpoint.s3()?, BUCKET, "alice/a").await.is_err());

        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(genuine && said.contains(&alice), "{said}");
        let file = rig.directory().join("alice.json");
        let whole = fs::read(&file)?;
        for place in [0, whole.len() / 2, whole.len() - 2] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&file, changed)?;
            let (genuine, said) = verify(rig, "alice.json")?;
            ensure!(!genuine && said.contains("signature"), "{said}");
        }
        fs::write(&file, whole)?;
        let signature = rig.directory().join("alice.json.sig");
        let moved = rig.directory().join("elsewhere");
        fs::rename(&signature, &moved)?;
        let (genuine, said) = verify(rig, "alice.json")?;
        ensure!(!genuine && said.contains("alice.json.sig"), "{said}");
        fs::rename(&moved, &signature)?;
        let (again, _, said) = shred(rig, &first, &destroy("acme/alice", "alice.json"))?;
        ensure!(!again && said.contains("destroyed already"), "{said}");
        let again = causes(&shred(
            rig,
            &first,
            &destroy("acme/alice", "other.json"),
        )?)?;
        ensure!(again.contains("acme/alice was destroyed before"), "{again}");

        // What is left of the objects is of an unknown key then, and nobody says that it was altered.
        let bob = kms_table(rig, "bob", &bob);
        let without = gateway(rig, &bob, &tenants[1..])?;
        let (well, verified, _) = report(without.command("verify")?.arg("--deep"), LIMIT)?;
        let said = verified.to_string();
        ensure!(!well && said.contains("unknown-key"), "{verified}");
        ensure!(!said.contains("\"damaged\""), "{verified}");
        Ok(())
    })
    .await
}
