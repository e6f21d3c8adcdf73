//! Buckets that were copied to a directory, served as the storage that they came from: `sealgate recovery open --from-directory`.
//!
//! ```text
//! DIRECTORY/photos/2026/a.jpg                            ciphertext, as it was stored
//! DIRECTORY/photos/.sealgate-export/manifest.jsonl       key, file, headers and tags of each object (`sealgate recovery copy`)
//! DIRECTORY/sealgate-state-…/registry/…                  wraps of working keys
//! ```
//!
//! Without that journal a file's path is its key, and its header is in the extended attribute `user.sealgate`, where `rclone copy --metadata` leaves
//! it. Nothing of a copy is believed: what is read from it has to open, as if the storage itself had sent it.

mod answer;
mod bucket;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Component, Path},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use tokio::sync::mpsc;

use self::{answer::Piece, bucket::CopiedBucket};
use crate::upstream::{LocalBody, LocalRequest, LocalStorage};

/// Bytes that are read at once.
const PIECE_LENGTH: usize = 256 << 10;

/// Pieces that are read ahead.
const PIECES_AHEAD: usize = 2;

/// Copied buckets, by name.
#[derive(Debug)]
pub(crate) struct CopiedStorage {
    buckets: Arc<BTreeMap<String, CopiedBucket>>,
}

impl CopiedStorage {
    /// Looks at the copies of a bucket and of the state bucket below a directory.
    ///
    /// # Errors
    ///
    /// When one of them is not there, or objects have no headers; with what to do.
    pub(crate) fn open(directory: &Path, bucket: &str, state: &str) -> anyhow::Result<Self> {
        let shown = directory.display();
        let mut buckets = BTreeMap::new();
        for (name, missing) in [
            (bucket, "make it with `sealgate recovery copy`"),
            (
                state,
                "it is the state bucket, whose registry has the wraps for the recovery key: copy it too, or name it with --state-bucket",
            ),
        ] {
            check_name(name)?;
            let copy = directory.join(name);
            let is_directory = fs::symlink_metadata(&copy).is_ok_and(|found| found.is_dir());
            ensure!(
                is_directory,
                "{shown} holds no directory {name}, which would be the copy of that bucket; {missing}"
            );
            let opened = CopiedBucket::open(&copy, name)
                .with_context(|| format!("{} cannot be used", copy.display()))?;
            buckets.insert(name.to_owned(), opened);
        }
        if let Some(copy) = buckets.get(bucket) {
            copy.require_headers()?;
        }
        Ok(Self {
            buckets: Arc::new(buckets),
        })
    }

    /// The buckets whose copies were never finished, or have lost a part of their journals since.
    pub(crate) fn incomplete(&self) -> Vec<String> {
        let incomplete = self.buckets.iter().filter(|(_, copy)| copy.is_incomplete());
        incomplete.map(|(name, _)| name.clone()).collect()
    }
}

/// Checks that a bucket's name can be that of its directory.
///
/// # Errors
///
/// When it leads elsewhere.
pub(crate) fn check_name(bucket: &str) -> anyhow::Result<()> {
    let mut parts = Path::new(bucket).components();
    ensure!(
        matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        ),
        "{bucket:?} is no name of a bucket"
    );
    Ok(())
}

#[async_trait]
impl LocalStorage for CopiedStorage {
    async fn answer(&self, request: LocalRequest) -> Response<LocalBody> {
        let buckets = Arc::clone(&self.buckets);
        let answered = tokio::task::spawn_blocking(move || answer::to(&buckets, &request)).await;
        let response = answered.unwrap_or_else(|_| {
            answer::failure(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "a thread ended by a fault of its own",
            )
        });
        response.map(|content| match content {
            answer::Content::Document(bytes) => LocalBody::Whole(Some(bytes)),
            answer::Content::Piece(piece) => {
                let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
                tokio::task::spawn_blocking(move || read(piece, &sender));
                LocalBody::Pieces(pieces)
            }
        })
    }
}

/// Reads a piece of a file to its end, or until nobody wants it any more.
fn read(piece: Piece, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let Piece {
        mut file,
        start,
        mut length,
    } = piece;
    let mut result = file.seek(SeekFrom::Start(start)).map(drop);
    while length > 0 && result.is_ok() {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::zeroed(wanted.min(PIECE_LENGTH));
        result = file.read_exact(&mut bytes);
        if result.is_ok() {
            length -= bytes.len() as u64;
            if sender.blocking_send(Ok(bytes.freeze())).is_err() {
                return;
            }
        }
    }
    if let Err(error) = result {
        // Whoever is gone needs no reason.
        let _ = sender.blocking_send(Err(error));
    }
}

#[cfg(test)]
mod tests;
