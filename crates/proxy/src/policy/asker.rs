//! One caller's questions: whether a thing may be done at a place, and whether what is copied unseen stays unseen.

use std::sync::Arc;

use sealgate_access::{Action, Circumstances, Decision, Engine, Principal, Question, Resource};

use super::needs::Source;
use crate::{error::S3Error, grants::Granted, object_key::aliases};

/// A decision against, with the names of the policies that forbade it: for the audit log, and never for the answer.
#[derive(Debug)]
pub struct Refusal {
    /// What the client is told.
    pub error: S3Error,
    /// Which policies decided; none where no policy allows it.
    pub policies: Vec<Arc<str>>,
}

/// What is said beside policies of who may read at a place. It matters to copies that their maker does not see.
pub(crate) trait Audience {
    /// Whether `[[anonymous]]` lets anybody read an object.
    fn is_public(&self, bucket: &str, key: &str) -> bool;

    /// Under which names the person behind the request may ask for a grant: its own, that of who has assumed it, and those of roles.
    fn requesters(&self) -> Vec<String>;
}

/// Who asks, and under which circumstances.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// None where there is no policy: then the grant alone decides.
    pub(super) engine: Option<Arc<Engine>>,
    /// With a grant, nothing else gives rights than its scope.
    pub(super) granted: Option<Granted>,
    /// None for nobody.
    pub(super) identity: Option<Arc<str>>,
    pub(super) circumstances: Circumstances,
}

/// A bucket, or an object in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) bucket: Option<&'a str>,
    pub(super) key: Option<&'a str>,
}

impl Source {
    fn place(&self) -> Place<'_> {
        Place {
            bucket: Some(&self.bucket),
            key: Some(&self.key),
        }
    }
}

impl<'a> Place<'a> {
    fn resource(self) -> Resource<'a> {
        match (self.bucket, self.key) {
            (None, _) => Resource::Service,
            (Some(bucket), None) => Resource::Bucket(bucket),
            (Some(bucket), Some(key)) => Resource::Object { bucket, key },
        }
    }
}

impl Asker {
    pub(super) fn decide(&self, action: Action, place: Place<'_>) -> Decision {
        self.decide_in(action, place, &self.circumstances)
    }

    /// Decides about a place, and about what else a storage may take it for: all of it has to be allowed.
    pub(super) fn decide_in(
        &self,
        action: Action,
        place: Place<'_>,
        circumstances: &Circumstances,
    ) -> Decision {
        let decision = self.decide_of_one(action, place, circumstances);
        if !decision.is_allowed() {
            return decision;
        }
        let named = place.key.or(circumstances.prefix.as_deref());
        for alias in aliases(named.unwrap_or_default()) {
            let other = if place.key.is_some() {
                let place = Place {
                    key: Some(&alias),
                    ..place
                };
                self.decide_of_one(action, place, circumstances)
            } else {
                let circumstances = Circumstances {
                    prefix: Some(alias),
                    ..circumstances.clone()
                };
                self.decide_of_one(action, place, &circumstances)
            };
            if !other.is_allowed() {
                return other;
            }
        }
        decision
    }

    fn decide_of_one(
        &self,
        action: Action,
        place: Place<'_>,
        circumstances: &Circumstances,
    ) -> Decision {
        if let Some(granted) = &self.granted {
            // The scope of a listing is its prefix.
            let of_listing = place.key.or(circumstances.prefix.as_deref());
            let bucket = place.bucket.unwrap_or_default();
            if !granted.allows(action, bucket, of_listing.unwrap_or_default()) {
                return Decision::default_deny();
            }
        }
        let decision = match &self.engine {
            Some(engine) => engine.decide(&Question {
                principal: self.principal(),
                action,
                resource: place.resource(),
                circumstances,
            }),
            None => Decision::default_deny(),
        };
        match &self.granted {
            Some(granted) => decision.granted(granted.id()),
            None => decision,
        }
    }

