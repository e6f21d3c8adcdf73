use sealgate_envelope::key_service::{
    KeyDescription, RewrapSource, UnwrapPermit, key_service_error, local::LocalKeyService,
};
use sealgate_envelope::{KeyReference, Result, WorkingKey};

use KeyServiceFailure::{
    Denied, KeyUnusable, NotFound, Refused, Throttled, Unavailable, WrapWithdrawn,
};

use super::*;

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own policy and audit"
)]
fn permit(what: &str) -> UnwrapPermit {
    UnwrapPermit::issue(what)
}

/// A key service of which every opening fails in this way.
#[derive(Debug)]
struct Failing(Provider, KeyServiceFailure);

fn failing(provider: Provider, failure: KeyServiceFailure) -> Arc<dyn KeyService> {
    Arc::new(Failing(provider, failure))
}

const REFERENCE: [u8; 8] = [7; 8];

#[async_trait::async_trait]
impl KeyService for Failing {
    fn provider(&self) -> Provider {
        self.0
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(KeyReference::from_bytes(REFERENCE))
    }

    async fn generate(&self, _: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        Err(key_service_error(self.1, "x"))
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> Result<Wrap> {
        Err(key_service_error(self.1, "x"))
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        _: &Wrap,
    ) -> Result<WorkingKey> {
        Err(key_service_error(self.1, "x"))
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(key_service_error(self.1, "x"))
    }

    async fn describe(&self) -> Result<KeyDescription> {
        Err(key_service_error(self.1, "x"))
    }
}

fn id(number: u8) -> WorkingKeyId {
    WorkingKeyId::from_bytes([number; 16])
}

fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

fn trial(services: &[Arc<dyn KeyService>], going: &[usize]) -> Trial {
    Trial::new(services, &["alice".to_owned()], going, permit)
}

/// Two key files, and a wrap by the first for alice's working key 1.
async fn keys() -> (tempfile::TempDir, Vec<Arc<dyn KeyService>>, Wrap) {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| LocalKeyService::create(directory.path().join(name)).unwrap();
    let first = open("a");
    let context = EncryptionContext::new(domain("alice"), id(1));
    let (_, wrap) = first.generate(&context).await.unwrap();
    let services: Vec<Arc<dyn KeyService>> = vec![Arc::new(first), Arc::new(open("b"))];
    (directory, services, wrap)
}

#[tokio::test]
async fn a_wrap_that_its_key_refuses_in_every_domain_of_the_place_is_not_its() {
    let (_directory, services, wrap) = keys().await;
    let trial = trial(&services, &[0]);
    let name = KeyName::of(&wrap);
    let of = async |number, domains: &[&str]| {
        let domains: Vec<_> = domains.iter().map(|name| domain(name)).collect();
        let wraps = std::slice::from_ref(&wrap);
        let named = trial.of_wraps(false, id(number), wraps, &domains).await;
        named.unwrap()
    };
    // Forged: copied from alice's objects to the place of somebody else, or under another working key.
    for (number, domains) in [(1, &["bob"][..]), (2, &["bob", "alice"]), (1, &[])] {
        let named = of(number, domains).await;
        assert_eq!(named.keys, [], "{number} {domains:?}");
        assert_eq!(named.disowned, std::slice::from_ref(&name));
    }
    // Genuine, be it only by a former name.
    let named = of(1, &["bob", "alice"]).await;
    assert_eq!((named.keys, named.disowned), (vec![name], Vec::new()));
}

#[tokio::test]
async fn while_a_key_that_goes_cannot_be_asked_nobody_can_tell() {
    let wrap = Wrap::new(
        Provider::VaultTransit,
        KeyReference::from_bytes(REFERENCE),
        vec![1],
    )
    .unwrap();
    let wraps = std::slice::from_ref(&wrap);
    for failure in [Unavailable, Throttled, Denied, KeyUnusable, WrapWithdrawn] {
        let services = [failing(Provider::VaultTransit, failure)];
        let going = trial(&services, &[0]);
        let told = going.of_wraps(false, id(1), wraps, &[domain("bob")]).await;
        assert!(told.is_err(), "{failure:?}");
        // Of a key that stays it is taken at its word, and not asked about what is outside.
        let staying = trial(&services, &[]);
        let alice = [domain("alice")];
        let named = staying.of_wraps(true, id(1), wraps, &alice).await.unwrap();
        assert_eq!(named.keys.len(), 1, "{failure:?}");
    }
    let services = [failing(Provider::VaultTransit, Refused)];
    let staying = trial(&services, &[]);
    let (alice, bob) = ([domain("alice")], [domain("bob")]);
    let named = staying.of_wraps(true, id(1), wraps, &alice).await.unwrap();
    assert_eq!(named.disowned.len(), 1, "also a key that stays");
    let named = staying.of_wraps(false, id(1), wraps, &bob).await.unwrap();
    assert_eq!(named.keys.len(), 1, "nobody asks about it");
}

#[tokio::test]
async fn a_key_that_goes_has_to_tell_its_name_and_no_other() {
    let (_directory, services, wrap) = keys().await;
    let nameless: Arc<dyn KeyService> = Arc::new(Nameless);
    let services = [nameless, Arc::clone(&services[0])];
    let (wraps, alice) = (std::slice::from_ref(&wrap), [domain("alice")]);
    // An earlier key of the same order, whose alias went with it.
    let staying = trial(&services, &[1]);
    let named = staying.of_wraps(true, id(1), wraps, &alice).await;
    assert_eq!(named.unwrap().keys, [KeyName::of(&wrap)]);
    let going = trial(&services, &[0, 1]);
    assert!(going.of_wraps(false, id(1), wraps, &alice).await.is_err());
}

/// A key service that does not tell its key.
#[derive(Debug)]
struct Nameless;

#[async_trait::async_trait]
impl KeyService for Nameless {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Err(key_service_error(NotFound, "x"))
    }

