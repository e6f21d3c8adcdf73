//! An S3-compatible reverse proxy that encrypts uploads while they stream and verifies and decrypts downloads

pub mod auth;
pub mod body;
pub mod byte_range;
pub mod conditions;
pub mod config;
pub mod copy_source;
pub mod entity_tag;
pub mod object_key;
pub mod query_string;
pub mod xml;