    fn principal(&self) -> Principal<'_> {
        match &self.identity {
            Some(name) => Principal::Identity(name),
            None => Principal::Anonymous,
        }
    }

    /// Requires that the caller may know whether an object is there, and which one: by reading it, or by its name in a listing.
    pub(super) fn require_sight(&self, place: Place<'_>) -> Result<(), Refusal> {
        if self.decide(Action::GET_OBJECT, place).is_allowed() {
            return Ok(());
        }
        let circumstances = Circumstances {
            prefix: Some(place.key.unwrap_or_default().to_owned()),
            ..self.circumstances.clone()
        };
        let of_bucket = Place { key: None, ..place };
        if self
            .decide_in(Action::LIST_BUCKET, of_bucket, &circumstances)
            .is_allowed()
        {
            return Ok(());
        }
        Err(Refusal {
            error: self.refusal(Action::GET_OBJECT, place),
            policies: Vec::new(),
        })
    }

    pub(super) fn copies_tags(&self, source: &Source, destination: Place<'_>) -> bool {
        let place = source.place();
        self.decide(Action::GET_OBJECT_TAGGING, place).is_allowed()
            && self
                .decide(Action::PUT_OBJECT_TAGGING, destination)
                .is_allowed()
    }

    pub(super) fn may_delete_anything(&self) -> bool {
        [Action::DELETE_OBJECT, Action::DELETE_OBJECT_VERSION]
            .into_iter()
            .any(|action| match (&self.granted, &self.engine) {
                (Some(granted), _) => granted.has(action),
                (None, Some(engine)) => engine.may_anything(self.principal(), action),
                (None, None) => true,
            })
    }

    /// Requires that nobody may read a copy who may not read its source: neither the caller in any way, nor anybody else. Tells the log alone why it
    /// may not be made.
    fn require_no_gain(
        &self,
        source: &Source,
        destination: Place<'_>,
        audience: &impl Audience,
    ) -> Result<(), String> {
        let from = source.place();
        // Of an object that is made anew in its own place, nothing changes; an old version would become the newest one.
        if (from.bucket, from.key) == (destination.bucket, destination.key) && !source.is_version {
            return Ok(());
        }
        // By itself or by its grant: whoever has one copies nothing unseen.
        let (Some(engine), None) = (&self.engine, &self.granted) else {
            return Err("with a grant, nothing is copied unseen".to_owned());
        };
        let is_public = |place: Place<'_>| matches!((place.bucket, place.key), (Some(bucket), Some(key)) if audience.is_public(bucket, key));
        let to = destination.resource();
        if let Some(name) = engine.gains(
            (to, is_public(destination)),
            (from.resource(), is_public(from)),
            source.is_version,
        ) {
            return Err(format!(
                "{name} may read the destination of the copy, and not its source in the same circumstances"
            ));
        }
        // Approvers of a grant for the destination do not know where its content comes from.
        let may_ask = audience.requesters();
        let asks = may_ask.iter().find(|name| !engine.seals(name, to));
        asks.map_or(Ok(()), |name| {
            Err(format!(
                "whoever makes the copy may ask for a grant as {name}, which may be for the destination of the copy and not for its source"
            ))
        })
    }

    pub(super) fn require(
        &self,
        action: Action,
        place: Place<'_>,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let decision = self.decide(action, place);
        let policies = decision.policies().to_vec();
        if decision.is_allowed() {
            return Ok(policies);
        }
        let others = aliases(place.key.unwrap_or_default());
        let why = if others.is_empty() {
            decision.to_string()
        } else {
            format!(
                "{decision}; a storage may take the key for one of {others:?}, about which the same is decided"
            )
        };
        Err(Refusal {
            error: self.refusal(action, place).with_detail(why),
            policies,
        })
    }

    /// Decides about the source of a copy. The second is whether the caller may not see what is copied.
    pub(super) fn require_source(
        &self,
        source: &Source,
        destination: Place<'_>,
        audience: &impl Audience,
    ) -> Result<(Vec<Arc<str>>, bool), Refusal> {
        let place = source.place();
        let reads = self.require(source.read, place).and_then(|mut policies| {
            policies.extend(self.require(Action::DECRYPT, place)?);
            Ok(policies)
        });
        let error = match reads {
            Ok(policies) => return Ok((policies, false)),
            Err(error) => error,
        };
        let copies = self.decide(Action::COPY, place);
        if !source.may_stay_unseen || !copies.is_allowed() {
            return Err(error);
        }
        match self.require_no_gain(source, destination, audience) {
            Ok(()) => Ok((copies.policies().to_vec(), true)),
            Err(why) => Err(Refusal {
                error: error.error.with_detail(why),
                policies: error.policies,
            }),
        }
    }

    /// As AWS says it, without a word of policies.
    pub(super) fn refusal(&self, action: Action, place: Place<'_>) -> S3Error {
        let who = self.identity.as_deref().unwrap_or("anonymous");
        S3Error::access_denied(format!(
            "User: {who} is not authorized to perform: {action} on resource: \"{}\"",
            place.resource().arn()
        ))
    }
}
