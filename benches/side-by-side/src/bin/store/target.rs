//! What a request is about: bucket, key and parameters.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// A path-style target.
#[derive(Debug)]
pub(crate) struct Target {
    /// Empty for the storage as a whole.
    pub(crate) bucket: String,
    /// Empty for the bucket as a whole.
    pub(crate) key: String,
    parameters: Vec<(String, String)>,
}

impl Target {
    /// Reads `/bucket/key?parameters`.
    pub(crate) fn of(uri: &Uri) -> Self {
        let path = uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let parameters = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(&value.replace('+', " ")))
            })
            .collect();
        Self {
            bucket: decoded(bucket),
            key: decoded(key),
            parameters,
        }
    }

    /// The value of a parameter, if it is there.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn decoded(text: &str) -> String {
    let bytes: Cow<'_, [u8]> = percent_decode_str(text).into();
    String::from_utf8_lossy(&bytes).into_owned()
}
