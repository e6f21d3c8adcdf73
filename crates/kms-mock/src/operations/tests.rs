//! What no client can wait for: the end of a deletion's waiting period.

use serde_json::{Value, json};
use time::Duration;

use super::*;

struct Server {
    store: Store,
    now: OffsetDateTime,
}

impl Server {
    fn new() -> Self {
        let realm = Realm {
            region: "us-east-1".to_owned(),
            account: "111122223333".to_owned(),
        };
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        Self {
            store: Store::in_memory(realm).unwrap(),
            now,
        }
    }

    fn call(&self, operation: Operation, request: &Value) -> Result<Value, ErrorCode> {
        self.store.erase_deleted(self.now).unwrap();
        let mut record = Record::new("127.0.0.1:1".parse().unwrap());
        let mut call = Call {
            store: &self.store,
            now: self.now,
            record: &mut record,
        };
        let body = run(operation, &mut call, request.to_string().as_bytes())
            .map_err(|error| error.code())?;
        Ok(if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        })
    }
}

#[test]
fn a_deleted_key_is_gone_with_its_aliases() {
    let mut server = Server::new();
    let key =
        server.call(Operation::CreateKey, &json!({})).unwrap()["KeyMetadata"]["KeyId"].clone();
    let name = json!({"KeyId": key});
    server
        .call(
            Operation::CreateAlias,
            &json!({"AliasName": "alias/a", "TargetKeyId": key}),
        )
        .unwrap();
    let sealed = server
        .call(
            Operation::Encrypt,
            &json!({"KeyId": "alias/a", "Plaintext": "eA=="}),
        )
        .unwrap();
    let open = json!({"CiphertextBlob": sealed["CiphertextBlob"]});
    let scheduled = server.call(Operation::ScheduleKeyDeletion, &name).unwrap();
    assert_eq!(scheduled["PendingWindowInDays"], 30);
    assert_eq!(scheduled["DeletionDate"], 1_790_000_000.0 + 30.0 * 86400.0);

    server.now += Duration::days(30) - Duration::SECOND;
    assert_eq!(
        server.call(Operation::Decrypt, &open),
        Err(ErrorCode::KmsInvalidState)
    );
    server.now += Duration::SECOND;
    assert_eq!(
        server.call(Operation::Decrypt, &open),
        Err(ErrorCode::AccessDenied)
    );
    for operation in [
        Operation::DescribeKey,
        Operation::CancelKeyDeletion,
        Operation::ListAliases,
    ] {
        assert_eq!(
            server.call(operation, &name),
            Err(ErrorCode::NotFound),
            "{operation}"
        );
    }
    assert_eq!(
        server.call(Operation::ListKeys, &json!({})).unwrap()["Keys"],
        json!([])
    );
    assert_eq!(
        server.call(Operation::ListAliases, &json!({})).unwrap()["Aliases"],
        json!([])
    );
}

#[test]
fn the_record_names_key_and_context_even_of_a_refusal() {
    let server = Server::new();
    let mut record = Record::new("127.0.0.1:1".parse().unwrap());
    let mut call = Call {
        store: &server.store,
        now: server.now,
        record: &mut record,
    };
    let request =
        json!({"KeyId": "alias/none", "Plaintext": "eA==", "EncryptionContext": {"a": "b"}})
            .to_string();
    assert_eq!(
        run(Operation::Encrypt, &mut call, request.as_bytes())
            .unwrap_err()
            .code(),
        ErrorCode::NotFound
    );
    assert_eq!(record.key_id.as_deref(), Some("alias/none"));
    assert_eq!(record.encryption_context.unwrap()["a"], "b");
}

#[test]
fn errors_about_the_body_do_not_repeat_it() {
    let server = Server::new();
    let mut record = Record::new("127.0.0.1:1".parse().unwrap());
    let mut call = Call {
        store: &server.store,
        now: server.now,
        record: &mut record,
    };
    let error = run(Operation::Encrypt, &mut call, br#"{"Plaintext": ["hush"]}"#).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Serialization);
    assert!(!error.to_string().contains("hush"), "{error}");
}
