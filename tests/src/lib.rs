//! The rig of the integration tests: real servers on free ports, real clients, and ways to look behind the gateway.
//!
//! ```text
//! clients                          what is tested            what it stands on
//! aws CLI, boto3 (Python) ─┐
//! aws-sdk-s3 (Rust) ───────┼─────► sealgate (process) ─┬───► MinIO (process), or sealgate-devstore (process)
//! raw HTTP ────────────────┘                           └───► sealgate-kms-mock (process)
//! ```
//!
//! Everything runs on 127.0.0.1, in directories that vanish with the test, and every wait has an end. What the rig needs
//! of the machine (a MinIO binary, a Python environment) the command `./test` at the root of the repository provides; a test
//! that misses it fails and says so.

#![forbid(unsafe_code)]

pub mod admin;
pub mod audit_key;
pub mod certificates;
pub mod content;
pub mod endpoint;
pub mod environment;
pub mod http_2;
pub mod multipart;
pub mod process;
pub mod process_resources;
pub mod python;
pub mod random;
pub mod raw_connection;
pub mod raw_http;
pub mod rig;
pub mod servers;
pub mod session;
pub mod tls_client;
