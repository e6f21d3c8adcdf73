//! PKCS#11: the shared behaviour, with the module of SoftHSM.
//!
//! A module reads its settings from the environment of the process that loads it, so the tests of this file run in a
//! process of their own: this program again, with the one test that is ignored otherwise.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use sealgate_envelope::KeyServiceFailure;
use sealgate_envelope::key_service::pkcs11::{Pkcs11Configuration, Pkcs11Token};
use sealgate_envelope::key_service::{KeyAvailability, KeyService};
use sealgate_tests::environment;
use sealgate_tests::process::run_successfully;
use sealgate_tests::rig::bounded;

use super::behaviour::{self, Administrator, Key, Outcome, Situation, context, expect};

const TOKEN: &str = "rig of sealgate";
const PIN: &str = "1234-of-the-rig";

/// How long a program may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Makes a SoftHSM with one token in a directory; the file that SOFTHSM2_CONF has to name.
fn make_token(directory: &Path) -> Result<PathBuf> {
    let tokens = directory.join("tokens");
    std::fs::create_dir(&tokens)?;
    let settings = directory.join("softhsm2.conf");
    std::fs::write(
        &settings,
        format!("directories.tokendir = {}\n", tokens.display()),
    )?;
    let mut command = Command::new("softhsm2-util");
    command
        .args([
            "--init-token",
            "--free",
            "--label",
            TOKEN,
            "--pin",
            PIN,
            "--so-pin",
            "so-pin",
        ])
        .env("SOFTHSM2_CONF", &settings);
    run_successfully(&mut command, LIMIT)
        .context("softhsm2-util; install it (Debian, Ubuntu: apt-get install softhsm2)")?;
    Ok(settings)
}

fn again(test: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("SOFTHSM2_CONF", make_token(directory.path())?);
    let told = run_successfully(&mut command, LIMIT)?;
    ensure!(told.contains("1 passed"), "{told}");
    Ok(())
}

#[test]
fn a_pkcs11_token_behaves_as_a_key_service() -> Result<()> {
    again("pkcs11::inner_behaviour")
}

/// A token with a key, and its PIN in a file: what SOFTHSM2_CONF has to name, and the table of a configuration in the same
/// directory.
pub(crate) fn token_with_a_key(directory: &Path) -> Result<(PathBuf, String)> {
    let softhsm = make_token(directory)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "pkcs11::inner_key", "--ignored"])
        .env("SOFTHSM2_CONF", &softhsm);
    run_successfully(&mut command, LIMIT)?;
    std::fs::write(directory.join("pin"), PIN)?;
    let key_service = format!(
        "[[key_service]]\ntype = \"pkcs11\"\nmodule = \"{}\"\ntoken = \"{TOKEN}\"\nkey = \"sealgate\"\n\
         pin = \"file:pin\"",
        environment::softhsm()?.display()
    );
    Ok((softhsm, key_service))
}

/// From the configuration, with the PIN in a file: `sealgate seal` and `open`.
#[test]
fn a_configuration_with_a_token_seals_and_opens() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (softhsm, key_service) = token_with_a_key(directory.path())?;
    let configuration = directory.path().join("sealgate.toml");
    std::fs::write(
        &configuration,
        format!(
            r#"
deployment = "d"
[listener]
address = "127.0.0.1:0"
[upstream]
endpoint = "http://127.0.0.1:1"
region = "us-east-1"
credentials = {{ access_key_id = "none", secret_access_key = "env:UPSTREAM" }}
{key_service}
[[identity]]
name = "app"
[[identity.credential]]
access_key_id = "app"
secret_access_key = "env:UPSTREAM"
"#
        ),
    )?;
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "what a token keeps the key of")?;
    let (sealed, opened) = (
        directory.path().join("sealed"),
        directory.path().join("opened"),
    );
    for (command, from, to) in [("seal", &plain, &sealed), ("open", &sealed, &opened)] {
        let mut sealgate = Command::new(environment::own_program("sealgate")?);
        sealgate
            .args([command, "--config"])
            .args([&configuration, from, to])
            .env("SOFTHSM2_CONF", &softhsm)
            .env("UPSTREAM", "a-secret-of-nobody");
        run_successfully(&mut sealgate, LIMIT)?;
    }
    ensure!(std::fs::read(&opened)? == std::fs::read(&plain)?);
    Ok(())
}

/// The token, as who may do anything to it: another user of the module in this process.
struct SoftHsm {
    module: PathBuf,
    session: Session,
    made: usize,
}

impl SoftHsm {
    fn open() -> Result<Self> {
        let module = environment::softhsm()?;
        let client = Pkcs11::new(&module)?;
        client.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let slot = *client
            .get_slots_with_initialized_token()?
            .first()
            .context("no token")?;
        let session = client.open_rw_session(slot)?;
        session.login(UserType::User, Some(&AuthPin::from(PIN)))?;
        Ok(Self {
            module,
            session,
            made: 0,
        })
    }

