//! An S3-compatible reverse proxy that encrypts uploads while they stream and verifies and decrypts downloads

pub mod config;
