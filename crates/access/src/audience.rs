//! Who may read at one place and not at another, whatever the circumstances are.
//!
//! A copy that its maker does not see must not let anybody read what they may not read where it comes from: not its maker at another time or under
//! another name, and nobody else. So policies are compared at both places, each split into what it says of places and what it says of circumstances.
//! Circumstances are the same wherever something lies: a policy that applies at both places applies at both or at neither.
//!
//! A permission that asks for a grant is left out: whoever may ask for one is for others to look at.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    Authorizer, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    Request,
};
use serde_json::{Value, json};

use crate::slices::may_speak_of;

/// A policy without what it says of the circumstances of a request.
struct Part {
    policy: Policy,
    /// What is left looks at the principal.
    tells_principals_apart: bool,
    /// What was left out, if anything was.
    circumstances: Option<Circumstances>,
}

/// What a policy says of the circumstances of a request.
struct Circumstances {
    /// It looks at the place as well, so that it may hold at one place and not at another.
    is_entangled: bool,
    /// It looks at the action as well.
    is_about_the_action: bool,
}

impl Part {
    fn is_conditional(&self) -> bool {
        self.circumstances.is_some()
    }

    /// Whether its circumstances are the same at another place, there perhaps for another action.
    fn is_the_same_elsewhere(&self, is_same_action: bool) -> bool {
        self.circumstances.as_ref().is_none_or(|left_out| {
            !left_out.is_entangled && (is_same_action || !left_out.is_about_the_action)
        })
    }
}

/// The policies that speak about reading.
pub(crate) struct Audience {
    parts: HashMap<PolicyId, Part>,
    /// Those that may be about anybody.
    of_all: Vec<PolicyId>,
    /// Those about one principal or group.
    of_one: HashMap<EntityUid, Vec<PolicyId>>,
    /// A condition looks at the principal, so that no two are alike.
    tells_principals_apart: bool,
}

/// What applies to one principal, one action and one place, if the circumstances are right.
pub(crate) struct Applying<'a> {
    action: EntityUid,
    permits: Vec<&'a Part>,
    forbids: Vec<&'a Part>,
}

impl Audience {
    /// Those of all policies that speak about one of these actions.
    ///
    /// # Errors
    ///
    /// Where a policy cannot be taken apart.
    pub(crate) fn of(policies: &PolicySet, actions: &[EntityUid]) -> Result<Self, String> {
        let mut audience = Self {
            parts: HashMap::new(),
            of_all: Vec::new(),
            of_one: HashMap::new(),
            tells_principals_apart: false,
        };
        for policy in policies.policies() {
            if !actions.iter().any(|action| may_speak_of(policy, action)) {
                continue;
            }
            let part = split(policy).map_err(|error| format!("{}: {error}", policy.id()))?;
            let Some(part) = part else {
                continue;
            };
            match policy.principal_constraint() {
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => {
                    audience.of_all.push(policy.id().clone());
                }
                PrincipalConstraint::In(entity)
                | PrincipalConstraint::IsIn(_, entity)
                | PrincipalConstraint::Eq(entity) => {
                    let of_entity = audience.of_one.entry(entity).or_default();
                    of_entity.push(policy.id().clone());
                }
            }
            audience.tells_principals_apart |= part.tells_principals_apart;
            audience.parts.insert(policy.id().clone(), part);
        }
        Ok(audience)
    }

    /// What policies know a principal by, of these entities: the same applies to two principals who are known by the same.
    pub(crate) fn known_by<'a>(
        &self,
        who: impl Iterator<Item = &'a EntityUid>,
    ) -> BTreeSet<EntityUid> {
        let is_known =
            |entity: &&EntityUid| self.tells_principals_apart || self.of_one.contains_key(*entity);
        who.filter(is_known).cloned().collect()
    }

    /// What applies to a request of somebody who is these entities: the principal and its groups. None where it cannot be told.
    pub(crate) fn applying<'a>(
        &'a self,
        who: &[&EntityUid],
        request: &Request,
        entities: &Entities,
    ) -> Option<Applying<'a>> {
        let named = who.iter().filter_map(|entity| self.of_one.get(entity));
        let ids: Vec<_> = self.of_all.iter().chain(named.flatten()).collect();
        let of = |effect: Effect| {
            let parts = ids.iter().filter_map(|id| self.parts.get(*id));
            let policies = parts.map(|part| &part.policy);
            let policies = policies.filter(|policy| policy.effect() == effect);
            let set = PolicySet::from_policies(policies.cloned()).ok()?;
            let response = Authorizer::new().is_authorized(request, &set, entities);
            let diagnostics = response.diagnostics();
            if diagnostics.errors().next().is_some() {
                return None;
            }
            let applying = diagnostics.reason().map(|id| self.parts.get(id));
            applying.collect::<Option<Vec<_>>>()
        };
        Some(Applying {
            action: request.action()?.clone(),
            permits: of(Effect::Permit)?,
            forbids: of(Effect::Forbid)?,
        })
    }
}

impl Applying<'_> {
    /// Whether this is forbidden whatever the circumstances are, also with a grant.
    pub(crate) fn always_forbid(&self) -> bool {
        self.forbids.iter().any(|part| !part.is_conditional())
    }

    /// Whether this may be allowed in some circumstances.
    pub(crate) fn may_allow(&self) -> bool {
        !self.permits.is_empty() && !self.always_forbid()
    }

    /// Whether what this allows at one place is allowed at another in the same circumstances, there perhaps by another action.
    pub(crate) fn allow_no_more_than(&self, there: &Self) -> bool {
        let is_same_action = self.action == there.action;
        let same = |part: &Part, others: &[&Part]| {
            let is_there = others
                .iter()
                .any(|other| other.policy.id() == part.policy.id());
            is_there && part.is_the_same_elsewhere(is_same_action)
        };
        let always = there.permits.iter().any(|part| !part.is_conditional());
        let permitted = always || self.permits.iter().all(|part| same(part, &there.permits));
        let forbidden = there.forbids.iter().all(|part| same(part, &self.forbids));
        !self.may_allow() || permitted && forbidden
    }
}

