//! The key services: one table of behaviour that each of them shows on a real server, and what only one of them has.
//!
//! Each module says `cfg(test)` so that clippy holds its helper functions to the rules of tests.

#[cfg(test)]
mod aws_kms;
#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod local;
#[cfg(test)]
mod multi_region;
#[cfg(test)]
mod pkcs11;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod shredding;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod vault_logins;
