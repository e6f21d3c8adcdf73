//! What can go wrong before a request is served: opening the directory and starting the server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::index::IndexError;

/// Why a store could not be opened or served. Errors of requests are S3 error codes instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory or a part of it cannot be created, read or written.
    #[error("cannot use {} as a store: {source}; check that it is a writable directory", path.display())]
    Directory {
        /// The path at fault.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has the same directory open.
    #[error("{} is in use by another process; stop it or choose another directory", path.display())]
    Locked {
        /// The index file that is locked.
        path: PathBuf,
    },
    /// The index cannot be opened or read.
    #[error(
        "the index of the store is unusable: {0}; restore the directory or remove it to start empty"
    )]
    Index(#[from] IndexError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose a free address")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A credential is empty: every request would be refused.
    #[error("the store needs an access key and a secret key that are not empty")]
    Credentials,
    /// The server was started outside of a tokio runtime.
    #[error("the server must be started inside a tokio runtime")]
    Runtime,
}
