//! Whatever a key service answers, a client takes nothing from it but what an answer of success says about the right key; everything else
//! becomes an error of bounded length that repeats no key and no token.
#![no_main]

use std::error::Error as _;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::fuzz_target;
use sealgate_envelope::key_service::aws::AwsKms;
use sealgate_envelope::key_service::vault::{VaultLogin, VaultTransit};
use sealgate_envelope::key_service::{
    EncryptionContext, KeyAvailability, KeyDescription, KeyService, MAXIMUM_DETAIL_LENGTH,
    RewrapSource, UnwrapPermit, failure_of, revokes,
};
use sealgate_envelope::wrap::MAXIMUM_BLOB_LENGTH;
use sealgate_envelope::{Error, KeyReference, Provider, Result, WorkingKey, Wrap};
use sealgate_fuzz::key_server::{ALIAS, ARN, Answer, Exchange, KeyServer, VAULT_KEY, runtime};
use sealgate_fuzz::{domain, working_key};
use serde_json::Value;
use tokio::runtime::Runtime;

/// What lasts from one input to the next: making clients takes longer than asking.
struct World {
    server: KeyServer,
    runtime: Runtime,
    aws: AwsKms,
    vault: VaultTransit,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let server = KeyServer::new();
        let runtime = runtime();
        let vault = server.vault(token());
        // Logged in, and its key known to be derived.
        server.script(None, None);
        let (aws, ready) = runtime.block_on(async {
            server.serve();
            (server.aws(ARN).await, ask(&vault, 0).await)
        });
        ready.expect("a server in good order");
        World {
            server,
            runtime,
            aws,
            vault,
        }
    })
}

fn token() -> VaultLogin {
    VaultLogin::Token("token".to_owned().into())
}

fn role() -> VaultLogin {
    VaultLogin::AppRole {
        mount: "approle".to_owned(),
        role_id: "role".to_owned(),
        secret_id: "secret".to_owned().into(),
    }
}

/// What a client made of the answers to a call.
enum Made {
    Keys(Option<WorkingKey>, Option<Wrap>),
    Description(KeyDescription),
    Deletion,
}

/// The operation whose answer decides a call.
fn operation(provider: Provider, call: u8) -> &'static str {
    let operations = match provider {
        Provider::AwsKms => [
            "GenerateDataKey",
            "Encrypt",
            "Decrypt",
            "ReEncrypt",
            "DescribeKey",
        ],
        _ => [
            "transit/datakey/plaintext/fuzz",
            "transit/encrypt/fuzz",
            "transit/decrypt/fuzz",
            "transit/rewrap/fuzz",
            "transit/keys/fuzz",
        ],
    };
    operations[usize::from(call).min(operations.len() - 1)]
}

fn reference(provider: Provider, key: &str) -> KeyReference {
    KeyReference::of(provider, key).expect("a short name")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a fuzz target is its own policy and audit"
)]
async fn ask(service: &dyn KeyService, call: u8) -> Result<Made> {
    let (id, key) = working_key();
    let context = EncryptionContext::new(domain(), id);
    let provider = service.provider();
    let name = match provider {
        Provider::AwsKms => ARN,
        _ => VAULT_KEY,
    };
    let wrap = Wrap::new(provider, reference(provider, name), b"vault:v1:AAAA".into())?;
    let permit = UnwrapPermit::issue("fuzzing");
    Ok(match call {
        0 => {
            let (key, wrap) = service.generate(&context).await?;
            Made::Keys(Some(key), Some(wrap))
        }
        1 => Made::Keys(None, Some(service.wrap(&context, &key).await?)),
        2 => Made::Keys(Some(service.unwrap(&permit, &context, &wrap).await?), None),
        3 => {
            let rewrapped = service.rewrap(&context, &wrap, RewrapSource::SameKey);
            Made::Keys(None, Some(rewrapped.await?))
        }
        4 => Made::Description(service.describe().await?),
        _ => {
            service.schedule_deletion(7).await?;
            Made::Deletion
        }
    })
}

fn json(exchange: &Exchange) -> Value {
    serde_json::from_slice(&exchange.answer.body).unwrap_or_default()
}

fn last<'a>(exchanges: &'a [Exchange], operation: &str) -> Option<&'a Exchange> {
    let mut exchanges = exchanges.iter().rev();
    exchanges.find(|exchange| exchange.operation == operation)
}

/// The key that a client of AWS KMS goes by: the configured one, or that which the first answers gave for its alias.
fn pinned_key(exchanges: &[Exchange], has_arn: bool) -> String {
    if has_arn {
        return ARN.to_owned();
    }
    let named = match exchanges {
        [described, ..] if described.answer.is_success() => {
            json(described)["KeyMetadata"]["Arn"].clone()
        }
        [denied, generated, ..] => {
            assert_eq!(generated.operation, "GenerateDataKey");
            assert!(denied.answer.status != 200 && generated.answer.is_success());
            json(generated)["KeyId"].clone()
        }
        _ => Value::Null,
    };
    named.as_str().expect("an ARN in an answer").to_owned()
}

/// Whether the answers to a client of Vault that knew nothing say that its key is derived, so that contexts bind.
fn is_bound(exchanges: &[Exchange]) -> bool {
    exchanges.iter().enumerate().any(|(index, exchange)| {
        let data = &json(exchange)["data"];
        let read = exchange.operation == "transit/keys/fuzz"
            && exchange.answer.is_success()
            && data["derived"] == true
            && data["supports_encryption"] == true;
        // What was just wrapped did not open under another context.
        let tried = exchange.operation == "transit/decrypt/fuzz" && exchange.answer.status == 400;
        read || tried
            && exchanges[..index].last().is_some_and(|made| {
                made.answer.is_success()
                    && json(made)["data"]["ciphertext"]
                        .as_str()
                        .is_some_and(|text| text.starts_with("vault:v"))
            })
    })
}

