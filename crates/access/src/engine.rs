//! Policies, compiled once, and decisions by them.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    str::FromStr,
    sync::Arc,
};

use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Effect, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Request, RestrictedExpression,
    ValidationMode, Validator,
};
use thiserror::Error;
use time::{OffsetDateTime, UtcOffset, macros::format_description};

use crate::{
    action::{Action, Kind},
    audience::{Applying, Audience},
    decision::Decision,
    dependence::{MEMBERS, Member, Members},
    question::{Circumstances, Principal, Question, Resource, SessionFacts},
    remembered::{Asked, Remembered},
    rule::{Rule, RuleError},
    schema,
    slices::{Slice, Slices},
};

/// A file of Cedar policies.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Its name without directories, which stands before the ids of its policies.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// The identities that there are, each with the groups that it belongs to.
#[derive(Debug, Clone, Default)]
pub struct Principals(Vec<(String, Vec<String>)>);

impl Principals {
    /// Adds one.
    pub fn add(&mut self, identity: impl Into<String>, groups: impl IntoIterator<Item = String>) {
        self.0.push((identity.into(), groups.into_iter().collect()));
    }
}

/// Why policies were not taken. None of them is in force then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum PolicyError {
    #[error("the rule {id:?} {error}")]
    Rule { id: String, error: RuleError },
    #[error(
        "two policies are named {name:?}; give each a name of its own, in Cedar with @id(\"NAME\")"
    )]
    Duplicate { name: String },
    #[error("{file} is not a file of Cedar policies: {error}")]
    Syntax { file: String, error: String },
    #[error(
        "{file} holds a template, which nothing would ever fill in; write a policy without ?principal and ?resource"
    )]
    Template { file: String },
    #[error("a policy does not fit the schema: {error}")]
    Schema { error: String },
    #[error("the policies cannot be compiled: {error}")]
    Internal { error: String },
}

/// All policies, ready to decide.
pub struct Engine {
    authorizer: Authorizer,
    policies: PolicySet,
    /// Those about reading, circumstances apart.
    audience: Audience,
    /// What people call each policy.
    names: HashMap<PolicyId, Arc<str>>,
    types: Types,
    /// By index.
    actions: Vec<EntityUid>,
    identities: HashMap<String, (Slices, Entity)>,
    /// Of all identities to whom the same policies about reading apply, one.
    readers: Vec<String>,
    anonymous: (Slices, Entity),
    remembered: Remembered,
    warnings: Vec<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("policies", &self.policies.num_of_policies())
            .field("identities", &self.identities.len())
            .finish_non_exhaustive()
    }
}

/// The types of the schema's entities.
struct Types {
    action: EntityTypeName,
    anonymous: EntityTypeName,
    bucket: EntityTypeName,
    group: EntityTypeName,
    identity: EntityTypeName,
    object: EntityTypeName,
    service: EntityTypeName,
}

impl Types {
    fn new() -> Result<Self, PolicyError> {
        let of = |name: &str| EntityTypeName::from_str(name).map_err(|error| internal(&error));
        Ok(Self {
            action: of("Action")?,
            anonymous: of("Anonymous")?,
            bucket: of("Bucket")?,
            group: of("Group")?,
            identity: of("Identity")?,
            object: of("Object")?,
            service: of("Service")?,
        })
    }
}

/// The actions that show content, alone or together.
fn reading() -> impl Iterator<Item = Action> {
    Action::all().filter(|action| matches!(action.kind(), Kind::Read | Kind::Decrypt))
}

