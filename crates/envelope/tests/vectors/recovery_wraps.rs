//! Working keys wrapped for an offline recovery key.

use sealgate_envelope::Error;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use serde_json::Value;

use crate::{Outcome, key_files};

pub(crate) fn wrap(vector: &Value) -> Outcome {
    key_files::outcome(vector, unwrap(vector))
}

fn unwrap(vector: &Value) -> Result<String, Error> {
    let (_directory, path) = key_files::write(vector);
    key_files::unwrap(&RecoveryKey::open(&path, None)?, vector)
}
