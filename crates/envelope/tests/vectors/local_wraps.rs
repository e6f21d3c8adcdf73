//! Working keys wrapped with a local key file.

use std::fs::OpenOptions;
use std::io::Write;

use data_encoding::HEXLOWER;
use sealgate_envelope::key_service::local::LocalKeyService;
use sealgate_envelope::key_service::{EncryptionContext, KeyService, UnwrapPermit};
use sealgate_envelope::secret_file::Passphrase;
use sealgate_envelope::{Domain, Error, Provider, Wrap};
use serde_json::Value;
use zeroize::Zeroizing;

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
    let passphrase = vector
        .get("passphrase")
        .and_then(Value::as_str)
        .map(|text| Passphrase::new(Zeroizing::new(text.to_owned())))
        .transpose()?;
    let service = LocalKeyService::open_with(&path, passphrase.as_ref())?;

    let context = &vector["context"];
    if context.text("sealgate:format") != "1" {
        return Err(Error::stored("this crate has no context of another format"));
    }
    let domain = Domain::new(context.text("sealgate:domain"))?;
    let context = EncryptionContext::new(domain, context.text("sealgate:working-key").parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let key = runtime.block_on(async {
        // A blob that no wrap can hold is refused before the service sees it.
        let wrap = Wrap::new(
            Provider::Local,
            service.key_reference().await?,
            vector.hex("blob"),
        )?;
        service
            .unwrap(&UnwrapPermit::issue("test"), &context, &wrap)
            .await
    })?;
    Ok(HEXLOWER.encode(key.expose()))
}
