//! Where the list of revocations is read: the state bucket, a file, or a URL.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sealgate_access::grant::{SIGNED_LIST_LIMIT, SignedRevocationList};

use crate::config::RevocationSource;
use crate::state::grants::GrantRecords;
use crate::web_client::WebClient;

/// Reads the list. What it reads is as good as its signature, which is for others to verify.
pub(crate) enum Source {
    State(GrantRecords),
    File(PathBuf),
    Url(Box<WebClient>),
}

impl Source {
    /// Contacts nobody yet.
    ///
    /// # Errors
    /// Where certificate authorities can't be used.
    pub(crate) fn new(config: &RevocationSource, records: &GrantRecords) -> anyhow::Result<Self> {
        Ok(match config {
            RevocationSource::State => Self::State(records.clone()),
            RevocationSource::File(path) => Self::File(path.clone()),
            RevocationSource::Url(address) => {
                let client = WebClient::new(address, 1).context("[grants.revocations]")?;
                Self::Url(Box::new(client))
            }
        })
    }

    /// The list as it lies there; none where there is none.
    ///
    /// # Errors
    /// Where it can't be had, or is no list.
    pub(crate) async fn read(&self) -> anyhow::Result<Option<SignedRevocationList>> {
        match self {
            Self::State(records) => {
                let found = records.revocations().await?;
                Ok(found.map(|(list, _)| list))
            }
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || read_file(&path)).await?
            }
            Self::Url(client) => {
                let bytes = client.get(SIGNED_LIST_LIMIT).await?;
                parse(&bytes).map(Some)
            }
        }
    }
}

/// The list of a file; none where there is no file.
///
/// # Errors
/// Where it can't be read, or is no list.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<Option<SignedRevocationList>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut bytes = Vec::new();
    file.take(SIGNED_LIST_LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| path.display().to_string())?;
    ensure!(
        bytes.len() <= SIGNED_LIST_LIMIT,
        "{} is longer than {SIGNED_LIST_LIMIT} bytes, so it is no list of revocations",
        path.display()
    );
    parse(&bytes)
        .with_context(|| path.display().to_string())
        .map(Some)
}

fn parse(bytes: &[u8]) -> anyhow::Result<SignedRevocationList> {
    let text = std::str::from_utf8(bytes).context("the list of revocations is no text")?;
    // Editors and scripts add a line end.
    SignedRevocationList::of_text(text.strip_suffix('\n').unwrap_or(text))
        .map_err(|error| anyhow::anyhow!("the list of revocations {error}"))
}
