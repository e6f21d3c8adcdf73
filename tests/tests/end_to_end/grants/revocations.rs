//! The list of revocations: what was signed is never signed away, and a list that nobody renews is told before grants fail.

use sealgate_access::grant::{RevocationList, SignedRevocationList};
use sealgate_tests::admin::{AdminEndpoint, check};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_once_is_in_every_list_that_follows() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path(), "")?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        rig.clients(BUCKET).await?;
        let desk = Desk::new(&rig.gateway, directory.path());
        let storage = rig.minio.endpoint.s3()?;
        let state = state_bucket(&storage).await?;
        let revoker = desk.first_list()?;
        let memory = format!("{revoker}.revocations");
        let first = get(&storage, &state, "grants/revocations").await?;

        // The place fails after the list was signed: it is remembered all the same.
        let directory = desk.file("a-directory");
        std::fs::create_dir(&directory)?;
        let other = STRANGE_ID.replace('A', "B");
        let lost = [&*other, "--key", &revoker, "--list", &directory];
        desk.refused("revoke", &lost, "can't be written")?;
        let list = desk.run("revoke", &["--renew", "--key", &revoker])?;
        ensure!(list.get("revoked") == Some(&json!([other])), "{list}");

        // Bob revokes with another key and the same memory; the storage takes his list, and shows the first one again.
        let bobs = desk.key_file("id_ed25519", OPENSSH_KEY)?;
        let next = desk.file("next.json");
        let prepare = [STRANGE_ID, "--prepare", &next, "--memory", &memory];
        desk.run("revoke", &prepare)?;
        let signature = ssh_sign("sealgate-revocations", &bobs, &next)?;
        let signed = [
            "--signed",
            &next,
            "--signature",
            &signature,
            "--memory",
            &memory,
        ];
        // The place fails after his list was remembered; the same signature is good for the next try.
        let lost = [&signed[..], &["--list", &directory]].concat();
        desk.refused("revoke", &lost, "can't be written")?;
        let list = desk.run("revoke", &signed)?;
        let digest = list.get("sha256").and_then(Value::as_str);
        ensure!(digest.is_some_and(|digest| digest.len() == 64), "{list}");
        put(&storage, &state, "grants/revocations", &first).await?;
        let renewed = desk.run("revoke", &["--renew", "--key", &revoker])?;
        let numbers = [&list, &renewed].map(|list| list.get("number").and_then(Value::as_u64));
        ensure!(numbers == [Some(4), Some(5)], "{list} {renewed}");
        ensure!(
            renewed.get("revoked") == Some(&json!([STRANGE_ID, other])),
            "{renewed}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nobody_renews_is_told_before_and_after_grants_fail() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let admin = AdminEndpoint::new(None)?;
    let more = configuration(directory.path(), &admin.table())?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        rig.clients(BUCKET).await?;
        let desk = Desk::new(&rig.gateway, directory.path());
        let revoker = desk.first_list()?;
        let id = desk.approved("10m")?;
        let status = || -> Result<Value> {
            let shown = desk.run("show", &[&id])?;
            shown.get("status").cloned().context("no status")
        };
        ensure!(status()? == "approved");
        // A gateway does its work without grants, so it stays ready.
        let until = async |expected: &str| -> Result<()> {
            let started = Instant::now();
            loop {
                let (is_ready, document) = admin.readiness().await?;
                ensure!(is_ready, "{document}");
                let found = check(&document, "grant_revocations");
                let cause = found["cause"].as_str().unwrap_or_default();
                if found["ok"] == expected.is_empty() && cause.starts_with(expected) {
                    return Ok(());
                }
                let elapsed = started.elapsed();
                ensure!(
                    elapsed < Duration::from_secs(30),
                    "not {expected:?}: {found}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        until("").await?;
        desk.run(
            "revoke",
            &["--renew", "--valid-for", "16s", "--key", &revoker],
        )?;
        until("the list of revocations was signed at 20").await?;
        ensure!(status()? == "approved");
        let metrics = admin.get("/metrics").await?.text();
        let told = metrics
            .lines()
            .any(|line| line == "sealgate_check_ok{check=\"grant_revocations\"} 0");
        ensure!(told, "{metrics}");
        let mut command = rig.gateway.command("check")?;
        let checked = process::run_successfully(&mut command, COMMAND_LIMIT)?;
        ensure!(
            checked.contains("missing  grants: the list of revocations is signed in time: "),
            "{checked}"
        );
        // In times that people read.
        until("the list of revocations is stale since 20").await?;
        ensure!(status()? == "suspended");
        desk.run("revoke", &[&id, "--valid-for", "1s", "--key", &revoker])?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure!(status()? == "revoked");
        Ok(())
    })
    .await
}

/// A list as a key has signed it once.
fn list(number: u64, revoked: &str, key: &str) -> Result<String> {
    let key = PrivateKey::parse(&std::fs::read_to_string(key)?)?;
    let list = RevocationList {
        version: RevocationList::VERSION,
        deployment: "rig".to_owned(),
        number,
        issued: 1_700_000_000,
        next_update: 1_700_000_600,
        revoked: [revoked.to_owned()].into(),
    };
    Ok(SignedRevocationList::sign(&list, &key)?.to_text()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_memory_goes_on_from_what_the_storage_shows_only_by_saying_so()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path(), "")?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        rig.clients(BUCKET).await?;
        let desk = Desk::new(&rig.gateway, directory.path());
        let (old, new) = (desk.key(ALICE)?, desk.key(REVOKER)?);
        let other = STRANGE_ID.replace('A', "B");
        let storage = rig.minio.endpoint.s3()?;
        let state = state_bucket(&storage).await?;
        let shown = list((1 << 56) - 1, &other, &old)?;
        put(&storage, &state, "grants/revocations", shown.as_bytes()).await?;

        // Nobody is known to have signed this list: what it revokes is taken, its number is not.
        let forget = ["--forget", "--key", &new];
        desk.refused("revoke", &[&forget[..], &["--renew"]].concat(), "--replace")?;
        let signed = desk.run("revoke", &[&forget[..], &["--replace"]].concat())?;
        ensure!(signed.get("number") == Some(&json!(1)), "{signed}");
        ensure!(signed.get("revoked") == Some(&json!([other])), "{signed}");

        // The new key's own memory is lost.
        std::fs::remove_file(format!("{new}.revocations"))?;
        let revoke = [STRANGE_ID, "--key", &new];
        desk.refused(
            "revoke",
            &revoke,
            "--forget goes on from what the storage shows",
        )?;
        let signed = desk.run("revoke", &[&revoke[..], &["--forget"]].concat())?;
        ensure!(signed.get("number") == Some(&json!(2)), "{signed}");
        ensure!(
            signed.get("revoked") == Some(&json!([STRANGE_ID, other])),
            "{signed}"
        );
        // From now on it is known again.
        let renewed = desk.run("revoke", &["--renew", "--key", &new])?;
        ensure!(renewed.get("number") == Some(&json!(3)), "{renewed}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_goes_on_from_what_the_old_one_signed_last_and_not_from_what_the_storage_shows()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path(), "")?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        rig.clients(BUCKET).await?;
        let desk = Desk::new(&rig.gateway, directory.path());
        // Alice's key is none of those that the configuration names: the key that was replaced.
        let (old, new) = (desk.key(ALICE)?, desk.key(REVOKER)?);
        let other = STRANGE_ID.replace('A', "B");
        let memory = desk.file("old.key.revocations");
        std::fs::write(&memory, list(7, STRANGE_ID, &old)?)?;
        let storage = rig.minio.endpoint.s3()?;
        let state = state_bucket(&storage).await?;
        let shown = list((1 << 56) - 1, &other, &old)?;
        put(&storage, &state, "grants/revocations", shown.as_bytes()).await?;

        let sign = ["--replace", "--key", &new];
        desk.refused("revoke", &sign, "name it with --memory")?;
        desk.refused(
            "revoke",
            &["--renew", "--key", &new],
            "name it with --memory",
        )?;
        let signed = desk.run("revoke", &[&sign[..], &["--memory", &memory]].concat())?;
        ensure!(signed.get("number") == Some(&json!(8)), "{signed}");
        ensure!(
            signed.get("revoked") == Some(&json!([STRANGE_ID, other])),
            "{signed}"
        );
        Ok(())
    })
    .await
}
