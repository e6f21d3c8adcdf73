//! The servers of the rig, one process each.

pub mod adversary;
pub mod devstore;
pub mod forwarder;
pub mod gateway;
pub mod interference;
pub mod key_server;
pub mod meddler;
pub mod minio;
pub mod terminator;
pub mod vault;

pub use adversary::{Adversary, Planted};
pub use devstore::Devstore;
pub use forwarder::Forwarder;
pub use gateway::{Gateway, GatewaySettings, report};
pub use interference::{Interference, Interferer};
pub use key_server::{KEY, KeyServer};
pub use meddler::{Action, Asked, Ending, Meddler, Reply};
pub use minio::Minio;
pub use terminator::Terminator;
pub use vault::Vault;
