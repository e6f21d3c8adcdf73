//! Uploads in parts: some are completed, some aborted, and some are left open, as clients do that never come back.

use anyhow::Result;
use aws_sdk_s3::{
    Client as Connection,
    types::{CompletedMultipartUpload, CompletedPart},
};

use crate::{
    client::Client,
    content::Content,
    failure::{Failure, answered},
    judgement::told,
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
        if self.random.chance(12) {
            self.note(slot, &format!("upload {} left open", upload.id));
            upload.is_whole = true;
            self.open.push(upload);
            return Ok(());
        }
        let all_sent = &upload;
        let ask = |connection: Connection| async move { complete(&connection, all_sent).await };
        let what = format!("complete {} of {content:?}", upload.id);
        let completed = self.attempt(slot, "complete", &what, ask).await?;
        if completed.is_none() {
            self.open.push(upload);
        }
        self.settle(slot, Some(content), completed.map(|((), failed)| failed))
    }

    async fn create(&mut self, slot: usize) -> Result<Option<String>> {
        let key = self.key(slot);
        let ask = |connection: Connection| {
            let request = connection.create_multipart_upload();
            let request = request.bucket(BUCKET).key(&key).send();
            async {
                let id = answered(limit(0), request).await?.upload_id;
                id.ok_or_else(|| Failure::named("no upload id"))
            }
        };
        let created = self.attempt(slot, "create upload", "create", ask).await?;
        Ok(created.map(|(id, _)| id))
    }

    async fn upload_part(
        &mut self,
        slot: usize,
        upload: &Upload,
        number: i32,
        bytes: bytes::Bytes,
    ) -> Result<Option<CompletedPart>> {
        let ask = |connection: Connection| {
            let request = connection.upload_part().bucket(BUCKET).key(&upload.key);
            let request = request.upload_id(&upload.id).part_number(number);
            let request = request.body(bytes.clone().into()).send();
            answered(limit(bytes.len()), request)
        };
        let what = format!("part {number} of {}", upload.id);
        let sent = self.attempt(slot, "upload part", &what, ask).await?;
        Ok(sent.map(|(answer, _)| {
            let part = CompletedPart::builder().part_number(number);
            part.set_e_tag(answer.e_tag).build()
        }))
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
