//! Access keys that come and go while a gateway runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::credentials::Entry;
use crate::credentials::is_stored_id;

/// All of them, exchanged at once.
#[derive(Default)]
pub(crate) struct StoredKeys(ArcSwap<Known>);

#[derive(Default)]
struct Known {
    by_access_key_id: HashMap<String, Standing>,
    is_lacking: bool,
    is_complete: bool,
}

/// What an access key is good for.
#[derive(Clone)]
pub(crate) enum Standing {
    /// It may sign, until `ends`, in seconds since 1970.
    Works {
        /// What is known of it.
        entry: Arc<Entry>,
        /// When it ends; that second is outside.
        ends: Option<i64>,
    },
    /// Its time is over; the sessions that it made go on.
    Ended,
    /// It was taken back, and so are the sessions that it made.
    Revoked,
}

/// What becomes of a session, by the access key that signed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It may go on.
    Good,
    /// The access key was taken back, or is gone.
    TakenBack,
    /// Nobody knows yet.
    Unknown,
}

impl StoredKeys {
    /// From now on, these. `is_lacking` says that there are others, which could not be opened yet; `is_complete` that of each it is known whether it
    /// was revoked.
    pub(crate) fn set(
        &self,
        by_access_key_id: HashMap<String, Standing>,
        is_lacking: bool,
        is_complete: bool,
    ) {
        self.0.store(Arc::new(Known {
            by_access_key_id,
            is_lacking,
            is_complete,
        }));
    }

    pub(crate) fn standing(&self, access_key_id: &str) -> Option<Standing> {
        self.0.load().by_access_key_id.get(access_key_id).cloned()
    }

    /// What becomes of sessions that an access key signed for. One that has not the form of those in a directory is the configuration's affair.
    pub(crate) fn origin(&self, access_key_id: &str) -> Origin {
        if !is_stored_id(access_key_id) {
            return Origin::Good;
        }
        let known = self.0.load();
        match known.by_access_key_id.get(access_key_id) {
            Some(Standing::Works { .. } | Standing::Ended) => Origin::Good,
            Some(Standing::Revoked) => Origin::TakenBack,
            None if known.is_complete => Origin::TakenBack,
            None => Origin::Unknown,
        }
    }

    /// Whether some could not be opened yet, and may be later.
    pub(crate) fn is_lacking(&self) -> bool {
        self.0.load().is_lacking
    }
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.load();
        let ids: Vec<_> = known.by_access_key_id.keys().collect();
        f.debug_tuple("StoredKeys").field(&ids).finish()
    }
}
