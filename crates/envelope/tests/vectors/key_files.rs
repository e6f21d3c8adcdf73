//! What vectors of wraps share whose key is in a file: the file, the context, and the call that opens.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use sealgate_envelope::key_service::{EncryptionContext, KeyService, UnwrapPermit};
use sealgate_envelope::{Domain, Error, Wrap};
use serde_json::Value;
use tempfile::TempDir;

use crate::Outcome;
use crate::fields::Fields;

/// Writes the vector's key file, for its owner alone. It goes with the directory.
pub(crate) fn write(vector: &Value) -> (TempDir, PathBuf) {
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
    (directory, path)
}

/// Opens the vector's wrap; the working key in hexadecimal digits.
#[expect(
    clippy::disallowed_methods,
    reason = "the test decides, and records nothing"
)]
pub(crate) fn unwrap(service: &dyn KeyService, vector: &Value) -> Result<String, Error> {
    let context = &vector["context"];
    let domain = Domain::new(context.text("sealgate:domain"))?;
    let context = EncryptionContext::new(domain, context.text("sealgate:working-key").parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let key = runtime.block_on(async {
        let reference = service.key_reference().await?;
        // A blob that no wrap can hold is refused before the service sees it.
        let wrap = Wrap::new(service.provider(), reference, vector.hex("blob"))?;
        service
            .unwrap(&UnwrapPermit::issue("test"), &context, &wrap)
            .await
    })?;
    Ok(HEXLOWER.encode(key.expose()))
}

/// What became of the vector, whose working key is compared.
pub(crate) fn outcome(vector: &Value, unwrapped: Result<String, Error>) -> Outcome {
    match unwrapped {
        Ok(key) => {
            assert_eq!(key, vector.text("working_key"));
            Outcome::Opened
        }
        Err(error) => Outcome::Refused(0, error),
    }
}