fn internal(error: &impl ToString) -> PolicyError {
    PolicyError::Internal {
        error: error.to_string(),
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

impl Engine {
    /// Compiles rules and files, checked against the schema.
    ///
    /// # Errors
    ///
    /// The first reason for which they cannot be in force.
    pub fn compile(
        principals: &Principals,
        rules: &[Rule],
        files: &[PolicyFile],
    ) -> Result<Self, PolicyError> {
        let mut sources = Sources::default();
        for rule in rules {
            sources.add_rule(rule)?;
        }
        for file in files {
            sources.add_file(file)?;
        }
        let schema = schema::schema().map_err(|error| PolicyError::Internal { error })?;
        let result = Validator::new(schema).validate(&sources.policies, ValidationMode::Strict);
        if let Some(error) = result.validation_errors().next() {
            return Err(PolicyError::Schema {
                error: error.to_string(),
            });
        }
        let mut warnings: Vec<_> = result
            .validation_warnings()
            .map(ToString::to_string)
            .collect();
        let types = Types::new()?;
        let mut identities = HashMap::new();
        for (number, (name, groups)) in (1..).zip(&principals.0) {
            let groups: Vec<_> = groups
                .iter()
                .map(|group| uid(&types.group, group))
                .collect();
            let principal = uid(&types.identity, name);
            let entity = Entity::new_no_attrs(principal.clone(), groups.iter().cloned().collect());
            let slices = Slices::new(number, principal, groups);
            identities.insert(name.clone(), (slices, entity));
        }
        warnings.extend(unknown_principals(&sources.policies, principals, &types));
        warnings.extend(rules.iter().filter_map(Rule::warning));
        let nobody = uid(&types.anonymous, "anonymous");
        let anonymous = (
            Slices::new(0, nobody.clone(), Vec::new()),
            Entity::with_uid(nobody),
        );
        let actions: Vec<_> = Action::all()
            .map(|action| uid(&types.action, action.name()))
            .collect();
        let reading: Vec<_> = reading()
            .filter_map(|action| actions.get(action.index()).cloned())
            .collect();
        let audience =
            Audience::of(&sources.policies, &reading).map_err(|error| internal(&error))?;
        let mut known = HashSet::new();
        let mut readers = Vec::new();
        for (name, _) in &principals.0 {
            if let Some((slices, _)) = identities.get(name)
                && known.insert(audience.known_by(slices.entities()))
            {
                readers.push(name.clone());
            }
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: sources.policies,
            audience,
            names: sources.names,
            actions,
            types,
            identities,
            readers,
            anonymous,
            remembered: Remembered::new(),
            warnings,
        })
    }

    /// What is allowed in the language but probably not meant: policies that never apply, names that nobody has.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds a warning of whoever asks: what they hold against policies before they ask, this engine does not know.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// How many Cedar policies are in force.
    pub fn policy_count(&self) -> usize {
        self.policies.num_of_policies()
    }

    /// The Cedar text of all policies of this name, for explanations.
    pub fn text(&self, name: &str) -> Vec<String> {
        let named = self.policies.policies().filter(|policy| {
            self.names
                .get(policy.id())
                .is_some_and(|known| **known == *name)
        });
        named.map(ToString::to_string).collect()
    }

    /// Decides.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        // Where nothing was evaluated, nothing is known of what forbids: not even a grant allows it.
        let unknown = |what: &str| Decision::new(false, Vec::new(), vec![what.to_owned()]);
        let Some((slices, entity)) = self.principal(question.principal) else {
            return unknown("the identity is not known");
        };
        let Some(action) = self.actions.get(question.action.index()) else {
            return unknown("the action is not known");
        };
        let Some(slice) = slices.get(question.action, action, &self.policies) else {
            return Decision::default_deny();
        };
        if slice.policies.is_empty() {
            return Decision::default_deny();
        }
        let Some(outcomes) = slice.dependence.outcomes(question.resource) else {
            return self.evaluate(slice, entity, action, question);
        };
        let (principal, resource) = (slices.number(), question.resource);
        let asked = Asked::new(principal, question.action, resource, outcomes);
        if let Some(decision) = self.remembered.get(&asked) {
            return decision;
        }
        let decision = self.evaluate(slice, entity, action, question);
        // Why one could not be made is about the one object.
        if decision.failures().is_empty() {
            self.remembered.insert(&asked, decision.clone());
        }
        decision
    }

    fn evaluate(
        &self,
        slice: &Slice,
        entity: &Entity,
        action: &EntityUid,
        question: &Question<'_>,
    ) -> Decision {
        let members = slice.dependence.members();
        let (request, entities) = match self.request(entity, action, question, members) {
            Ok(prepared) => prepared,
            Err(error) => return Decision::new(false, Vec::new(), vec![error]),
        };
        let response = self
            .authorizer
            .is_authorized(&request, &slice.policies, &entities);
        let failures: Vec<_> = response
            .diagnostics()
            .errors()
            .map(ToString::to_string)
            .collect();
        let mut policies: Vec<Arc<str>> = response
            .diagnostics()
            .reason()
            .filter_map(|id| self.names.get(id).cloned())
            .collect();
        policies.sort_unstable();
        policies.dedup();
        let allowed = response.decision() == CedarDecision::Allow && failures.is_empty();
        Decision::new(allowed, policies, failures)
    }

    /// Somebody who may ever read at one place and may not read at another in the same circumstances, if there is anybody. Where it cannot be told,
    /// there is. What comes from an old version is read as the newest one at its destination. The booleans of the places say whether `[[anonymous]]`
    /// opens them to requests without a signature, which never see old versions.
    pub fn gains(
        &self,
        (to, to_is_public): (Resource<'_>, bool),
        (from, from_is_public): (Resource<'_>, bool),
        is_old_version: bool,
    ) -> Option<String> {
        let readers = self.readers.iter();
        let signed = readers
            .filter_map(|name| self.identities.get_key_value(name))
            .map(|(name, identity)| (name.as_str(), identity, true));
        let unsigned = (
            "anybody without a signature",
            &self.anonymous,
            from_is_public && !is_old_version,
        );
        let mut all = signed.chain(to_is_public.then_some(unsigned));
        let gains = |identity: &(Slices, Entity), is_let_in: bool| {
            let at = |place, action| self.applying(identity, action, place);
            let decrypts = at(to, Action::DECRYPT);
            if decrypts.is_some_and(|applying| !applying.may_allow()) {
                return false;
            }
            !is_let_in
                || !reading().all(|action| {
                    let before = if is_old_version { action.of_version() } else { action };
                    matches!((at(to, action), at(from, before)), (Some(to), Some(from)) if to.allow_no_more_than(&from))
                })
        };
        let (name, ..) = all.find(|(_, identity, is_let_in)| gains(identity, *is_let_in))?;
        Some(name.to_owned())
    }

    /// Whether a policy forbids an identity to read at a place whatever the circumstances are, so that no grant allows it either.
    pub fn seals(&self, identity: &str, place: Resource<'_>) -> bool {
        let identity = self.identities.get(identity);
        let applying =
            identity.and_then(|identity| self.applying(identity, Action::DECRYPT, place));
        applying.is_some_and(|applying| applying.always_forbid())
    }

    fn applying(
        &self,
        (slices, entity): &(Slices, Entity),
        action: Action,
        place: Resource<'_>,
    ) -> Option<Applying<'_>> {
        let action = self.actions.get(action.index())?.clone();
        let (resource, resource_entity) = self.resource(place).ok()?;
        let entities = Entities::from_entities([entity.clone(), resource_entity], None).ok()?;
        let request = Request::new(entity.uid(), action, resource, Context::empty(), None).ok()?;
        let who: Vec<_> = slices.entities().collect();
        self.audience.applying(&who, &request, &entities)
    }

    /// Whether any policy could allow a principal an action on anything: what has none is refused before anything is read.
    pub fn may_anything(&self, principal: Principal<'_>, action: Action) -> bool {
        let (Some((slices, _)), Some(uid)) =
            (self.principal(principal), self.actions.get(action.index()))
        else {
            return false;
        };
        let slice = slices.get(action, uid, &self.policies);
        slice.is_some_and(|slice| {
            slice
                .policies
                .policies()
                .any(|policy| policy.effect() == Effect::Permit)
        })
    }

    fn principal(&self, principal: Principal<'_>) -> Option<&(Slices, Entity)> {
        match principal {
            Principal::Identity(name) => self.identities.get(name),
            Principal::Anonymous => Some(&self.anonymous),
        }
    }

    fn request(
        &self,
        principal: &Entity,
        action: &EntityUid,
        question: &Question<'_>,
        members: Members,
    ) -> Result<(Request, Entities), String> {
        let (resource, resource_entity) = self.resource(question.resource)?;
        let entities = Entities::from_entities([principal.clone(), resource_entity], None)
            .map_err(|error| error.to_string())?;
        let context = context(question.circumstances, members)?;
        let request = Request::new(principal.uid(), action.clone(), resource, context, None)
            .map_err(|error| error.to_string())?;
        Ok((request, entities))
    }

    fn resource(&self, resource: Resource<'_>) -> Result<(EntityUid, Entity), String> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let (uid, attributes, parents) = match resource {
            Resource::Service => {
                let uid = uid(&self.types.service, "s3");
                (uid, HashMap::new(), HashSet::new())
            }
            Resource::Bucket(bucket) => {
                let attributes = HashMap::from([("bucket".to_owned(), text(bucket))]);
                (uid(&self.types.bucket, bucket), attributes, HashSet::new())
            }
            Resource::Object { bucket, key } => {
                let attributes = HashMap::from([
                    ("bucket".to_owned(), text(bucket)),
                    ("key".to_owned(), text(key)),
                ]);
                let parents = HashSet::from([uid(&self.types.bucket, bucket)]);
                let name = format!("{bucket}/{key}");
                (uid(&self.types.object, &name), attributes, parents)
            }
        };
        let entity =
            Entity::new(uid.clone(), attributes, parents).map_err(|error| error.to_string())?;
        Ok((uid, entity))
    }
}

