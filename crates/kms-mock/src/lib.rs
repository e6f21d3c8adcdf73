//! A key server that speaks the AWS KMS JSON protocol, for development and tests.
//!
//! AWS's own SDKs and command line work with it: requests are authenticated with Signature Version 4, and requests,
//! responses, errors and messages have the form that AWS KMS gives them. It is **not** for production: key material lies
//! in a file, and everything depends on one machine.
//!
//! ```no_run
//! use sealgate_kms_mock::{Principal, RunningServer};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = RunningServer::builder()
//!     .state_directory("dev/kms")
//!     .principal(Principal::with_all_operations("dev", "AKIAEXAMPLE", "an example secret")?)
//!     .alias("alias/sealgate-dev")
//!     .start()
//!     .await?;
//! println!("{} serves {:?}", server.endpoint(), server.key_arn("alias/sealgate-dev"));
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The way of a request: `listener` accepts the connection, `exchange` reads it within limits, `service` authenticates it (`signature`), asks whether the
//! principal may, lets [`Faults`] strike it, passes it by the [`RequestHook`] and runs one of `operations` on the `store`; the end goes to the
//! request log.

#![forbid(unsafe_code)]

mod catalogue;
mod ciphertext;
mod constraints;
mod control;
mod encryption_context;
mod error;
mod exchange;
mod faults;
mod hook;
mod identifier;
mod listener;
mod material;
mod operation;
mod operations;
mod principal;
mod request_log;
mod resettable;
mod server;
mod service;
mod signature;
mod state_directory;
mod state_file;
mod store;
mod tls;
mod wire;

pub use error::{ErrorCode, KmsError, StartError};
pub use faults::{Ending, Fault, FaultError, FaultStatus, Faults};
pub use hook::{HookFuture, RequestHook, RequestInfo, Verdict};
pub use operation::{Operation, UnknownOperation};
pub use principal::{Permissions, Principal, PrincipalError, read_principals};
pub use server::{DEFAULT_ACCOUNT, DEFAULT_REGION, RunningServer, ServerBuilder};
pub use tls::TlsIdentity;
