//! The AWS KMS key service, through AWS's own SDK, against a key server in this process.

mod failures;
mod keys;
mod rig;
mod tls;
