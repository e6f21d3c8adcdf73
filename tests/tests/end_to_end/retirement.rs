//! `sealgate keys retire`: a key that anything depends on is not let go, and one that is let go is not missed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{Client, types::CompletedPart};
use sealgate_tests::{
    content::pattern,
    endpoint::{Endpoint, REGION},
    multipart::{self, upload_part},
    rig::{Rig, get, put, state_bucket, with_rig},
    servers::{
        Gateway, GatewaySettings, KeyServer, Vault, key_server::KEY, report, vault::ROOT_TOKEN,
    },
};
use serde_json::Value;

use crate::stored::{PART, upload_in_parts};

const BUCKET: &str = "retired";
const LIMIT: Duration = Duration::from_mins(4);

pub(crate) fn named(name: &str, server: &Endpoint) -> String {
    format!(
        "\n[[key_service]]\nname = \"{name}\"\ntype = \"aws-kms\"\nkey = \"{KEY}\"\nendpoint = \"{}\"\nregion = \"{REGION}\"\n\
         credentials = {{ access_key_id = \"{}\", secret_access_key = \"env:KEY_SERVER_SECRET\" }}\n",
        server.url, server.access_key_id
    )
}

/// A gateway of the same deployment whose first key service is `first`, with further ones.
fn gateway(rig: &Rig, first: &Endpoint, more: &str) -> Result<Gateway> {
    rig.gateway_with(GatewaySettings {
        more: more.to_owned(),
        ..GatewaySettings::new(&rig.minio.endpoint, first)
    })
}

/// Runs a command of `sealgate keys`; whether it succeeded, its report, and what it said.
fn keys(gateway: &Gateway, command: &str, arguments: &[&str]) -> Result<(bool, Value, String)> {
    let mut process = gateway.command(&format!("keys {command}"))?;
    report(process.args(arguments), LIMIT)
}