/// The circumstances as Cedar sees them, as far as policies look at them: addresses and times are written down and read again, which costs more than
/// most policies.
fn context(circumstances: &Circumstances, members: Members) -> Result<Context, String> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let mut pairs = Vec::new();
    for (name, member) in MEMBERS {
        if !members.contain(member) {
            continue;
        }
        let value = match member {
            Member::Source => {
                let source = circumstances.source.to_canonical().to_string();
                Some(RestrictedExpression::new_ip(source))
            }
            Member::Time => {
                let time = moment(circumstances.time)?;
                Some(RestrictedExpression::new_datetime(time))
            }
            Member::Weekday => Some(RestrictedExpression::new_long(circumstances.weekday())),
            Member::Tls => Some(RestrictedExpression::new_bool(circumstances.tls)),
            Member::Certificates => {
                let names = circumstances.certificates.iter();
                let names = names.map(|name| text(name));
                Some(RestrictedExpression::new_set(names))
            }
            Member::Grant => circumstances.grant.as_deref().map(text),
            Member::Prefix => circumstances.prefix.as_deref().map(text),
            Member::Session => match &circumstances.session {
                Some(session) => Some(session_record(session)?),
                None => None,
            },
        };
        pairs.extend(value.map(|value| (name.to_owned(), value)));
    }
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}

