//! Working keys wrapped with a local key file.

use sealgate_envelope::Error;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::secret_file::Passphrase;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::fields::Fields;
use crate::{Outcome, key_files};

pub(crate) fn wrap(vector: &Value) -> Outcome {
    key_files::outcome(vector, unwrap(vector))
}

fn unwrap(vector: &Value) -> Result<String, Error> {
    let (_directory, path) = key_files::write(vector);
    let passphrase = vector
        .get("passphrase")
        .and_then(Value::as_str)
        .map(|text| Passphrase::new(Zeroizing::new(text.to_owned())))
        .transpose()?;
    let service = LocalKeyService::open_with(&path, passphrase.as_ref())?;
    if vector["context"].text("sealgate:format") != "1" {
        return Err(Error::stored("this crate has no context of another format"));
    }
    key_files::unwrap(&service, vector)
}
