//! Reading the fields of a vector. What is missing is the vector's fault: panic.

use data_encoding::{BASE64, HEXLOWER};
use sealgate_envelope::{Error, WorkingKey, WorkingKeyId};
use serde_json::Value;

pub(crate) trait Fields {
    fn text(&self, name: &str) -> &str;
    fn number(&self, name: &str) -> u64;
    fn hex(&self, name: &str) -> Vec<u8>;
    fn base64(&self, name: &str) -> Vec<u8>;
    /// The working key of this identifier, if the reader of the vector can obtain it.
    fn working_key(&self, id: WorkingKeyId) -> Result<WorkingKey, Error>;
}

impl Fields for Value {
    fn text(&self, name: &str) -> &str {
        self[name]
            .as_str()
            .unwrap_or_else(|| panic!("the field {name} is no text in {self}"))
    }

    fn number(&self, name: &str) -> u64 {
        self[name]
            .as_u64()
            .unwrap_or_else(|| panic!("the field {name} is no number in {self}"))
    }

    fn hex(&self, name: &str) -> Vec<u8> {
        HEXLOWER.decode(self.text(name).as_bytes()).unwrap()
    }

    fn base64(&self, name: &str) -> Vec<u8> {
        BASE64.decode(self.text(name).as_bytes()).unwrap()
    }

    fn working_key(&self, id: WorkingKeyId) -> Result<WorkingKey, Error> {
        let keys = self["working_keys"].as_object().unwrap();
        let key = keys
            .get(&id.to_string())
            .ok_or_else(|| Error::stored("the reader of this vector has no such working key"))?;
        WorkingKey::from_slice(&HEXLOWER.decode(key.as_str().unwrap().as_bytes()).unwrap())
    }
}
