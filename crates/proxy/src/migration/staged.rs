//! Replacing an object in a bucket without versions, where a write is the end of what was there.

use http::{HeaderMap, Method, StatusCode, header};
use sealgate_envelope::header::Header;

use super::{
    Failure, Migration, Outcome,
    body::{paced, relay},
    labels::{Labels, give_grants},
    one::{Attempt, Found, Original, Trouble, sealed_headers, tag_value},
    report::RUN_AGAIN,
    seal::Home,
    staged_copies::grants,
    store::{Stored, store},
    verify::{Located, read_all},
};
use crate::{
    entity_tag::EntityTag,
    error::S3Error,
    object::SealedHead,
    upstream::{MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
};

/// What lies under a key after a write.
enum InPlace {
    /// What was written, and every byte of it verifies.
    Verified,
    /// Something else, which somebody has written since.
    Overtaken,
    /// Nothing. A client has deleted it, or the storage has lost it: nobody can tell.
    Missing,
}

impl Migration {
    /// A sealed copy is staged in the state bucket and read back; then its bytes replace the object, if that is still the one that was read; and
    /// when that has been read back too, the staged copy goes.
    ///
    /// The copy goes at no other time than when the object under its key was verified, when it is certain that it was never written there, or when
    /// something else has taken the place, so that it can't be written there any more.
    pub(super) async fn replace(&self, original: &Original<'_>) -> Result<Attempt, Trouble> {
        let Some((sealing, body)) = self.seal(original).await? else {
            return Ok(Attempt::Changed);
        };
        let name = self.staged.new_name(original.key)?;
        let staged = self.staged_target(&name);
        let stored = store(
            self.gateway.state.upstream(),
            &staged,
            sealed_headers(&sealing.header)?,
            body,
            sealing.length,
            self.parts(),
        )
        .await;
        let stored = match sealing.ending.failure().map_or(stored, Err) {
            Ok(stored) => stored,
            Err(error) => {
                self.unstage(&[name]).await?;
                return Err(error.into());
            }
        };
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
            self.unstage(&[name]).await?;
            return Err(trouble);
        }
        if let Some(document) = original.labels.grants() {
            // They can be given again only after the write, which takes them away.
            let record = grants(&name);
            self.gateway.state.put(&record, document.clone()).await?;
        }
        let headers = original.successor_headers(&sealing.header)?;
        let put = self
            .put_staged(&staged, &stored.entity_tag, &original.target, headers)
            .await;
        if let Err(error) = put
            && let Some(ending) = self
                .after_failed_write(original, &sealing.header, &name, error)
                .await?
        {
            return Ok(ending);
        }
        let in_place = self
            .verify_in_place(original.key, &original.target, &sealing.header, &name)
            .await?;
        self.finish(original.key, &original.target, &name, &in_place)
            .await?;
        Ok(Attempt::Done(match in_place {
            InPlace::Verified => Outcome::Sealed(original.head.length),
            InPlace::Overtaken => return Ok(Attempt::Changed),
            InPlace::Missing => Outcome::Gone,
        }))
    }

    /// What an error of the write under the key means: none where the object is there all the same.
    async fn after_failed_write(
        &self,
        original: &Original<'_>,
        header: &Header,
        name: &str,
        error: S3Error,
    ) -> Result<Option<Attempt>, Trouble> {
        let was_refused = error.status.is_client_error();
        match self
            .look_at(&original.target, None, HeaderMap::new())
            .await?
        {
            Some(Found::Sealed(head, _)) if head.header == *header => Ok(None),
            Some(Found::Clear(head)) if head.entity_tag == original.head.entity_tag => {
                // Without a refusal it may still arrive, and then its copy is what the next attempt or run goes on from.
                if was_refused {
                    self.unstage(&[name.to_owned()]).await?;
                }
                Err(error.into())
            }
            Some(_) => {
                self.unstage(&[name.to_owned()]).await?;
                Ok(Some(Attempt::Changed))
            }
            None => Ok(Some(Attempt::Changed)),
        }
    }

    /// What a killed command left, or an attempt of this one whose answer got lost: a sealed object under its key, and staged copies.
    pub(super) async fn settle(
        &self,
        key: &str,
        target: &Target,
        head: &SealedHead,
    ) -> Result<(), Trouble> {
        for name in self.staged.of_key(key) {
            let is_its_copy = self
                .staged_header(&name)
                .await?
                .is_some_and(|header| header == head.header);
            if is_its_copy {
                let in_place = self
                    .verify_in_place(key, target, &head.header, &name)
                    .await?;
                self.finish(key, target, &name, &in_place).await?;
                return Ok(());
            }
        }
        // A client has written since, and so nothing of ours can be written there any more.
        self.unstage(&self.staged.of_key(key)).await?;
        Ok(())
    }

    /// The last step: the grants, and then the copies go, unless one of them may be all that is left of the object.
    async fn finish(
        &self,
        key: &str,
        target: &Target,
        name: &str,
        in_place: &InPlace,
    ) -> Result<(), S3Error> {
        match in_place {
            InPlace::Missing => return Ok(()),
            InPlace::Verified => {
                let state = &self.gateway.state;
                let document = state.get(&grants(name), MAX_DOCUMENT_LENGTH).await?;
                if let Some(document) = document {
                    give_grants(&self.gateway.upstream, target, None, document).await?;
                }
            }
            InPlace::Overtaken => {}
        }
        self.unstage(&self.staged.of_key(key)).await
    }

    /// Reads the object under its key back. If it is damaged, the staged copy is put there again, once.
    async fn verify_in_place(
        &self,
        key: &str,
        target: &Target,
        header: &Header,
        name: &str,
    ) -> Result<InPlace, Trouble> {
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
                Ok(read) if read.header == *header => return Ok(InPlace::Verified),
                Ok(_) => return Ok(InPlace::Overtaken),
                Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
                    return Err(error.into());
                }
                Err(error) => error,
            };
            let (head, headers) = match self.look_at(target, None, HeaderMap::new()).await? {
                None => return Ok(InPlace::Missing),
                Some(Found::Sealed(head, headers)) if head.header == *header => (head, headers),
                Some(_) => return Ok(InPlace::Overtaken),
            };
            if is_second {
                let cause = format!(
                    "the object under its key does not verify: {error}; its sealed copy stays in the state bucket as {name}"
                );
                return Err(Trouble::Lasting(Failure::new(cause, RUN_AGAIN)));
            }
            self.put_again(target, &head, &headers, name).await?;
            is_second = true;
        }
    }

    /// Puts a staged copy once more under the key where its like is damaged.
    async fn put_again(
        &self,
        target: &Target,
        in_place: &SealedHead,
        in_place_headers: &HeaderMap,
        name: &str,
    ) -> Result<(), S3Error> {
        let staged = self.staged_target(name);
        let request = UpstreamRequest::new(Method::HEAD, staged.clone());
        let answer = self.gateway.state.upstream().call(request).await?;
        let at_stage = SealedHead::read(&answer, None)?;
        if at_stage.header != in_place.header {
            return Err(S3Error::internal(
                "a staged copy is that of another object than the one under its key",
            ));
        }
        let upstream = &self.gateway.upstream;
        let mut headers = sealed_headers(&at_stage.header)?;
        headers.extend(
            Labels::read(upstream, target, None, in_place_headers)
                .await?
                .headers,
        );
        headers.insert(
            header::IF_MATCH,
            tag_value(&EntityTag::parse(&in_place.identity.entity_tag))?,
        );
        let tag = EntityTag::parse(&at_stage.identity.entity_tag);
        self.put_staged(&staged, &tag, target, headers)
            .await
            .map(drop)
    }

    /// The header of a staged copy; none if it is gone.
    async fn staged_header(&self, name: &str) -> Result<Option<Header>, S3Error> {
        let request = UpstreamRequest::new(Method::HEAD, self.staged_target(name));
        match self.gateway.state.upstream().call(request).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
            answer => Ok(Some(SealedHead::read(&answer?, None)?.header)),
        }
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
            self.parts(),
        )
        .await
    }

    async fn unstage(&self, names: &[String]) -> Result<(), S3Error> {
        self.staged.delete(&self.gateway.state, names).await
    }

    fn staged_target(&self, name: &str) -> Target {
        Target::object(self.gateway.state.name(), name)
    }
}
