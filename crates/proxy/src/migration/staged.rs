//! Replacing an object in a bucket without versions, where a write is the end of what was there.

use http::{HeaderMap, Method, StatusCode, header};

use super::{
    Failure, Migration, Outcome,
    body::{paced, relay},
    one::{Attempt, Original, Trouble, sealed_headers, tag_value},
    report::RUN_AGAIN,
    seal::Home,
    store::{Stored, store},
    verify::{Located, is_gone, read_all},
};
use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    object::{ClearHead, SealedHead},
    upstream::{Answer, Target, UpstreamRequest},
};

impl Migration {
    /// A sealed copy is staged in the state bucket and read back; then its bytes replace the object, if that is still the one that was read; and
    /// when that has been read back too, the staged copy goes.
    pub(super) async fn replace(&self, original: &Original<'_>) -> Result<Attempt, Trouble> {
        let staged = self.staged_target(original.key);
        let Some((sealing, body)) = self.seal(original).await? else {
            return Ok(Attempt::Changed);
        };
        let stored = store(
            self.gateway.state.upstream(),
            &staged,
            sealed_headers(&sealing.header)?,
            body,
            sealing.length,
            self.settings.part_length,
        )
        .await;
        let stored = sealing.ending.failure().map_or(stored, Err)?;
        self.note_staged_copy(original.key);
        let verified = sealing.ending.verified()?;
        let at_stage = Located {
            upstream: self.gateway.state.upstream(),
            target: &staged,
            version_id: stored.version_id.as_deref(),
            entity_tag: Some(&stored.entity_tag),
        };
        let compared = match original.check(&verified) {
            Ok(()) => self.compare(&at_stage, original, &sealing, &verified).await,
            Err(failure) => Err(failure.into()),
        };
        if let Err(trouble) = compared {
            self.unstage(original.key).await?;
            return Err(trouble);
        }
        let headers = original.successor_headers(&sealing.header)?;
        let put = self
            .put_staged(&staged, &stored.entity_tag, &original.target, headers)
            .await;
        if let Err(error) = put {
            match self.head(&original.target).await? {
                // The answer got lost; the object is there.
                Some(Found::Sealed(head)) if head.header == sealing.header => {}
                Some(Found::Clear(head)) if head.entity_tag == original.head.entity_tag => {
                    self.unstage(original.key).await?;
                    return Err(error.into());
                }
                _ => {
                    self.unstage(original.key).await?;
                    return Ok(Attempt::Changed);
                }
            }
        }
        self.verify_in_place(original.key, &original.target).await?;
        original
            .labels
            .restore_grants(&self.gateway.upstream, &original.target, None)
            .await?;
        self.unstage(original.key).await?;
        Ok(Attempt::Done(Outcome::Sealed(original.head.length)))
    }

    /// What a killed command left: a sealed object under its key, and its staged copy.
    pub(super) async fn settle(&self, key: &str, target: &Target) -> Result<(), Trouble> {
        self.verify_in_place(key, target).await?;
        self.unstage(key).await?;
        Ok(())
    }

    /// Reads the object under its key back. If it is damaged and the staged copy is its like, that one is put there again, once.
    async fn verify_in_place(&self, key: &str, target: &Target) -> Result<(), Trouble> {
        let rule = self.rule(key);
        let home = Home { rule: &rule, key };
        let located = Located {
            upstream: &self.gateway.upstream,
            target,
            version_id: None,
            entity_tag: None,
        };
        let mut is_second = false;
        loop {
            let read = read_all(&self.gateway, self.permit, &located, home, &self.pace).await;
            let error = match read {
                Ok(_) => return Ok(()),
                // A client has deleted it, or it is being replaced: no longer ours.
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
                    return Err(error.into());
                }
                Err(error) => error,
            };
            if is_second || !self.put_again(key, target).await? {
                let cause = format!(
                    "the object under its key does not verify: {error}; its sealed copy stays in the state bucket as {}",
                    self.staged_name(key)
                );
                return Err(Trouble::Lasting(Failure::new(cause, RUN_AGAIN)));
            }
            is_second = true;
        }
    }

    /// Puts the staged copy under its key once more, if what lies there has the same header.
    async fn put_again(&self, key: &str, target: &Target) -> Result<bool, S3Error> {
        let staged = self.staged_target(key);
        let request = UpstreamRequest::new(Method::HEAD, staged.clone());
        let at_stage = match self.gateway.state.upstream().call(request).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(false),
            answer => SealedHead::read(&answer?, None)?,
        };
        let Some(Found::Sealed(in_place)) = self.head(target).await? else {
            return Ok(false);
        };
        if in_place.header != at_stage.header {
            return Ok(false);
        }
        let mut headers = sealed_headers(&at_stage.header)?;
        headers.insert(
            header::IF_MATCH,
            tag_value(&EntityTag::parse(&in_place.identity.entity_tag))?,
        );
        let tag = EntityTag::parse(&at_stage.identity.entity_tag);
        self.put_staged(&staged, &tag, target, headers).await?;
        Ok(true)
    }

    /// Stores the bytes of a staged copy under the key that they are for.
    async fn put_staged(
        &self,
        staged: &Target,
        entity_tag: &EntityTag,
        target: &Target,
        headers: HeaderMap,
    ) -> Result<Stored, S3Error> {
        let request = UpstreamRequest::new(Method::GET, staged.clone())
            .header(header::IF_MATCH, tag_value(entity_tag)?);
        let answer = self.gateway.state.upstream().call(request).await?;
        let length = answer.content_length().ok_or_else(|| {
            S3Error::stored_data("the storage does not say how long a staged copy is")
        })?;
        let body = paced(relay(answer.into_parts().1), self.pace.clone());
        store(
            &self.gateway.upstream,
            target,
            headers,
            body,
            length,
            self.settings.part_length,
        )
        .await
    }

    async fn unstage(&self, key: &str) -> Result<(), S3Error> {
        self.gateway.state.delete(&[self.staged_name(key)]).await?;
        self.forget_staged_copy(key);
        Ok(())
    }

    /// What lies under a key now; none where there is nothing.
    async fn head(&self, target: &Target) -> Result<Option<Found>, S3Error> {
        let request = UpstreamRequest::new(Method::HEAD, target.clone());
        let answer = match self.gateway.upstream.call(request).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(None),
            answer => answer?,
        };
        Found::read(&answer).map(Some)
    }
}

/// What lies under a key.
enum Found {
    Clear(Box<ClearHead>),
    Sealed(Box<SealedHead>),
}

impl Found {
    fn read(answer: &Answer) -> Result<Self, S3Error> {
        match ClearHead::read(answer, None)? {
            Some(head) => Ok(Self::Clear(Box::new(head))),
            None => SealedHead::read(answer, None).map(|head| Self::Sealed(Box::new(head))),
        }
    }
}