/// What stands in the answers for what was made of them.
fn check(made: &Made, provider: Provider, call: u8, key: &str, exchanges: &[Exchange]) {
    let deciding = last(exchanges, operation(provider, call)).expect("an answer");
    let document = json(deciding);
    let is_aws = provider == Provider::AwsKms;
    match made {
        Made::Keys(working_key, wrap) => {
            assert!(deciding.answer.is_success(), "{deciding:?}");
            let data = if is_aws { &document } else { &document["data"] };
            let field = |aws, vault| data[if is_aws { aws } else { vault }].as_str();
            if is_aws {
                assert_eq!(data["KeyId"], key);
            }
            if let Some(working_key) = working_key {
                let text = field("Plaintext", "plaintext").expect("a plaintext");
                let bytes = BASE64_STANDARD.decode(text).expect("base64");
                assert_eq!(bytes, working_key.expose());
            }
            if let Some(wrap) = wrap {
                let text = field("CiphertextBlob", "ciphertext").expect("a ciphertext");
                let blob = if is_aws {
                    BASE64_STANDARD.decode(text).expect("base64")
                } else {
                    text.as_bytes().to_vec()
                };
                assert_eq!(wrap.blob(), blob);
                assert!((1..=MAXIMUM_BLOB_LENGTH).contains(&blob.len()));
                assert_eq!(wrap.provider(), provider);
                assert_eq!(wrap.key_reference(), reference(provider, key));
            }
        }
        Made::Description(description) => {
            assert_eq!(description.key_name, key);
            if is_aws {
                assert!(deciding.answer.is_success());
                let metadata = &document["KeyMetadata"];
                assert_eq!(metadata["Arn"], key);
                assert_eq!(
                    description.availability == KeyAvailability::Enabled,
                    metadata["KeyState"] == "Enabled"
                );
            }
        }
        Made::Deletion => assert!(exchanges.iter().all(|exchange| exchange.answer.is_success()
            || exchange.operation.starts_with("auth/")
            || !is_aws)),
    }
}

/// The keys and tokens of an answer that stand in it once, and that no text of ours could be taken for.
fn secrets(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let mut secrets = Vec::new();
    for name in ["\"Plaintext\"", "\"plaintext\"", "\"client_token\""] {
        for (_, rest) in text.match_indices(name).map(|(at, _)| text.split_at(at)) {
            let value = rest[name.len()..].trim_start().strip_prefix(':');
            let value = value.and_then(|value| value.trim_start().strip_prefix('"'));
            let value = value.and_then(|value| value.split('"').next());
            let is_base64 =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            secrets.extend(value.filter(|value| {
                value.len() >= 16
                    && value.bytes().all(is_base64)
                    && !"ScheduleKeyDeletion".contains(value)
                    && text.matches(value).count() == 1
            }));
        }
    }
    secrets.into_iter().map(str::to_owned).collect()
}

fn check_error(error: &Error, exchanges: &[Exchange]) {
    assert!(failure_of(error).is_some(), "{error:?}");
    assert!(error.detail().len() <= MAXIMUM_DETAIL_LENGTH);
    let all_succeeded = exchanges
        .iter()
        .all(|exchange| exchange.answer.is_success());
    assert!(!(all_succeeded && revokes(error)), "{error:?}");
    let mut texts = format!("{error} {error:?} {}", error.detail());
    let mut source = error.source();
    while let Some(cause) = source {
        texts += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    for exchange in exchanges {
        for secret in secrets(&exchange.answer.body) {
            assert!(!texts.contains(&secret), "{texts}");
        }
    }
}

fuzz_target!(|input: (u8, u8, u8, u16, &[u8])| {
    let (client, call, turn, status, body) = input;
    let (client, call, turn) = (client % 5, call % 6, usize::from(turn % 8));
    let status = 200 + status % 400;
    let has_body = !matches!(status, 204 | 304);
    let body = if has_body { body } else { b"" }.to_vec();
    let world = world();
    // No call takes so many requests: then each of them is answered so.
    let turn = (turn < 7).then_some(turn);
    world.server.script(turn, Some(Answer { status, body }));
    // A client that knows nothing yet has a runtime of its own, which ends what it leaves running.
    let fresh = runtime();
    let (provider, made) = match client {
        0 => (
            Provider::AwsKms,
            world.runtime.block_on(ask(&world.aws, call)),
        ),
        1 => (
            Provider::AwsKms,
            fresh.block_on(async {
                world.server.serve();
                ask(&world.server.aws(ALIAS).await, call).await
            }),
        ),
        2 => (
            Provider::VaultTransit,
            world.runtime.block_on(ask(&world.vault, call)),
        ),
        _ => (
            Provider::VaultTransit,
            fresh.block_on(async {
                world.server.serve();
                let login = if client == 3 { token() } else { role() };
                ask(&world.server.vault(login), call).await
            }),
        ),
    };
    let exchanges = world.server.exchanges();
    match made {
        Ok(made) => {
            let key = match provider {
                Provider::AwsKms => pinned_key(&exchanges, client == 0),
                _ => VAULT_KEY.to_owned(),
            };
            check(&made, provider, call, &key, &exchanges);
            assert!(
                client < 3 || call == 5 || is_bound(&exchanges),
                "{exchanges:?}"
            );
        }
        Err(error) => check_error(&error, &exchanges),
    }
});
