//! The AWS KMS key service, through AWS's own SDK, against a key server in this process.
//!
//! Each module says `cfg(test)` so that clippy holds its helper functions to the rules of tests.

#[cfg(test)]
mod failures;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tls;
