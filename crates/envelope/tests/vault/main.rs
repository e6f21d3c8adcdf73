//! The Vault key service against a server that answers what no server in good order does.
//!
//! The module says `cfg(test)` so that clippy holds its helper functions to the rules of tests.

#[cfg(test)]
mod answers;
