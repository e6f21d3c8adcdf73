//! Access keys that come and go while a gateway runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::credentials::Entry;

/// All of them, exchanged at once.
#[derive(Default)]
pub(crate) struct StoredKeys(ArcSwap<Known>);

#[derive(Default)]
struct Known {
    by_access_key_id: HashMap<String, Standing>,
    is_lacking: bool,
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
    /// It was taken back, and so are the sessions that it made.
    Revoked,
}

impl StoredKeys {
    /// From now on, these. `is_lacking` says that there are others, which could not be opened yet.
    pub(crate) fn set(&self, by_access_key_id: HashMap<String, Standing>, is_lacking: bool) {
        self.0.store(Arc::new(Known {
            by_access_key_id,
            is_lacking,
        }));
    }

    pub(crate) fn standing(&self, access_key_id: &str) -> Option<Standing> {
        self.0.load().by_access_key_id.get(access_key_id).cloned()
    }

    /// Whether an access key was taken back; never true of one that nobody knows.
    pub(crate) fn is_revoked(&self, access_key_id: &str) -> bool {
        let known = self.0.load();
        matches!(
            known.by_access_key_id.get(access_key_id),
            Some(Standing::Revoked)
        )
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
