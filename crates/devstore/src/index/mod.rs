//! The index: which buckets, objects, uploads and parts exist, and which files hold their bytes.
//!
//! One redb database. Every change is one write transaction, which is durable (fsync) when its commit
//! returns; writers follow each other, so a condition that a transaction checked still holds when it
//! commits. Readers see a snapshot and block nobody.

pub(crate) mod listing;
pub(crate) mod records;
pub(crate) mod transaction;
pub(crate) mod view;

use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    TableDefinition,
};

use crate::error::Error;
pub(crate) use transaction::Transaction;
pub(crate) use view::View;

/// Bucket name → [`records::BucketRecord`].
pub(crate) const BUCKETS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("buckets");
/// Bucket and raw key bytes → [`records::ObjectRecord`]. Listings follow the order of this table.
pub(crate) const OBJECTS: TableDefinition<'static, (&'static str, &'static [u8]), &'static [u8]> =
    TableDefinition::new("objects");
/// Body → its [`records::Segment`]s. Apart from the objects, so that listings need not read them.
pub(crate) const BODIES: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("bodies");
/// Bucket, key and upload id → [`records::UploadRecord`]. Ids begin with the time, so the order is that of S3.
pub(crate) const UPLOADS: TableDefinition<
    'static,
    (&'static str, &'static [u8], &'static str),
    &'static [u8],
> = TableDefinition::new("uploads");
/// Upload id and part number → [`records::PartRecord`].
pub(crate) const PARTS: TableDefinition<'static, (&'static str, u16), &'static [u8]> =
    TableDefinition::new("parts");
/// Facts about the index itself: its version.
const ABOUT: TableDefinition<'static, &'static str, u64> = TableDefinition::new("about");

/// How much of the index is kept in memory: a development store has few objects.
const CACHE_SIZE: usize = 16 << 20;

const VERSION_KEY: &str = "version";
const VERSION: u64 = 1;

/// Why the index could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The file cannot be opened as a database.
    #[error("{0}")]
    Open(#[from] DatabaseError),
    /// A transaction could not begin.
    #[error("{0}")]
    Begin(#[from] redb::TransactionError),
    /// A table could not be opened.
    #[error("{0}")]
    Table(#[from] redb::TableError),
    /// A read or write failed.
    #[error("{0}")]
    Storage(#[from] redb::StorageError),
    /// A transaction could not be made durable.
    #[error("{0}")]
    Commit(#[from] redb::CommitError),
    /// A record is not what this version writes.
    #[error("a record is malformed: {0}")]
    Record(#[from] serde_json::Error),
    /// The list of files of a body is missing or cut short.
    #[error("the files of body {0} are not recorded")]
    Body(String),
    /// A newer version made this directory.
    #[error("the index has version {0}, this program reads version {VERSION}")]
    Version(u64),
}

/// The database and its tables.
#[derive(Debug)]
pub(crate) struct Index {
    database: Database,
}

impl Index {
    /// Opens the index, or makes an empty one. The file stays locked until the value is dropped.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let database = Builder::new()
            .set_cache_size(CACHE_SIZE)
            .create(path)
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => Error::Locked {
                    path: path.to_owned(),
                },
                other => IndexError::Open(other).into(),
            })?;
        prepare(&database)?;
        Ok(Self { database })
    }

    /// What is committed now.
    pub(crate) fn read(&self) -> Result<Snapshot, IndexError> {
        Ok(Snapshot {
            inner: self.database.begin_read()?,
        })
    }

    /// Begins a change; waits until no other one is under way.
    pub(crate) fn write(&self) -> Result<Transaction, IndexError> {
        Ok(Transaction::new(self.database.begin_write()?))
    }
}

/// Makes the tables, so that a reader never meets a missing one, and checks the version.
fn prepare(database: &Database) -> Result<(), IndexError> {
    let transaction = database.begin_write()?;
    {
        let mut about = transaction.open_table(ABOUT)?;
        let found = about.get(VERSION_KEY)?.map(|value| value.value());
        match found {
            None => {
                about.insert(VERSION_KEY, VERSION)?;
            }
            Some(VERSION) => {}
            Some(other) => return Err(IndexError::Version(other)),
        }
        transaction.open_table(BUCKETS)?;
        transaction.open_table(OBJECTS)?;
        transaction.open_table(BODIES)?;
        transaction.open_table(UPLOADS)?;
        transaction.open_table(PARTS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// A consistent view of what was committed when it was taken.
pub(crate) struct Snapshot {
    inner: ReadTransaction,
}

impl View for Snapshot {
    type Table<'table, K: redb::Key + 'static, V: redb::Value + 'static>
        = redb::ReadOnlyTable<K, V>
    where
        Self: 'table;

    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<redb::ReadOnlyTable<K, V>, IndexError> {
        Ok(self.inner.open_table(definition)?)
    }
}
