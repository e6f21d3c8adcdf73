//! The embedded S3 store of `sealgate dev` and of quick tests: durable, in one directory, reached over
//! HTTP like any upstream.
//!
//! ```text
//!  HTTP ── s3s: SigV4, aws-chunked, XML ── service: what S3 means ──┬── index: redb, what exists
//!                                                                  └── bodies: files, the bytes
//! ```
//!
//! ```
//! use sealgate_devstore::{Credentials, Server, Store};
//!
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let directory = tempfile::tempdir()?;
//! let store = Store::open(directory.path())?;
//! let server = Server::start(store, "127.0.0.1:0".parse()?, Credentials::new("AKIATEST", "secret")?)?;
//! println!("point any S3 client at {}", server.endpoint());
//! server.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # On the disk
//!
//! | path | holds |
//! |---|---|
//! | `index.redb` | buckets, objects by their raw key bytes, uploads, parts, and the files of each body; locked while a process uses the store |
//! | `bodies/<32 hex digits>` | the bytes of one PutObject, UploadPart or UploadPartCopy, exactly as they were sent; never changed once it is there |
//! | `incoming/` | bodies that are being received; emptied at every start |
//!
//! A multipart object is the list of its parts' files, and an object without bytes has none.
//! [`Store::body_files`] names the files of an object.
//!
//! # What it promises
//!
//! - What was answered with success survives `kill -9` and, as far as the disk keeps its word, a power
//!   cut: a body is synced, renamed and its directory synced before the index names it, and the index is
//!   synced before the answer.
//! - A body that fails its signature, hash, length or trailer leaves nothing.
//! - Conditions hold: they are checked in the transaction that writes.
//! - A reader of an object that is replaced or deleted meanwhile gets the old bytes to their end.
//! - An upload needs about 512 KiB of memory whatever its size. One exception is not ours to remove:
//!   s3s buffers one chunk of an aws-chunked body, of the size that the client chose.
//!
//! # What it is not for
//!
//! Production. It has one key that may do everything, no TLS, no versioning, no encryption, and one
//! writer at a time.

mod bodies;
mod checksum;
mod error;
mod id;
mod index;
mod limits;
mod server;
mod service;
mod store;

pub use error::Error;
pub use index::IndexError;
pub use server::{Credentials, RunningServer, Server};
pub use store::Store;
