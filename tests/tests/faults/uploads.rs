//! Uploads in parts: some are completed, some aborted, and some are left open, as clients do that never come back.

use anyhow::Result;
use aws_sdk_s3::{
    Client as Connection,
    types::{CompletedMultipartUpload, CompletedPart},
};

use crate::{
    client::{Client, told},
    content::Content,
    failure::{Failure, answered},
    world::{BUCKET, PART, limit},
};

/// An upload that is open, as far as its client knows.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The key that it is for.
    pub(crate) key: String,
    /// Its id.
    pub(crate) id: String,
    /// What it would store.
    pub(crate) content: Content,
    /// Its parts, where all of them were acknowledged.
    pub(crate) parts: Vec<CompletedPart>,
    /// Whether it can be completed and is certain to be open: all parts are there, and nobody has asked for more.
    pub(crate) is_whole: bool,
}

/// Asks for an upload to be completed.
pub(crate) async fn complete(connection: &Connection, upload: &Upload) -> Result<(), Failure> {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(upload.parts.clone()));
    let request = connection
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(&upload.key)
        .upload_id(&upload.id)
        .multipart_upload(parts.build());
    let answer = answered(limit(upload.content.length), request.send()).await?;
    match answer.e_tag() {
        Some(_) => Ok(()),
        None => Err(Failure::named("no entity tag")),
    }
}

/// Asks for an upload to be aborted.
pub(crate) async fn abort(connection: &Connection, upload: &Upload) -> Result<(), Failure> {
    let request = connection
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key(&upload.key)
        .upload_id(&upload.id);
    answered(limit(0), request.send()).await.map(|_| ())
}

impl Client {
    pub(crate) async fn upload(&mut self, slot: usize) -> Result<()> {
        let length = self.length();
        // Most have one part: a part that is not the last has 5 MiB.
        let length = match self.random.below(100) {
            0..=24 => (length + PART).min(self.world.longest),
            _ => length,
        };
        let content = self.world.source.fresh(length);
        let _permit = self.permit(length).await?;
        let Some(id) = self.create(slot).await? else {
            return Ok(());
        };
        let mut upload = Upload {
            key: self.key(slot),
            id,
            content,
            parts: Vec::new(),
            is_whole: false,
        };
        let whole = self.world.source.bytes(content);
        // Most parts of a large upload are larger than they have to be.
        let size = PART.max(length.div_ceil(8));
        let pieces = length.div_ceil(size).max(1);
        for number in 0..pieces {
            let bytes = whole.slice(number * size..length.min((number + 1) * size));
            let number = i32::try_from(number + 1)?;
            match self.upload_part(slot, &upload, number, bytes).await? {
                Some(part) => upload.parts.push(part),
                None => return self.give_upload_up(slot, upload).await,
            }
        }
        upload.is_whole = true;
        if self.random.chance(12) {
            self.note(slot, &format!("upload {} left open", upload.id));
            self.open.push(upload);
            return Ok(());
        }
        let attempts = self.attempts();
        for attempt in 0..attempts {
            let connection = self.connection()?;
            let outcome = self.counted("complete", complete(&connection, &upload).await);
            let what = format!("complete {} of {content:?}: {}", upload.id, told(&outcome));
            self.note(slot, &what);
            if outcome.is_ok() {
                return self.acknowledge(slot, Some(content), attempt);
            }
            upload.is_whole = false;
            self.pause_before_retry(attempt).await;
        }
        self.open.push(upload);
        self.known(slot)?.give_up(Some(content));
        Ok(())
    }

    async fn create(&mut self, slot: usize) -> Result<Option<String>> {
        let key = self.key(slot);
        for attempt in 0..self.attempts() {
            let request = self.connection()?.create_multipart_upload();
            let request = request.bucket(BUCKET).key(&key).send();
            let outcome = answered(limit(0), request).await;
            let outcome = self.counted("create upload", outcome);
            let id = outcome.as_ref().ok().and_then(|answer| answer.upload_id());
            self.note(slot, &format!("create {id:?}: {}", told(&outcome)));
            if let Some(id) = id {
                return Ok(Some(id.to_owned()));
            }
            self.pause_before_retry(attempt).await;
        }
        Ok(None)
    }

    async fn upload_part(
        &mut self,
        slot: usize,
        upload: &Upload,
        number: i32,
        bytes: bytes::Bytes,
    ) -> Result<Option<CompletedPart>> {
        for attempt in 0..self.attempts() {
            let request = self.connection()?.upload_part();
            let request = request.bucket(BUCKET).key(&upload.key);
            let request = request.upload_id(&upload.id).part_number(number);
            let request = request.body(bytes.clone().into()).send();
            let outcome = answered(limit(bytes.len()), request).await;
            let outcome = self.counted("upload part", outcome);
            let what = format!("part {number} of {}: {}", upload.id, told(&outcome));
            self.note(slot, &what);
            if let Ok(answer) = outcome {
                let part = CompletedPart::builder().part_number(number);
                return Ok(Some(part.set_e_tag(answer.e_tag).build()));
            }
            self.pause_before_retry(attempt).await;
        }
        Ok(None)
    }

    /// Aborts an upload of which a part is missing, or leaves it.
    async fn give_upload_up(&mut self, slot: usize, upload: Upload) -> Result<()> {
        if self.random.chance(50) {
            let connection = self.connection()?;
            let outcome = self.counted("abort", abort(&connection, &upload).await);
            self.note(slot, &format!("abort {}: {}", upload.id, told(&outcome)));
            if outcome.is_ok() {
                return Ok(());
            }
        }
        self.open.push(upload);
        Ok(())
    }
}