    fn make_key(&self, label: &str, length: u64) -> Result<()> {
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(length.into()),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        self.session
            .generate_key(&Mechanism::AesKeyGen, &template)?;
        Ok(())
    }

    fn find(&self, label: &str) -> Result<ObjectHandle> {
        let found = self
            .session
            .find_objects(&[Attribute::Label(label.into())])?;
        found.first().copied().context("no such key")
    }

    fn permit(&self, label: &str, allowed: bool) -> Result<()> {
        let attributes = [Attribute::Encrypt(allowed), Attribute::Decrypt(allowed)];
        Ok(self
            .session
            .update_attributes(self.find(label)?, &attributes)?)
    }

    fn service(&self, token: &str, key: &str, pin: &str) -> Result<Pkcs11Token> {
        let pin = pin.to_owned().into();
        Ok(Pkcs11Token::new(Pkcs11Configuration::new(
            &self.module,
            token,
            key,
            pin,
        ))?)
    }
}

#[async_trait]
impl Administrator for SoftHsm {
    async fn new_key(&mut self) -> Result<Key> {
        self.made += 1;
        let name = format!("key {}", self.made);
        self.make_key(&name, 32)?;
        let service = Arc::new(self.service(TOKEN, &name, PIN)?);
        Ok(Key { name, service })
    }

    async fn bring_about(&mut self, situation: Situation, key: &Key) -> Result<Outcome> {
        match situation {
            Situation::Disabled => self.permit(&key.name, false)?,
            Situation::Deleted => self.session.destroy_object(self.find(&key.name)?)?,
            Situation::Throttled | Situation::Slow | Situation::Malformed => {
                return Ok(Outcome::CannotApply(
                    "SoftHSM is a library in this process: it has no limits, no line to stand in, and nobody between",
                ));
            }
            Situation::Unreachable => {
                return Ok(Outcome::CannotApply(
                    "SoftHSM's tokens can't be pulled out; a token that is not there is tested apart",
                ));
            }
            Situation::Rotated => {
                return Ok(Outcome::CannotApply(
                    "keys in tokens have no versions; another key is another label",
                ));
            }
        }
        Ok(Outcome::Arranged)
    }

    async fn undo(&mut self, _: Situation, key: &Key) -> Result<()> {
        self.permit(&key.name, true)
    }
}

#[tokio::test]
#[ignore = "runs in a process of its own, started by another test"]
async fn inner_key() -> Result<()> {
    SoftHsm::open()?.make_key("sealgate", 32)
}

#[tokio::test]
#[ignore = "runs in a process of its own, started by another test"]
async fn inner_behaviour() -> Result<()> {
    let mut token = SoftHsm::open()?;
    let impossible = [
        Situation::Throttled,
        Situation::Slow,
        Situation::Unreachable,
        Situation::Malformed,
        Situation::Rotated,
    ];
    bounded(LIMIT, behaviour::check(&mut token, &impossible)).await?;

    let context = context("d", 1);
    token.make_key("twice", 32)?;
    token.make_key("twice", 32)?;
    token.make_key("small", 16)?;
    for (label, failure) in [
        ("twice", KeyServiceFailure::Misconfigured),
        ("missing", KeyServiceFailure::NotFound),
    ] {
        let service = token.service(TOKEN, label, PIN)?;
        expect(&service.generate(&context).await, failure).context(label)?;
    }
    let small = token.service(TOKEN, "small", PIN)?;
    expect(&small.describe().await, KeyServiceFailure::Misconfigured)?;
    expect(
        &small.generate(&context).await,
        KeyServiceFailure::Misconfigured,
    )?;

    let key = token.new_key().await?;
    let described = key.service.describe().await?;
    ensure!(described.availability == KeyAvailability::Enabled);
    token.permit(&key.name, false)?;
    let described = key.service.describe().await?;
    ensure!(described.availability == KeyAvailability::Disabled);

    let away = token.service("another token", &key.name, PIN)?;
    expect(
        &away.generate(&context).await,
        KeyServiceFailure::Unavailable,
    )?;
    let nowhere = Pkcs11Configuration::new("/nonexistent.so", TOKEN, "k", PIN.to_owned().into());
    let nowhere = Pkcs11Token::new(nowhere)?;
    expect(
        &nowhere.generate(&context).await,
        KeyServiceFailure::Misconfigured,
    )?;

    // A wrong PIN is refused once by the token, and then by us. Nobody may be logged in for that.
    token.session.logout()?;
    let wrong = token.service(TOKEN, &key.name, "wrong")?;
    for _ in 0..20 {
        expect(&wrong.generate(&context).await, KeyServiceFailure::Denied)?;
    }
    token
        .session
        .login(UserType::User, Some(&AuthPin::from(PIN)))?;
    Ok(())
}
