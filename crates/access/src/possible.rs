//! What may ever be allowed: policies without what they say of the circumstances of a request.
//!
//! Whoever may not read an object now, from here, may be allowed to tomorrow, from there. Where that matters, a decision of the moment is not
//! enough. What permits is taken as if every condition on the circumstances held, what forbids counts only where it has none. A permission that takes
//! a grant is left out: others have to approve it first, and that is recorded.

use cedar_policy::{Effect, Policy, PolicyId, PolicySet};
use serde_json::Value;

/// Those policies.
///
/// # Errors
///
/// Where a policy cannot be taken apart.
pub(crate) fn without_circumstances(policies: &PolicySet) -> Result<PolicySet, String> {
    let mut possible = PolicySet::new();
    for policy in policies.policies() {
        if let Some(policy) = reduced(policy)? {
            possible.add(policy).map_err(|error| error.to_string())?;
        }
    }
    Ok(possible)
}

fn reduced(policy: &Policy) -> Result<Option<Policy>, String> {
    let mut document = policy.to_json().map_err(|error| error.to_string())?;
    let Some(conditions) = document.get_mut("conditions").and_then(Value::as_array_mut) else {
        return Ok(Some(policy.clone()));
    };
    if policy.effect() == Effect::Permit && conditions.iter().any(asks_for_a_grant) {
        return Ok(None);
    }
    let before = conditions.len();
    conditions.retain(|condition| !speaks_of_circumstances(condition));
    match (conditions.len() == before, policy.effect()) {
        (true, _) => Ok(Some(policy.clone())),
        (false, Effect::Forbid) => Ok(None),
        (false, Effect::Permit) => {
            let id = PolicyId::new(policy.id());
            Policy::from_json(Some(id), document)
                .map(Some)
                .map_err(|error| error.to_string())
        }
    }
}

/// Whether an expression looks at the grant: `{ "has": { "left": …, "attr": "grant" } }`, or `"."` for `"has"`. Nothing else of the schema has that name.
fn asks_for_a_grant(expression: &Value) -> bool {
    match expression {
        Value::Object(members) => {
            members.get("attr").and_then(Value::as_str) == Some("grant")
                || members.values().any(asks_for_a_grant)
        }
        Value::Array(items) => items.iter().any(asks_for_a_grant),
        _ => false,
    }
}

/// Whether an expression, as Cedar writes it in JSON, looks at the context: `{ "Var": "context" }`.
fn speaks_of_circumstances(expression: &Value) -> bool {
    match expression {
        Value::Object(members) => {
            members.get("Var").and_then(Value::as_str) == Some("context")
                || members.values().any(speaks_of_circumstances)
        }
        Value::Array(items) => items.iter().any(speaks_of_circumstances),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn conditions_on_the_circumstances_fall_and_those_on_places_stay() {
        let policies = PolicySet::from_str(
            "permit (principal, action, resource) when { resource.bucket == \"a\" } when { context.tls };\n\
             permit (principal, action, resource) when { resource.bucket == \"b\" } unless { context.time > datetime(\"2027-01-01\") };\n\
             permit (principal, action, resource) when { context has grant && context.grant == \"g\" };\n\
             forbid (principal, action, resource) unless { context.tls };\n\
             forbid (principal, action, resource) when { resource.bucket == \"c\" };",
        )
        .unwrap();
        let possible = without_circumstances(&policies).unwrap();
        let mut texts: Vec<_> = possible
            .policies()
            .map(|policy| policy.to_json().unwrap().to_string())
            .collect();
        texts.sort();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(
            texts.iter().all(|text| !text.contains("context")),
            "{texts:?}"
        );
        assert_eq!(
            texts
                .iter()
                .filter(|text| text.contains("\"forbid\""))
                .count(),
            1
        );
        for bucket in ["\"a\"", "\"b\"", "\"c\""] {
            assert!(
                texts.iter().any(|text| text.contains(bucket)),
                "{bucket} {texts:?}"
            );
        }
    }
}
