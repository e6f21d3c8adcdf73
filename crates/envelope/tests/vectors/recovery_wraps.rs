//! Working keys wrapped for an offline recovery key.

use std::fs::OpenOptions;
use std::io::Write;

use data_encoding::HEXLOWER;
use sealgate_envelope::key_service::recovery::RecoveryKey;
use sealgate_envelope::key_service::{EncryptionContext, KeyService, UnwrapPermit};
use sealgate_envelope::{Domain, Error, Provider, Wrap};
use serde_json::Value;

use crate::Outcome;
use crate::fields::Fields;

pub(crate) fn wrap(vector: &Value) -> Outcome {
    match unwrap(vector) {
        Ok(key) => {
            assert_eq!(key, vector.text("working_key"));
            Outcome::Opened
        }
        Err(error) => Outcome::Refused(0, error),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test decides, and records nothing"
)]
fn unwrap(vector: &Value) -> Result<String, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&path)
        .unwrap()
        .write_all(vector.text("key_file").as_bytes())
        .unwrap();
    let key = RecoveryKey::open(&path, None)?;
    let context = &vector["context"];
    let domain = Domain::new(context.text("sealgate:domain"))?;
    let context = EncryptionContext::new(domain, context.text("sealgate:working-key").parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let opened = runtime.block_on(async {
        let reference = key.key_reference().await?;
        let wrap = Wrap::new(Provider::Recovery, reference, vector.hex("blob"))?;
        key.unwrap(&UnwrapPermit::issue("test"), &context, &wrap)
            .await
    })?;
    Ok(HEXLOWER.encode(opened.expose()))
}