fn session_record(session: &SessionFacts) -> Result<RestrictedExpression, String> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let issued = RestrictedExpression::new_datetime(moment(session.issued)?);
    let facts = RestrictedExpression::new_record([
        ("name".to_owned(), text(&session.name)),
        ("source".to_owned(), text(&session.source)),
        ("issued".to_owned(), issued),
    ]);
    facts.map_err(|error| error.to_string())
}

fn moment(time: OffsetDateTime) -> Result<String, String> {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.checked_to_offset(UtcOffset::UTC)
        .ok_or_else(|| "the time is out of range".to_owned())?
        .format(format)
        .map_err(|error| error.to_string())
}

/// Names in policies that nobody has: harmless where they permit, but a misspelt name in what forbids forbids nothing.
fn unknown_principals(
    policies: &PolicySet,
    principals: &Principals,
    types: &Types,
) -> BTreeSet<String> {
    let groups: HashSet<&str> = principals
        .0
        .iter()
        .flat_map(|(_, groups)| groups.iter().map(String::as_str))
        .collect();
    let identities: HashSet<&str> = principals.0.iter().map(|(name, _)| name.as_str()).collect();
    let mut warnings = BTreeSet::new();
    for policy in policies.policies() {
        for literal in policy.entity_literals() {
            let id = literal.id().unescaped();
            if *literal.type_name() == types.identity && !identities.contains(id) {
                warnings.insert(format!(
                    "policies name the identity {id:?}, which there is not"
                ));
            }
            if *literal.type_name() == types.group && !groups.contains(id) {
                warnings.insert(format!(
                    "policies name the group {id:?}, to which nobody belongs"
                ));
            }
        }
    }
    warnings
}

/// What was read so far.
#[derive(Default)]
struct Sources {
    policies: PolicySet,
    names: HashMap<PolicyId, Arc<str>>,
    taken: BTreeSet<String>,
}

impl Sources {
    fn add_rule(&mut self, rule: &Rule) -> Result<(), PolicyError> {
        let failed = |error| PolicyError::Rule {
            id: rule.id.clone(),
            error,
        };
        let text = rule.to_cedar().map_err(failed)?;
        let set = PolicySet::from_str(&text).map_err(|error| internal(&error))?;
        self.take(&rule.id)?;
        for (number, policy) in set.policies().enumerate() {
            self.add(policy, format!("{}#{number}", rule.id), &rule.id)?;
        }
        Ok(())
    }

    fn add_file(&mut self, file: &PolicyFile) -> Result<(), PolicyError> {
        let set = PolicySet::from_str(&file.text).map_err(|error| PolicyError::Syntax {
            file: file.name.clone(),
            error: error.to_string(),
        })?;
        if set.num_of_templates() > 0 {
            return Err(PolicyError::Template {
                file: file.name.clone(),
            });
        }
        for policy in set.policies() {
            let own = policy
                .annotation("id")
                .map_or_else(|| policy.id().to_string(), str::to_owned);
            let name = format!("{}:{own}", file.name);
            self.take(&name)?;
            self.add(policy, name.clone(), &name)?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<(), PolicyError> {
        if self.taken.insert(name.to_owned()) {
            return Ok(());
        }
        Err(PolicyError::Duplicate {
            name: name.to_owned(),
        })
    }

    fn add(&mut self, policy: &Policy, id: String, name: &str) -> Result<(), PolicyError> {
        let id = PolicyId::new(id);
        self.names.insert(id.clone(), Arc::from(name));
        self.policies
            .add(policy.new_id(id))
            .map_err(|error| internal(&error))
    }
}

#[cfg(test)]
mod tests;
