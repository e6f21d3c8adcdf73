//! A tamper-evident audit log.
//!
//! ```text
//! Event ─ Prepared ─┐                                    ┌─ segments/*.jsonl   every line a leaf of a Merkle tree
//! Event ─ Prepared ─┼─ Log: one thread, one sync for all ─┤
//! Event ─ Prepared ─┘                                    └─ checkpoints.jsonl  size and root, signed
//!
//! Directory ─ verify ─ findings      Directory ─ search ─ export      pushed lines ─ Mirror (the receiver's copy, byte for byte)
//! ```
//!
//! A record is durable before [`Log::record`] returns. Checkpoints are signed notes (C2SP tlog-checkpoint) over the tree of RFC 6962, so other
//! people's tools verify them. What a file holds is written down in docs/audit.md.

pub mod cef;
pub mod checkpoint;
pub mod directory;
pub mod event;
pub mod history;
pub mod key;
pub mod limits;
pub mod line;
pub mod lines;
pub mod merkle;
pub mod mirror;
pub mod note;
pub mod object_name;
pub mod ocsf;
pub mod proof;
pub mod push;
pub mod search;
pub mod verify;
pub mod writer;

pub use directory::Directory;
pub use event::{Decision, Event, Kind, Outcome, Verdict};
pub use key::{Purpose, SigningKey, VerifyingKey};
pub use note::Note;
pub use object_name::ObjectNames;
pub use writer::{
    Disk, FileSystem, Log, LogOptions, OpenError, Output, Pending, Position, RecordError, Running,
};
