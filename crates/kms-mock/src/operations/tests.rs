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
            of_replicas: false,
        };
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        Self {
            store: Store::in_memory(realm).unwrap(),
            now,
        }
    }

    fn call(&self, operation: Operation, request: &Value) -> Result<Value, ErrorCode> {
        self.call_in("us-east-1", operation, request)
    }

    fn call_in(
        &self,
        region: &str,
        operation: Operation,
        request: &Value,
    ) -> Result<Value, ErrorCode> {
        self.store.erase_deleted(self.now).unwrap();
        let mut record = Record::new("127.0.0.1:1".parse().unwrap());
        let mut call = Call {
            store: &self.store,
            realm: self.store.realm_of(region).unwrap(),
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
        realm: server.store.realm(),
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
        realm: server.store.realm(),
        now: server.now,
        record: &mut record,
    };
    let error = run(Operation::Encrypt, &mut call, br#"{"Plaintext": ["hush"]}"#).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Serialization);
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[test]
fn a_multi_region_key_is_where_it_was_replicated_to_and_a_blob_of_either_opens_in_both() {
    let mut server = Server::new();
    server
        .store
        .answer_for(vec!["eu-west-1".to_owned(), "eu-west-3".to_owned()]);
    let created = server
        .call(Operation::CreateKey, &json!({"MultiRegion": true}))
        .unwrap();
    let key = &created["KeyMetadata"];
    let id = key["KeyId"].as_str().unwrap();
    assert!(id.starts_with("mrk-") && id.len() == 36, "{id}");
    assert_eq!(
        key["MultiRegionConfiguration"]["MultiRegionKeyType"],
        "PRIMARY"
    );
    let describe = |region| server.call_in(region, Operation::DescribeKey, &json!({"KeyId": id}));
    assert_eq!(describe("eu-west-1"), Err(ErrorCode::NotFound));

    let replicate = json!({"KeyId": id, "ReplicaRegion": "eu-west-1"});
    let replica = server.call(Operation::ReplicateKey, &replicate).unwrap();
    let arn = replica["ReplicaKeyMetadata"]["Arn"].as_str().unwrap();
    assert_eq!(
        arn,
        key["Arn"]
            .as_str()
            .unwrap()
            .replace("us-east-1", "eu-west-1")
    );
    assert_eq!(
        server.call(Operation::ReplicateKey, &replicate),
        Err(ErrorCode::AlreadyExists)
    );
    let described = describe("eu-west-1").unwrap()["KeyMetadata"].clone();
    assert_eq!(
        described["MultiRegionConfiguration"]["MultiRegionKeyType"],
        "REPLICA"
    );
    assert_eq!(
        described["MultiRegionConfiguration"]["PrimaryKey"]["Arn"],
        key["Arn"]
    );
    assert_eq!(describe("eu-west-3"), Err(ErrorCode::NotFound));

    let seal = json!({"KeyId": id, "Plaintext": "eA==", "EncryptionContext": {"a": "b"}});
    for (here, there) in [("us-east-1", "eu-west-1"), ("eu-west-1", "us-east-1")] {
        let sealed = server.call_in(here, Operation::Encrypt, &seal).unwrap();
        let open = json!({"KeyId": id, "CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": {"a": "b"}});
        let opened = server.call_in(there, Operation::Decrypt, &open).unwrap();
        assert_eq!(opened["Plaintext"], "eA==");
        assert!(opened["KeyId"].as_str().unwrap().contains(there));
        let elsewhere = server.call_in("eu-west-3", Operation::Decrypt, &open);
        assert_eq!(elsewhere, Err(ErrorCode::NotFound));
    }
}

#[test]
fn only_multi_region_keys_leave_their_region_and_a_region_of_replicas_has_nothing_of_its_own() {
    let mut server = Server::new();
    server.store.answer_for(vec!["eu-west-1".to_owned()]);
    let created = server.call(Operation::CreateKey, &json!({})).unwrap();
    let id = &created["KeyMetadata"]["KeyId"];
    let replicate = |region| {
        server.call(
            Operation::ReplicateKey,
            &json!({"KeyId": id, "ReplicaRegion": region}),
        )
    };
    assert_eq!(replicate("eu-west-1"), Err(ErrorCode::UnsupportedOperation));
    assert_eq!(replicate("eu-west-2"), Err(ErrorCode::Validation));
    assert_eq!(
        server.call_in("eu-west-1", Operation::CreateKey, &json!({})),
        Err(ErrorCode::UnsupportedOperation)
    );
    let keys = server.call_in("eu-west-1", Operation::ListKeys, &json!({}));
    assert_eq!(keys.unwrap()["Keys"], json!([]));
}