    async fn generate(&self, _: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        Err(key_service_error(NotFound, "x"))
    }

    async fn wrap(&self, _: &EncryptionContext, _: &WorkingKey) -> Result<Wrap> {
        Err(key_service_error(NotFound, "x"))
    }

    async fn unwrap(
        &self,
        _: &UnwrapPermit,
        _: &EncryptionContext,
        _: &Wrap,
    ) -> Result<WorkingKey> {
        Err(key_service_error(NotFound, "x"))
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(key_service_error(NotFound, "x"))
    }

    async fn describe(&self) -> Result<KeyDescription> {
        Err(key_service_error(NotFound, "x"))
    }
}

#[tokio::test]
async fn a_ciphertext_that_aws_does_not_let_us_open_is_disowned_inside_and_nobodys_to_tell_outside()
{
    let wrap = Wrap::new(
        Provider::AwsKms,
        KeyReference::from_bytes(REFERENCE),
        vec![1],
    )
    .unwrap();
    let services = [failing(Provider::AwsKms, WrapWithdrawn)];
    let (trial, wraps) = (trial(&services, &[0]), std::slice::from_ref(&wrap));
    let alice = [domain("alice")];
    let named = trial.of_wraps(true, id(1), wraps, &alice).await.unwrap();
    assert_eq!(named.disowned.len(), 1);
    // A policy that lets us use the key for alice alone says the same of a genuine wrap of somebody else.
    let told = trial.of_wraps(false, id(2), wraps, &[domain("bob")]).await;
    assert!(told.is_err());
}

/// A key that has the name of another one, as with Vault and tokens, whose references name no server.
#[derive(Debug)]
struct Namesake(LocalKeyService);

#[async_trait::async_trait]
impl KeyService for Namesake {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn key_reference(&self) -> Result<KeyReference> {
        Ok(KeyReference::from_bytes(REFERENCE))
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(WorkingKey, Wrap)> {
        let (key, wrap) = self.0.generate(context).await?;
        let name = KeyReference::from_bytes(REFERENCE);
        Ok((key, Wrap::new(Provider::Local, name, wrap.blob().to_vec())?))
    }

    async fn wrap(&self, context: &EncryptionContext, key: &WorkingKey) -> Result<Wrap> {
        self.0.wrap(context, key).await
    }

    async fn unwrap(
        &self,
        permit: &UnwrapPermit,
        context: &EncryptionContext,
        wrap: &Wrap,
    ) -> Result<WorkingKey> {
        let own = self.0.key_reference().await?;
        let wrap = Wrap::new(Provider::Local, own, wrap.blob().to_vec())?;
        self.0.unwrap(permit, context, &wrap).await
    }

    async fn rewrap(&self, _: &EncryptionContext, _: &Wrap, _: RewrapSource<'_>) -> Result<Wrap> {
        Err(key_service_error(Refused, "x"))
    }

    async fn describe(&self) -> Result<KeyDescription> {
        self.0.describe().await
    }
}

#[tokio::test]
async fn of_two_keys_of_one_name_each_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str| Namesake(LocalKeyService::create(directory.path().join(name)).unwrap());
    let (new, old) = (key("new"), key("old"));
    let context = EncryptionContext::new(domain("bob"), id(1));
    let (_, wrap) = old.generate(&context).await.unwrap();
    let orders: [[Arc<dyn KeyService>; 2]; 2] = [
        [Arc::new(new), Arc::new(old)],
        [Arc::new(key("third")), Arc::new(key("fourth"))],
    ];
    let [services, strangers] = orders;
    let reversed = [Arc::clone(&services[1]), Arc::clone(&services[0])];
    let wraps = std::slice::from_ref(&wrap);
    for services in [services, reversed] {
        let trial = trial(&services, &[0, 1]);
        // Twice: also what is remembered is remembered of each.
        for _ in 0..2 {
            let named = trial.of_wraps(false, id(1), wraps, &[domain("bob")]).await;
            assert_eq!(named.unwrap().keys.len(), 1, "bob would lose it");
        }
    }
    let trial = trial(&strangers, &[0, 1]);
    let named = trial.of_wraps(false, id(1), wraps, &[domain("bob")]).await;
    assert_eq!(named.unwrap().disowned.len(), 1);
}
