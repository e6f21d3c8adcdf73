//! The embedded store of `sealgate dev`, as a process of its own.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{endpoint::Endpoint, environment, process::Process};

/// A `sealgate-devstore` on one directory.
#[derive(Debug)]
pub struct Devstore {
    /// Where it is, with its credentials.
    pub endpoint: Endpoint,
    /// The process.
    pub process: Process,
}

impl Devstore {
    /// Starts the store with its data in a new directory below `directory`, and waits until it serves.
    ///
    /// # Errors
    /// If it has not been built or does not become ready.
    pub fn start(directory: &Path) -> Result<Self> {
        let (access_key_id, secret_access_key) = ("devstore-key", "devstore-secret");
        let mut command = Command::new(environment::own_program("sealgate-devstore")?);
        command
            .arg("--dir")
            .arg(directory.join("devstore"))
            .env("AWS_ACCESS_KEY_ID", access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", secret_access_key);
        let mut process = Process::start("devstore", &mut command, directory)?;
        let url = process.ready_url()?;
        Ok(Self {
            endpoint: Endpoint {
                url,
                access_key_id: access_key_id.to_owned(),
                secret_access_key: secret_access_key.to_owned(),
                ca_file: None,
            },
            process,
        })
    }
}
