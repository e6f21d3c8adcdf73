//! An S3-compatible reverse proxy that encrypts uploads while they stream and verifies and decrypts downloads.
//!
//! ```text
//! listener ─ limits ─ auth ─ route ─ policy ─ operation ─ upstream
//!    │                  │       │       │         │           └ pool, signing, retries
//!    │                  │       │       │         └ one file an S3 operation: check, ask upstream, transform, answer
//!    │                  │       │       └ who may do what, and who may decrypt
//!    │                  │       └ method, path, query and headers → one Operation, or a refusal
//!    │                  └ SigV4 in all its modes, before the body is polled
//!    └ TLS, HTTP/1.1 and HTTP/2, graceful stop
//! ```
//!
//! Beside the path stand `admin` (health) and `metrics`, `body` (framing and checksums of request bodies), `form` (browser uploads), `transfer` (sealing and opening while bytes pass), `object` (a sealed
//! object at the upstream), `state` (records of open uploads and working keys) and `xml`. What is stored is specified in FORMAT.md.
//!
//! A replica holds nothing that another one needs: scaling out is starting more of them behind any load balancer.

pub mod admin;
pub mod audit;
pub mod auth;
pub mod body;
pub mod byte_range;
mod certificate_validity;
pub mod cli;
pub mod conditions;
pub mod config;
pub mod copy_source;
mod credentials;
mod detached;
pub mod entity_tag;
pub mod error;
pub mod form;
pub mod gateway;
mod grants;
mod held_body;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod migration;
pub mod object;
pub mod object_key;
pub mod operation;
mod patience;
pub mod policy;
pub mod query_string;
pub mod route;
pub mod scan;
pub mod state;
pub mod sts;
mod throttle;
pub mod transfer;
pub mod upstream;
mod web_client;
mod workers;
pub mod xml;