async fn begin(through: &Client, key: &str) -> Result<(String, CompletedPart)> {
    let upload = multipart::begin(through, (BUCKET, key)).await?;
    let part = upload_part(through, (BUCKET, key), &upload, 1, &pattern(5, 1_000)).await?;
    Ok((upload, part))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_when_nothing_depends_on_it_and_everything_is_read_without_it() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        let (through, bare) = rig.clients(BUCKET).await?;
        let contents = [("empty", 0), ("small", 1_000), ("late", 3 * 1024 * 1024)];
        for (key, length) in contents {
            put(&through, BUCKET, key, &pattern(1, length)).await?;
        }
        upload_in_parts(&through, BUCKET, "parts", &pattern(2, PART + 9)).await?;
        let (upload, part) = begin(&through, "open").await?;

        let directory = rig.directory().join("new");
        std::fs::create_dir(&directory)?;
        let new = KeyServer::start(&directory, None)?;
        let alone = gateway(rig, &rig.key_server.endpoint, "")?;
        let (retirable, report, _) = keys(&alone, "retire", &["1"])?;
        ensure!(!retirable && report["retirable"] == false, "{report}");
        ensure!(
            report["domains_without_another_key"]
                .as_array()
                .is_some_and(|all| !all.is_empty()),
            "{report}"
        );

        let both = gateway(rig, &rig.key_server.endpoint, &named("new", &new.endpoint))?;
        let (retirable, report, said) = keys(&both, "retire", &["1"])?;
        ensure!(!retirable && report["retirable"] == false, "{report}");
        let depend = |kind: &str| report["depends"][kind]["depend"].clone();
        ensure!(
            depend("objects") == 4 && depend("open_uploads") == 1,
            "{report}"
        );
        ensure!(depend("registry_records").as_u64() >= Some(1), "{report}");
        ensure!(
            report["next"]
                .as_str()
                .is_some_and(|next| next.contains("keys rewrap")),
            "{report}"
        );
        ensure!(said.contains("retired/small"), "{said}");

        let (rewrapped, report, _) = keys(&both, "rewrap", &[])?;
        ensure!(rewrapped, "{report}");
        let (retirable, report, _) = keys(&both, "retire", &["1"])?;
        ensure!(retirable && report["retirable"] == true, "{report}");
        ensure!(
            report["depends"]["objects"]["open_otherwise"] == 4,
            "{report}"
        );
        // The new one is needed from now on by nothing, as long as the old one is there.
        let (retirable, report, _) = keys(&both, "retire", &["new"])?;
        ensure!(retirable, "{report}");
        let (succeeded, report, _) = keys(&both, "retire", &["1", "--prefix", "small"])?;
        ensure!(
            succeeded && report["retirable"] == false && report["retirable_in_this_piece"] == true,
            "{report}"
        );

        // A wrap that only says that it is by the new key is no other way in.
        let state = state_bucket(&bare).await?;
        let listing = bare
            .list_objects_v2()
            .bucket(&state)
            .prefix("registry/")
            .send()
            .await?;
        for object in listing.contents() {
            let name = object.key().context("name")?;
            let record = get(&bare, &state, name).await?;
            let mut forged = record.clone();
            // The last byte of the last wrap's blob stands before the MAC of 32 bytes; the old key's wrap comes first.
            let place = forged.len() - 33;
            forged[place] ^= 1;
            put(&bare, &state, name, &forged).await?;
            let (retirable, report, _) = keys(&both, "retire", &["1"])?;
            ensure!(!retirable, "{report}");
            put(&bare, &state, name, &record).await?;
        }

        // The key is gone for good.
        rig.key_server.schedule_deletion().await?;
        let after = gateway(rig, &new.endpoint, "")?;
        let through = after.endpoint.s3()?;
        for (key, length) in contents {
            ensure!(
                get(&through, BUCKET, key).await? == pattern(1, length),
                "{key}"
            );
        }
        ensure!(get(&through, BUCKET, "parts").await? == pattern(2, PART + 9));
        multipart::complete(&through, (BUCKET, "open"), &upload, vec![part]).await?;
        ensure!(get(&through, BUCKET, "open").await? == pattern(5, 1_000));
        let mut command = after.command("verify")?;
        let (succeeded, found, said) =
            sealgate_tests::servers::report(command.arg("--deep"), LIMIT)?;
        ensure!(succeeded, "{found} {said}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_vault_goes_when_another_one_opens_what_it_wrapped() -> Result<()> {
    with_rig(LIMIT, async |rig| {
        rig.clients(BUCKET).await?;
        let vault = Vault::start(rig.directory())?;
        std::fs::write(rig.directory().join("token"), ROOT_TOKEN)?;
        let table = |name: &str| {
            format!(
                "[[key_service]]\nname = \"{name}\"\ntype = \"vault-transit\"\nendpoint = \"{}\"\nkey = \"{name}\"\n\
                 login = {{ method = \"token\", token = \"file:token\" }}\n\n",
                vault.url
            )
        };
        vault.make_key("old")?;
        vault.make_key("new")?;
        let (old, new) = (table("old"), table("new"));
        let directory = rig.directory().join("access-keys");
        let access_keys = format!("[credentials]\ndirectory = \"{}\"\n\n", directory.display());
        let old = format!("{access_keys}{old}");
        let with = |table: &str| {
            rig.gateway_with(GatewaySettings {
                key_service: Some(table.to_owned()),
                ..GatewaySettings::new(&rig.minio.endpoint, &rig.key_server.endpoint)
            })
        };
        // An access key of the directory, which is sealed under a working key that no registry has.
        let access_key = |gateway: &Gateway, command: &str, arguments: &[&str]| {
            let mut process = gateway.command(&format!("credentials {command}"))?;
            process.args(["--identity", "client", "--output", "-"]);
            let (succeeded, _, said) = report(process.args(arguments), LIMIT)?;
            ensure!(succeeded, "{said}");
            Ok(())
        };
        let alone = with(&old)?;
        put(&alone.endpoint.s3()?, BUCKET, "x", b"content").await?;
        access_key(&alone, "add", &[])?;
        let both = with(&(old + &new))?;
        let (retirable, report, _) = keys(&both, "retire", &["old"])?;
        let records = &report["depends"]["registry_records"];
        ensure!(!retirable && records["depend"] == 1, "{report}");
        ensure!(report["depends"]["access_keys"]["depend"] == 1, "{report}");
        ensure!(
            records["depend_and_have_a_recovery_wrap"] == 0,
            "{report}"
        );
        let (rewrapped, report, _) = keys(&both, "rewrap", &[])?;
        ensure!(rewrapped && report["rewrapped"] == 1, "{report}");
        let (retirable, report, said) = keys(&both, "retire", &["old"])?;
        ensure!(!retirable && said.contains("the access key SGAK"), "{said}");
        let next = report["next"].as_str().unwrap_or_default();
        ensure!(next.contains("credentials rotate"), "{report}");
        access_key(&both, "rotate", &["--grace", "0s"])?;
        let (retirable, report, _) = keys(&both, "retire", &["old"])?;
        ensure!(retirable && report["retirable"] == true, "{report}");
        let allowed = serde_json::json!({ "deletion_allowed": true });
        vault.write("transit/keys/old/config", &allowed)?;
        vault.request("DELETE", "transit/keys/old", &Value::Null)?;
        let after = with(&new)?;
        ensure!(get(&after.endpoint.s3()?, BUCKET, "x").await? == b"content");
        Ok(())
    })
    .await
}
