//! Keys that are gone at once: in Vault, in files, and recovery keys.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    environment, process,
    rig::{get, put, with_rig},
    servers::{Vault, report, vault::ROOT_TOKEN},
};
use serde_json::Value;

use super::{
    BUCKET, LIMIT, SOON, all_known, destroy, gateway, recovery_of, shred, status_of_put, tenant,
    verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_vault_and_a_recovery_key_of_the_domains_own_go_together() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let vault = Vault::start(rig.directory())?;
        vault.make_key("alice")?;
        vault.make_key("bob")?;
        fs::write(rig.directory().join("token"), ROOT_TOKEN)?;
        let table = |name: &str| {
            format!(
                "[[key_service]]\nname = \"{name}\"\ntype = \"vault-transit\"\nendpoint = \"{}\"\nkey = \"{name}\"\n\
                 login = {{ method = \"token\", token = \"file:token\" }}\n\n",
                vault.url
            )
        };
        let services = table("alice") + &table("bob");
        let recovery = recovery_of(rig, "recovery")?;
        let tenants = [tenant("alice", "\"alice\"", &recovery), tenant("bob", "\"bob\"", "")];
        let gateway = gateway(rig, &services, &tenants)?;
        let through = gateway.endpoint.s3()?;
        for key in ["alice/a", "bob/a"] {
            put(&through, BUCKET, key, b"content").await?;
        }
        all_known(&gateway, 2).await?;

        let (done, result, _) = shred(rig, &gateway, &destroy("acme/alice", "alice.json"))?;
        let causes = result["refused"].to_string();
        ensure!(!done && causes.contains("would go on opening copies of the registry"), "{result}");
        ensure!(causes.contains("--recovery-key"), "{result}");
        ensure!(get(&through, BUCKET, "alice/a").await? == b"content");

        let with_key = [&destroy("acme/alice", "alice.json")[..], &["--recovery-key", "recovery.key"]].concat();
        let (done, result, said) = shred(rig, &gateway, &with_key)?;
        ensure!(done, "{result} {said}");
        let keys = result["certificate"]["keys"].as_array().context("no keys")?;
        ensure!(keys.len() == 2 && keys[0]["manner"] == "deleted", "{result}");
        ensure!(keys[1]["key_service"].is_null(), "{result}");
        ensure!(!rig.directory().join("recovery.key").exists());
        let read = vault.request("GET", "transit/keys/alice", &Value::Null);
        ensure!(read.is_err(), "the key is there: {read:?}");
        vault.request("GET", "transit/keys/bob", &Value::Null)?;
        ensure!(get(&through, BUCKET, "alice/a").await.is_err(), "it opens");
        ensure!(status_of_put(&through, "alice/b").await != Some(200));
        ensure!(get(&through, BUCKET, "bob/a").await? == b"content");
        ensure!(verify(rig, "alice.json")?.0);
        // With a key of the same name, made anew, nothing of it comes back.
        vault.make_key("alice")?;
        let late = self::gateway(rig, &services, &tenants)?;
        ensure!(get(&late.endpoint.s3()?, BUCKET, "alice/a").await.is_err(), "it opens");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_goes_when_no_gateway_has_it_in_memory() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let mut make = Command::new(environment::own_program("sealgate")?);
        make.current_dir(rig.directory())
            .args(["key-file", "create", "alice.key"]);
        process::run_successfully(&mut make, LIMIT)?;
        let services =
            "[[key_service]]\nname = \"alice\"\ntype = \"local\"\nfile = \"alice.key\"\n\n";
        let mut gateway = gateway(rig, services, &[tenant("alice", "\"alice\"", "")])?;
        let through = gateway.endpoint.s3()?;
        put(&through, BUCKET, "alice/a", b"content").await?;
        put(&through, BUCKET, "other", b"content").await?;
        all_known(&gateway, 2).await?;
        let (done, result, _) = shred(rig, &gateway, &destroy("acme/alice", "alice.json"))?;
        ensure!(
            !done
                && result["refused"]
                    .to_string()
                    .contains("keep the key of a key file in memory"),
            "{result}"
        );
        gateway.process.terminate(SOON)?;
        rig.gateway.process.terminate(SOON)?;
        let file = rig.directory().join("alice.key");
        let (done, _, said) = shred(rig, &gateway, &destroy("acme/alice", "alice.json"))?;
        // The key is gone, and nobody has said that no gateway runs: not certified.
        ensure!(!done && said.contains("--without-gateways"), "{said}");
        ensure!(!file.exists() && !rig.directory().join("alice.json").exists());
        let alone = [
            &destroy("acme/alice", "alice.json")[..],
            &["--without-gateways"],
        ]
        .concat();
        // One that runs now would have had the key in memory, whatever it answers.
        let mut late = rig.another_gateway()?;
        all_known(&late, 1).await?;
        let (done, _, said) = shred(rig, &gateway, &alone)?;
        ensure!(!done && said.contains("gateways run"), "{said}");
        late.process.terminate(SOON)?;
        let (done, result, said) = shred(rig, &gateway, &alone)?;
        ensure!(
            done && result["certificate"]["keys"][0]["manner"] == "file overwritten and removed",
            "{result} {said}"
        );
        ensure!(verify(rig, "alice.json")?.0);
        let (works, check, _) = report(&mut gateway.command("check")?, LIMIT)?;
        let said = check.to_string();
        ensure!(
            !works && said.contains("key service alice") && said.contains("keys shred"),
            "{check}"
        );
        Ok(())
    })
    .await
}