/// None for a permission that only a grant gives.
fn split(policy: &Policy) -> Result<Option<Part>, String> {
    let mut document = policy.to_json().map_err(|error| error.to_string())?;
    let mut none = Vec::new();
    let conditions = document.get_mut("conditions");
    let conditions = conditions.and_then(Value::as_array_mut);
    let conditions = conditions.unwrap_or(&mut none);
    let mut members = Vec::new();
    for condition in conditions.iter() {
        let body = condition.get("body").unwrap_or(&Value::Null);
        // What is asked for by `unless { a || b }` is that neither holds.
        let (kind, joint) = match condition.get("kind").and_then(Value::as_str) {
            Some("when") => ("when", "&&"),
            _ => ("unless", "||"),
        };
        collect(body, joint, &mut |member| {
            members.push((kind, member.clone()));
        });
    }
    if policy.effect() == Effect::Permit
        && members
            .iter()
            .any(|(kind, member)| *kind == "when" && is_for_a_grant(member))
    {
        return Ok(None);
    }
    let (left_out, kept): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|(_, member)| looks_at(member, "context"));
    let any_looks_at = |members: &[(&str, Value)], variable| {
        members.iter().any(|(_, member)| looks_at(member, variable))
    };
    let circumstances = (!left_out.is_empty()).then(|| Circumstances {
        is_entangled: any_looks_at(&left_out, "resource"),
        is_about_the_action: any_looks_at(&left_out, "action"),
    });
    let tells_principals_apart = any_looks_at(&kept, "principal");
    let policy = if circumstances.is_some() {
        *conditions = kept
            .into_iter()
            .map(|(kind, body)| json!({ "kind": kind, "body": body }))
            .collect();
        let id = PolicyId::new(policy.id());
        Policy::from_json(Some(id), document).map_err(|error| error.to_string())?
    } else {
        policy.clone()
    };
    Ok(Some(Part {
        policy,
        tells_principals_apart,
        circumstances,
    }))
}

/// The members of a chain of `&&` or `||`, in their order.
fn collect(expression: &Value, joint: &str, found: &mut impl FnMut(&Value)) {
    let sides = expression.get(joint);
    let of = |side| sides.and_then(|sides| sides.get(side));
    let (Some(left), Some(right)) = (of("left"), of("right")) else {
        found(expression);
        return;
    };
    collect(left, joint, found);
    collect(right, joint, found);
}

/// Whether an expression is `context has grant`, as Cedar writes it in JSON.
fn is_for_a_grant(expression: &Value) -> bool {
    *expression == json!({ "has": { "left": { "Var": "context" }, "attr": "grant" } })
}

/// Whether an expression looks at a variable: `{ "Var": NAME }`.
fn looks_at(expression: &Value, variable: &str) -> bool {
    match expression {
        Value::Object(members) => {
            members.get("Var").and_then(Value::as_str) == Some(variable)
                || members.values().any(|member| looks_at(member, variable))
        }
        Value::Array(items) => items.iter().any(|item| looks_at(item, variable)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn part(text: &str) -> Option<Part> {
        let policies = PolicySet::from_str(text).unwrap();
        split(policies.policies().next().unwrap()).unwrap()
    }

    #[test]
    fn what_is_said_of_circumstances_is_left_out_and_what_is_said_of_places_stays() {
        for (conditions, is_conditional, is_entangled, kept) in [
            ("", false, false, 0),
            ("when { resource.bucket == \"a\" }", false, false, 1),
            (
                "when { resource.bucket == \"a\" && context.tls }",
                true,
                false,
                1,
            ),
            (
                "when { resource.bucket == \"a\" } when { context.tls }",
                true,
                false,
                1,
            ),
            (
                "unless { resource.bucket == \"a\" || context.tls }",
                true,
                false,
                1,
            ),
            (
                "unless { resource.bucket == \"a\" && context.tls }",
                true,
                true,
                0,
            ),
            (
                "when { resource.bucket == \"a\" || context.tls }",
                true,
                true,
                0,
            ),
        ] {
            for effect in ["permit", "forbid"] {
                let part = part(&format!(
                    "{effect} (principal, action, resource) {conditions};"
                ))
                .unwrap();
                assert_eq!(part.is_conditional(), is_conditional, "{conditions}");
                assert_eq!(
                    part.circumstances
                        .as_ref()
                        .is_some_and(|left_out| left_out.is_entangled),
                    is_entangled,
                    "{conditions}"
                );
                let document = part.policy.to_json().unwrap();
                let conditions = document.get("conditions").and_then(Value::as_array);
                assert_eq!(conditions.map_or(0, Vec::len), kept, "{document}");
                assert!(!document.to_string().contains("context"), "{document}");
            }
        }
    }

    #[test]
    fn only_a_permission_that_always_asks_for_a_grant_is_left_out() {
        let left_out = |effect: &str, condition: &str| {
            part(&format!(
                "{effect} (principal, action, resource) {condition};"
            ))
            .is_none()
        };
        assert!(left_out("permit", "when { context has grant }"));
        assert!(left_out(
            "permit",
            "when { context.tls && context has grant && context.grant == \"g\" }"
        ));
        assert!(!left_out(
            "permit",
            "when { context has grant || context.tls }"
        ));
        assert!(!left_out("permit", "unless { context has grant }"));
        assert!(!left_out("forbid", "when { context has grant }"));
    }
}
