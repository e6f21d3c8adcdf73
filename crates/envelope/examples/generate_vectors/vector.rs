//! Vectors as JSON; the schema is `vectors/README.md`.

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value, json};

/// A vector under construction: common fields first.
#[derive(Clone)]
pub(crate) struct Vector(Map<String, Value>);

impl Vector {
    pub(crate) fn new(kind: &str, name: &str, comment: &str) -> Self {
        let mut fields = Map::new();
        for (field, text) in [("name", name), ("comment", comment), ("kind", kind)] {
            fields.insert(field.to_owned(), json!(text));
        }
        Self(fields)
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    pub(crate) fn hex(self, field: &str, bytes: &[u8]) -> Self {
        self.with(field, HEXLOWER.encode(bytes))
    }

    pub(crate) fn base64(self, field: &str, bytes: &[u8]) -> Self {
        self.with(field, BASE64.encode(bytes))
    }

    /// The reader's keys.
    pub(crate) fn working_keys(self, keys: &[([u8; 16], [u8; 32])]) -> Self {
        let keys: Map<String, Value> = keys
            .iter()
            .map(|(id, key)| (HEXLOWER.encode(id), json!(HEXLOWER.encode(key))))
            .collect();
        self.with("working_keys", keys)
    }

    pub(crate) fn opens(self) -> Value {
        Value::Object(self.with("expect", "opens").0)
    }

    /// Must fail at `stage`, after `released` bytes of plaintext.
    pub(crate) fn fails(self, stage: &str, released: u64) -> Value {
        Value::Object(
            self.with("expect", "fails")
                .with("stage", stage)
                .with("released", released)
                .0,
        )
    }
}
