//! A storage that forges, replays or withholds what operators tell gateways, and what gateways answer: what docs/keys.md says of it, under "Taking
//! keys away now", and no more.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::Client;
use futures_util::FutureExt;
use sealgate_tests::{
    rig::{bounded, get, put},
    servers::{
        Gateway, GatewaySettings, KeyServer, Meddler, Minio,
        meddler::{Action, Asked},
        report,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::key_life::administrator;

const BUCKET: &str = "hostile";
const LIMIT: Duration = Duration::from_mins(3);

/// How often a gateway looks for commands.
const LOOK: Duration = Duration::from_secs(3);

/// A revoked key is gone after this, whatever becomes of a flush.
const CACHE_AGE: Duration = Duration::from_secs(20);

/// What the storage does with the list of commands and with the records of gateways. None: it is honest.
type Plot = dyn FnMut(&Asked) -> Option<Action> + Send;

struct Setting {
    gateway: Gateway,
    client: Client,
    key_server: KeyServer,
    plot: Arc<Mutex<Box<Plot>>>,
    // In this order: the directory goes last.
    _storage: (Meddler, Minio),
    _directory: TempDir,
}

fn honest() -> Box<Plot> {
    Box::new(|_| None)
}

async fn start() -> Result<Setting> {
    let directory = tempfile::tempdir()?;
    let minio = Minio::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let plot: Arc<Mutex<Box<Plot>>> = Arc::new(Mutex::new(honest()));
    let plotted = Arc::clone(&plot);
    let meddler = Meddler::start(&minio.endpoint, move |asked: Asked| {
        let action = if asked.path.contains("/control/") {
            let mut plot = plotted.lock().unwrap_or_else(PoisonError::into_inner);
            plot(&asked)
        } else {
            None
        };
        async move { action.unwrap_or(Action::Pass) }.boxed()
    })
    .await?;
    let settings = GatewaySettings {
        more: format!(
            "[limits]\nworking_key_cache_age = \"{}s\"\noutage_grace = \"0s\"\n",
            CACHE_AGE.as_secs()
        ),
        ..GatewaySettings::new(&meddler.endpoint, &key_server.endpoint)
    };
    let gateway = Gateway::start(settings, directory.path())?;
    let client = gateway.endpoint.s3()?;
    client.create_bucket().bucket(BUCKET).send().await?;
    put(&client, BUCKET, "x", b"content").await?;
    Ok(Setting {
        gateway,
        client,
        key_server,
        plot,
        _storage: (meddler, minio),
        _directory: directory,
    })
}

impl Setting {
    /// From now on the storage does this.
    fn plot(&self, plot: impl FnMut(&Asked) -> Option<Action> + Send + 'static) {
        *self.plot.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(plot);
    }

    /// Reads for so long, several times a second; each reading must succeed.
    async fn read_for(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            ensure!(get(&self.client, BUCKET, "x").await? == b"content", "GET");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Waits until a reading fails.
    async fn until_revoked(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while get(&self.client, BUCKET, "x").await.is_ok() {
            ensure!(Instant::now() < end, "still served after {limit:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn disable_key(&self) -> Result<()> {
        let (kms, key) = administrator(&self.key_server.endpoint).await?;
        kms.disable_key().key_id(key).send().await?;
        Ok(())
    }

    /// `sealgate keys flush`: whether it succeeded, and its report.
    fn flush(&self, wait: &str) -> Result<(bool, Value, String)> {
        let mut command = self.gateway.command("keys flush")?;
        report(command.args(["--wait", wait]), Duration::from_mins(1))
    }
}

/// The list is empty, whatever is written to it.
fn withheld(asked: &Asked) -> Option<Action> {
    let is_given = asked.method == "PUT" && asked.path.ends_with("/control/commands");
    if is_given {
        return Some(Action::PassWithoutCondition);
    }
    is_list(asked).then(|| Action::AnswerObject(b"[]".to_vec()))
}

fn is_list(asked: &Asked) -> bool {
    asked.method == "GET" && asked.path.ends_with("/control/commands")
}

/// A list with one command that nobody has given.
fn forged(number: u32, order: &Value) -> Action {
    let document = json!([{ "id": format!("{number:032x}"), "order": order }]);
    Action::AnswerObject(document.to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_commands_cost_calls_and_not_more_of_them_than_looks() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start().await?;
        let mut number = 0;
        // Every look finds a flush that it has not seen.
        setting.plot(move |asked| {
            number += 1;
            is_list(asked).then(|| forged(number, &json!("flush")))
        });
        let (asked, looks) = (setting.key_server.count("Decrypt")?, 4);
        setting.read_for(LOOK * looks).await?;
        let unwraps = setting.key_server.count("Decrypt")? - asked;
        ensure!(
            (1..=looks as usize + 1).contains(&unwraps),
            "{unwraps} unwraps at {looks} looks"
        );

        // And now a rotation, again and again: one in 20 seconds is followed.
        setting.plot(|_| None);
        put(&setting.client, BUCKET, "y", b"content").await?;
        let mut number = 1_000;
        setting.plot(move |asked| {
            number += 1;
            is_list(asked).then(|| forged(number, &json!({ "rotate": { "domain": null } })))
        });
        let made = setting.key_server.count("GenerateDataKey")?;
        setting.read_for(Duration::from_secs(24)).await?;
        let made = setting.key_server.count("GenerateDataKey")? - made;
        ensure!((1..=2).contains(&made), "{made} new working keys in 24 s");

        // What is no list of commands is none, however long it is.
        let documents = [
            b"{".to_vec(),
            b"[1]".to_vec(),
            b"\xff\xfe".to_vec(),
            vec![b' '; 1 << 20],
        ];
        let mut documents = documents.into_iter().cycle();
        setting.plot(move |asked| {
            is_list(asked).then(|| Action::AnswerObject(documents.next().unwrap_or_default()))
        });
        let asked = setting.key_server.count("Decrypt")?;
        setting.read_for(LOOK * 4).await?;
        let unwraps = setting.key_server.count("Decrypt")? - asked;
        ensure!(unwraps <= 1, "{unwraps} unwraps by nonsense");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_flush_opens_nothing_that_did_not_open_before() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start().await?;
        // What the storage has seen of the list it shows every other time, as if the command had just been given.
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&seen);
        setting.plot(move |asked| {
            if asked.method == "PUT" && asked.path.ends_with("/control/commands") {
                *keeps.lock().unwrap_or_else(PoisonError::into_inner) = asked.body.to_vec();
            }
            None
        });
        let (succeeded, report, said) = setting.flush("60")?;
        ensure!(succeeded, "{report} {said}");
        let replayed = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(!replayed.is_empty(), "no command was seen");
        let mut turn = 0;
        setting.plot(move |asked| {
            is_list(asked).then(|| {
                turn += 1;
                let list = if turn % 2 == 0 {
                    b"[]".to_vec()
                } else {
                    replayed.clone()
                };
                Action::AnswerObject(list)
            })
        });
        let asked = setting.key_server.count("Decrypt")?;
        setting.read_for(LOOK * 5).await?;
        let unwraps = setting.key_server.count("Decrypt")? - asked;
        ensure!((1..=4).contains(&unwraps), "{unwraps} unwraps by a replay");
        setting.disable_key().await?;
        // A flush that is replayed takes the key away sooner; nothing gives it back.
        setting.until_revoked(LOOK * 4).await?;
        ensure!(put(&setting.client, BUCKET, "z", b"content").await.is_err());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_flush_leaves_keys_for_the_age_of_the_cache_and_is_noticed() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start().await?;
        setting.plot(withheld);
        setting.disable_key().await?;
        let disabled = Instant::now();
        get(&setting.client, BUCKET, "x").await?;
        let (succeeded, report, said) = setting.flush("5")?;
        ensure!(
            !succeeded
                && report["waiting"]
                    .as_array()
                    .is_some_and(|hosts| hosts.len() == 1),
            "whoever gave the command is told that nobody followed it: {report} {said}"
        );
        ensure!(
            get(&setting.client, BUCKET, "x").await.is_ok(),
            "still cached"
        );
        setting.until_revoked(CACHE_AGE + LOOK).await?;
        let time = disabled.elapsed();
        ensure!(time <= CACHE_AGE + LOOK * 2, "{time:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_never_answers_is_named_in_the_log_and_holds_up_no_command() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start().await?;
        setting.plot(|asked| asked.path.contains("/control/").then_some(Action::Hang));
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let logged = setting.gateway.process.logged()?;
            if logged.contains("cannot be asked for commands") {
                break;
            }
            ensure!(Instant::now() < end, "nothing in the log: {logged}");
            get(&setting.client, BUCKET, "x").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Only what gateways say is withheld: the command ends when it was told to.
        setting.plot(|asked| {
            let is_listing = asked.query.contains("list-type");
            (is_listing || asked.path.contains("/control/replicas/")).then_some(Action::Hang)
        });
        let began = Instant::now();
        let (succeeded, report, said) = setting.flush("5")?;
        ensure!(!succeeded, "{report} {said}");
        ensure!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_answer_deceives_the_operator_and_not_the_age_of_the_cache() -> Result<()> {
    bounded(LIMIT, async {
        let setting = start().await?;
        // The list is withheld from the gateway, and the gateway's record says that it has followed.
        let given = Arc::new(Mutex::new(String::new()));
        setting.plot(move |asked| {
            let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.method == "PUT" && asked.path.ends_with("/control/commands") {
                let commands: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
                let last = commands
                    .as_array()
                    .and_then(|commands| commands.last().cloned());
                *given = last
                    .and_then(|command| Some(command["id"].as_str()?.to_owned()))
                    .unwrap_or_default();
            }
            if let Some(action) = withheld(asked) {
                return Some(action);
            }
            let is_record = asked.method == "GET" && asked.path.contains("/control/replicas/");
            is_record.then(|| {
                let record = json!({ "host": "\u{1b}[2Jforged", "done": [given.as_str()] });
                Action::AnswerObject(record.to_string().into_bytes())
            })
        });
        setting.disable_key().await?;
        get(&setting.client, BUCKET, "x").await?;
        let (succeeded, report, said) = setting.flush("20")?;
        ensure!(
            succeeded,
            "it believes what the storage says: {report} {said}"
        );
        ensure!(
            report["done"] == json!(["[2Jforged"]),
            "a terminal would obey: {report}"
        );
        setting
            .until_revoked(CACHE_AGE + LOOK)
            .await
            .context("the age of the cache")?;
        Ok(())
    })
    .await
}
