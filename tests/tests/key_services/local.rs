//! The local key file.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use sealgate_envelope::key_service::local::LocalKeyService;
use tempfile::TempDir;

use super::behaviour::{self, Administrator, Key, Outcome, Situation};

struct KeyFiles {
    directory: TempDir,
    made: usize,
}

#[async_trait]
impl Administrator for KeyFiles {
    async fn new_key(&mut self) -> Result<Key> {
        self.made += 1;
        let name = format!("{}.key", self.made);
        let service = LocalKeyService::create(self.directory.path().join(&name))?;
        Ok(Key {
            name,
            service: Arc::new(service),
        })
    }

    async fn bring_about(&mut self, situation: Situation, _: &Key) -> Result<Outcome> {
        Ok(Outcome::CannotApply(match situation {
            Situation::Disabled | Situation::Deleted => {
                "the file is read when the gateway starts and not needed afterwards"
            }
            Situation::Throttled
            | Situation::Slow
            | Situation::Unreachable
            | Situation::Malformed => "nobody is asked: the key is in memory",
            Situation::Rotated => "a key file holds one key for ever; another key is another file",
        }))
    }

    async fn undo(&mut self, _: Situation, _: &Key) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_local_key_file_behaves_as_a_key_service() -> Result<()> {
    let mut files = KeyFiles {
        directory: tempfile::tempdir()?,
        made: 0,
    };
    behaviour::check(&mut files, &Situation::ALL).await
}
