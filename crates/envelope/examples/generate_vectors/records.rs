//! Records of the state bucket.

mod parts;
mod registry;
mod uploads;

use sealgate_envelope::Suite;
use sealgate_envelope::object::Body;
use serde_json::Value;

use crate::Outcome;
use crate::samples::{Sample, SealedSample};

const UPLOAD_ID: &str = "upload.id/of the+storage~é";

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = uploads::vectors()?;
    vectors.extend(parts::vectors()?);
    vectors.extend(registry::vectors()?);
    Ok(vectors)
}

fn multipart(name: &str, suite: Suite) -> Outcome<SealedSample> {
    Sample::new(name, suite, Body::Multipart)?.seal()
}
