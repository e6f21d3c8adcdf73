//! Vault's Transit engine: the shared behaviour, on a real server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use sealgate_envelope::KeyServiceFailure;
use sealgate_envelope::key_service::vault::{
    VaultConfiguration, VaultLimits, VaultLogin, VaultTransit,
};
use sealgate_envelope::key_service::{KeyAvailability, KeyService, RewrapSource};
use sealgate_tests::rig::bounded;
use sealgate_tests::servers::{Interference, Interferer, Vault, vault::ROOT_TOKEN};
use serde_json::json;
use tempfile::TempDir;

use super::behaviour::{
    self, Administrator, Key, OPERATION_TIMEOUT, Outcome, Situation, TIMEOUT, context, expect,
    permit,
};

pub(crate) fn root() -> VaultLogin {
    VaultLogin::Token(ROOT_TOKEN.to_owned().into())
}

pub(crate) fn limits() -> VaultLimits {
    VaultLimits {
        attempt_timeout: TIMEOUT,
        operation_timeout: OPERATION_TIMEOUT,
        ..VaultLimits::default()
    }
}

struct Transit {
    vault: Vault,
    between: Interferer,
    made: usize,
    _directory: TempDir,
}

#[async_trait]
impl Administrator for Transit {
    async fn new_key(&mut self) -> Result<Key> {
        self.made += 1;
        let name = format!("key-{}", self.made);
        self.vault.make_key(&name)?;
        let configuration = VaultConfiguration::new(&self.between.url, &name, root())
            .allow_plain_http()
            .limits(limits());
        Ok(Key {
            name,
            service: Arc::new(VaultTransit::connect(configuration)?),
        })
    }

    async fn bring_about(&mut self, situation: Situation, key: &Key) -> Result<Outcome> {
        let path = format!("transit/keys/{}", key.name);
        match situation {
            Situation::Disabled => {
                return Ok(Outcome::CannotApply(
                    "keys in Transit have no such state; raising min_decryption_version is tested apart",
                ));
            }
            Situation::Deleted => {
                let allowed = json!({ "deletion_allowed": true });
                self.vault.write(&format!("{path}/config"), &allowed)?;
                self.vault.request("DELETE", &path, &json!({}))?;
            }
            Situation::Throttled => {
                // A quota of the server's own: one request in ten minutes.
                let quota = json!({ "path": "transit", "rate": 1, "interval": "10m" });
                self.vault.write("sys/quotas/rate-limit/tests", &quota)?;
                self.vault.request("GET", &path, &json!({})).ok();
            }
            Situation::Slow => self.between.interfere(Interference::Silence),
            Situation::Unreachable => self.between.interfere(Interference::Hangup),
            Situation::Malformed => {
                self.between
                    .interfere(Interference::answer("200 OK", "<html>Log in first</html>"));
            }
            Situation::Rotated => drop(self.vault.write(&format!("{path}/rotate"), &json!({}))?),
        }
        Ok(Outcome::Arranged)
    }

    async fn undo(&mut self, situation: Situation, _: &Key) -> Result<()> {
        if situation == Situation::Throttled {
            let quota = "sys/quotas/rate-limit/tests";
            self.vault.request("DELETE", quota, &json!({}))?;
        }
        self.between.interfere(Interference::None);
        Ok(())
    }
}

#[tokio::test]
async fn vault_transit_behaves_as_a_key_service() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = Vault::start(directory.path())?;
    let mut transit = Transit {
        between: Interferer::start(&vault.url).await?,
        vault,
        made: 0,
        _directory: directory,
    };
    let test = behaviour::check(&mut transit, &[Situation::Disabled]);
    let outcome = bounded(Duration::from_mins(3), test).await;
    outcome.map_err(|error| anyhow!("{error:#}\n{}", transit.vault.last_words()))
}

/// The first callers wait for one of them to look at the key. They do not wait for each other's time-outs in turn.
#[tokio::test]
async fn many_first_calls_to_a_silent_server_end_within_the_time_of_one() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = Vault::start(directory.path())?;
    let between = Interferer::start(&vault.url).await?;
    between.interfere(Interference::Silence);
    let configuration = VaultConfiguration::new(&between.url, "sealgate", root())
        .allow_plain_http()
        .limits(limits());
    let service = Arc::new(VaultTransit::connect(configuration)?);
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for id in 0..8 {
        let service = Arc::clone(&service);
        callers.spawn(async move { service.generate(&context("d", id)).await });
    }
    for outcome in callers.join_all().await {
        expect(&outcome, KeyServiceFailure::Unavailable)?;
    }
    let took = started.elapsed();
    anyhow::ensure!(took < OPERATION_TIMEOUT * 2, "{took:?}");
    Ok(())
}

fn service(vault: &Vault, key: &str, login: VaultLogin) -> Result<VaultTransit> {
    let configuration = VaultConfiguration::new(&vault.url, key, login)
        .allow_plain_http()
        .limits(limits());
    Ok(VaultTransit::connect(configuration)?)
}

