//! Secrets of a configuration: never written in it, only named by it.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The longest secret file that is read, in bytes. Keys and tokens are far shorter; a file above this is a wrong path.
pub const SECRET_FILE_LIMIT: u64 = 64 * 1024;

/// A secret in memory. Wiped on drop, absent from `Debug`, with no `Display`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the secret over; other copies of it, if any, are the caller's to wipe.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}