/// Transit makes a key for whoever encrypts under a name that does not exist. We do not.
#[tokio::test]
async fn a_typo_makes_no_key() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = Vault::start(directory.path())?;
    vault.make_key("sealgate")?;
    let good = service(&vault, "sealgate", root())?;
    let (made, _) = good.generate(&context("d", 1)).await?;
    let typo = service(&vault, "saelgate", root())?;
    expect(
        &typo.wrap(&context("d", 1), &made).await,
        KeyServiceFailure::NotFound,
    )?;
    expect(
        &typo.generate(&context("d", 1)).await,
        KeyServiceFailure::NotFound,
    )?;
    let listed = vault.request("LIST", "transit/keys", &json!({}))?;
    assert_eq!(listed.pointer("/data/keys"), Some(&json!(["sealgate"])));

    // Nor does a key that was deleted while we ran come back as another one of the same name.
    let allowed = json!({ "deletion_allowed": true });
    vault.write("transit/keys/sealgate/config", &allowed)?;
    vault.request("DELETE", "transit/keys/sealgate", &json!({}))?;
    expect(
        &good.wrap(&context("d", 1), &made).await,
        KeyServiceFailure::NotFound,
    )?;
    assert!(
        vault.request("LIST", "transit/keys", &json!({})).is_err(),
        "a key came back"
    );

    let elsewhere = VaultConfiguration::new(&vault.url, "sealgate", root())
        .allow_plain_http()
        .mount("transist");
    let elsewhere = VaultTransit::connect(elsewhere)?;
    expect(
        &elsewhere.generate(&context("d", 1)).await,
        KeyServiceFailure::Misconfigured,
    )
}

/// A key that is not derived ignores the context, whether or not we may look at its settings.
#[tokio::test]
async fn keys_that_do_not_bind_their_wraps_are_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = Vault::start(directory.path())?;
    vault.write("transit/keys/loose", &json!({ "type": "aes256-gcm96" }))?;
    vault.write(
        "transit/keys/signer",
        &json!({ "type": "ed25519", "derived": true }),
    )?;
    for key in ["loose", "signer"] {
        let service = service(&vault, key, root())?;
        expect(
            &service.generate(&context("d", 1)).await,
            KeyServiceFailure::Misconfigured,
        )?;
        expect(&service.describe().await, KeyServiceFailure::Misconfigured)?;
    }
    let blind = "path \"transit/datakey/plaintext/*\" { capabilities = [\"update\"] }\n\
                 path \"transit/decrypt/*\" { capabilities = [\"update\"] }";
    vault.request("PUT", "sys/policies/acl/blind", &json!({ "policy": blind }))?;
    let token = json!({ "id": "blind", "policies": ["blind"] });
    vault.write("auth/token/create", &token)?;
    let blind = || VaultLogin::Token("blind".to_owned().into());
    let loose = service(&vault, "loose", blind())?;
    expect(
        &loose.generate(&context("d", 1)).await,
        KeyServiceFailure::Misconfigured,
    )?;
    vault.make_key("derived")?;
    let derived = service(&vault, "derived", blind())?;
    let (made, wrap) = derived.generate(&context("d", 1)).await?;
    assert_eq!(
        derived.unwrap(&permit(), &context("d", 1), &wrap).await?,
        made
    );
    assert_eq!(
        derived.describe().await?.availability,
        KeyAvailability::Enabled
    );

    // Who may allow a deletion, and not delete, leaves the key as it was: nobody else deletes it by that.
    let half = "path \"transit/keys/derived\" { capabilities = [\"read\"] }\n\
                path \"transit/keys/derived/config\" { capabilities = [\"update\"] }";
    vault.request("PUT", "sys/policies/acl/half", &json!({ "policy": half }))?;
    let token = json!({ "id": "half", "policies": ["half"] });
    vault.write("auth/token/create", &token)?;
    let half = VaultLogin::Token("half".to_owned().into());
    let refused = self::service(&vault, "derived", half)?;
    let refused = refused.schedule_deletion(7).await;
    expect(&refused, KeyServiceFailure::Denied)?;
    let read = vault.request("GET", "transit/keys/derived", &json!({}))?;
    assert_eq!(read.pointer("/data/deletion_allowed"), Some(&json!(false)));
    Ok(())
}

/// `min_decryption_version` is how an administrator of Vault takes old wraps away.
#[tokio::test]
async fn versions_that_may_not_decrypt_any_more_are_told_from_forgeries() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let vault = Vault::start(directory.path())?;
    vault.make_key("sealgate")?;
    let service = service(&vault, "sealgate", root())?;
    let context = context("d", 1);
    let (made, old) = service.generate(&context).await?;
    vault.write("transit/keys/sealgate/rotate", &json!({}))?;
    let new = service
        .rewrap(&context, &old, RewrapSource::SameKey)
        .await?;
    assert!(new.blob().starts_with(b"vault:v2:"), "{new:?}");
    let raised = json!({ "min_decryption_version": 2 });
    vault.write("transit/keys/sealgate/config", &raised)?;
    let opened = service.unwrap(&permit(), &context, &old).await;
    expect(&opened, KeyServiceFailure::WrapWithdrawn)?;
    assert_eq!(service.unwrap(&permit(), &context, &new).await?, made);

    vault.request("PUT", "sys/seal", &json!({}))?;
    let opened = service.unwrap(&permit(), &context, &new).await;
    expect(&opened, KeyServiceFailure::Unavailable)
}
