//! What of a question the policies of a slice look at.
//!
//! Most say who may do what to which bucket, and to keys of which beginning. Such a decision depends on the bucket's name and on the outcomes of
//! those tests alone, so it is the same for all keys with the same outcomes, and need not be made anew for each. What looks at more, or in a way
//! that is not known here, is decided each time.

use cedar_policy::{Policy, PolicySet};
use serde_json::Value;

use crate::question::Resource;

/// Tests of the key that are kept in one number.
const MAX_TESTS: usize = 64;

/// A member of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Source,
    Time,
    Weekday,
    Tls,
    Certificates,
    Grant,
    Session,
    Prefix,
}

/// Their names in the schema.
pub(crate) const MEMBERS: [(&str, Member); 8] = [
    ("source", Member::Source),
    ("time", Member::Time),
    ("weekday", Member::Weekday),
    ("tls", Member::Tls),
    ("certificates", Member::Certificates),
    ("grant", Member::Grant),
    ("session", Member::Session),
    ("prefix", Member::Prefix),
];

/// Members of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Members(u8);

impl Members {
    pub(crate) const ALL: Self = Self(u8::MAX);
    const NONE: Self = Self(0);

    pub(crate) fn contain(self, member: Member) -> bool {
        self.0 & (1 << member as u8) != 0
    }

    fn is_none(self) -> bool {
        self == Self::NONE
    }

    fn add(&mut self, name: &str) {
        match MEMBERS.iter().find(|(known, _)| *known == name) {
            Some((_, member)) => self.0 |= 1 << *member as u8,
            None => *self = Self::ALL,
        }
    }
}

/// A test of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    BeginsWith(String),
}

impl Test {
    fn holds(&self, key: &str) -> bool {
        match self {
            Self::Is(text) => key == text,
            Self::BeginsWith(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

/// What the policies of a set look at, beside principal, action, and the kind and bucket of the resource.
#[derive(Debug)]
pub(crate) struct Dependence {
    members: Members,
    /// How they look at the key; `None`: in some other way.
    tests: Option<Vec<Test>>,
}

impl Dependence {
    pub(crate) fn of(policies: &PolicySet) -> Self {
        let mut dependence = Self {
            members: Members::NONE,
            tests: Some(Vec::new()),
        };
        for policy in policies.policies() {
            dependence.add(policy);
        }
        dependence
    }

    /// The members of the context that can be looked at.
    pub(crate) fn members(&self) -> Members {
        self.members
    }

    /// What distinguishes a resource from others of the same kind and bucket: equal for two, and decisions about them are. `None` where that
    /// cannot be said, or the circumstances count.
    pub(crate) fn outcomes(&self, resource: Resource<'_>) -> Option<u64> {
        let tests = self.tests.as_ref().filter(|_| self.members.is_none())?;
        let Resource::Object { key, .. } = resource else {
            return Some(0);
        };
        let set =
            |outcomes, (bit, test): (usize, &Test)| outcomes | u64::from(test.holds(key)) << bit;
        Some(tests.iter().enumerate().fold(0, set))
    }

    fn add(&mut self, policy: &Policy) {
        let Ok(document) = policy.to_json() else {
            self.members = Members::ALL;
            self.tests = None;
            return;
        };
        let scope = document.get("resource").unwrap_or(&Value::Null);
        if !is_known_scope(scope) {
            self.tests = None;
        }
        self.walk(document.get("conditions").unwrap_or(&Value::Null));
    }

    /// An expression, as Cedar writes it in JSON: `{ OPERATOR: OPERANDS }`.
    fn walk(&mut self, expression: &Value) {
        match expression {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => {
                for (operator, operands) in members {
                    self.operator(operator, operands);
                }
            }
            _ => {}
        }
    }

    fn operator(&mut self, operator: &str, operands: &Value) {
        let of = |name: &str| operands.get(name).unwrap_or(&Value::Null);
        let attribute = of("attr").as_str();
        match (operator, attribute) {
            ("Var", _) if operands == "context" => self.members = Members::ALL,
            ("Var", _) if operands == "resource" => self.tests = None,
            ("." | "has", Some(name)) if is_variable(of("left"), "context") => {
                self.members.add(name);
            }
            // Which kinds have which attributes is in the schema.
            (".", Some("bucket")) | ("has", Some(_)) if is_variable(of("left"), "resource") => {}
            ("like", _) if is_key(of("left")) => self.test(pattern(of("pattern"))),
            ("==", _) if is_key(of("left")) => self.test(literal(of("right"))),
            ("==", _) if is_key(of("right")) => self.test(literal(of("left"))),
            _ => self.walk(operands),
        }
    }

    fn test(&mut self, test: Option<Test>) {
        let (Some(tests), Some(test)) = (&mut self.tests, test) else {
            self.tests = None;
            return;
        };
        if tests.contains(&test) {
            return;
        }
        if tests.len() < MAX_TESTS {
            tests.push(test);
        } else {
            self.tests = None;
        }
    }
}

/// Whether a scope asks for no more than the kind and the bucket: `{ "op": "in", "entity": { "type": "Bucket", … } }`.
fn is_known_scope(scope: &Value) -> bool {
    let of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_bucket = |entity: Option<&Value>| {
        entity.is_none_or(|entity| of(entity, "type").as_deref() == Some("Bucket"))
    };
    match of(scope, "op").as_deref() {
        Some("All") => true,
        Some("==" | "in") => scope.get("entity").is_some() && is_bucket(scope.get("entity")),
        Some("is") => is_bucket(
            scope
                .get("in")
                .map(|inside| inside.get("entity").unwrap_or(&Value::Null)),
        ),
        _ => false,
    }
}

fn is_variable(expression: &Value, name: &str) -> bool {
    expression.get("Var").and_then(Value::as_str) == Some(name)
}

/// `resource.key`
fn is_key(expression: &Value) -> bool {
    expression.get(".").is_some_and(|access| {
        let of = |name: &str| access.get(name).unwrap_or(&Value::Null);
        is_variable(of("left"), "resource") && of("attr") == "key"
    })
}

fn literal(expression: &Value) -> Option<Test> {
    let text = expression.get("Value")?.as_str()?;
    Some(Test::Is(text.to_owned()))
}

/// A pattern without a wildcard, or with one at its end.
fn pattern(elements: &Value) -> Option<Test> {
    let mut text = String::new();
    let mut elements = elements.as_array()?.iter();
    while let Some(element) = elements.next() {
        if element == "Wildcard" {
            return elements.next().is_none().then_some(Test::BeginsWith(text));
        }
        text.push_str(element.get("Literal")?.as_str()?);
    }
    Some(Test::Is(text))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn of(conditions: &str) -> Dependence {
        let text = format!("permit (principal, action, resource) {conditions};");
        Dependence::of(&PolicySet::from_str(&text).unwrap())
    }

    fn tests(conditions: &str) -> Option<Vec<Test>> {
        of(conditions).tests
    }

    #[test]
    fn the_members_that_are_looked_at_are_known_and_all_of_them_where_they_are_not() {
        let members = |conditions: &str| {
            let members = of(conditions).members;
            let named = MEMBERS
                .iter()
                .filter(|(_, member)| members.contain(*member));
            named.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert!(members("when { resource.bucket == \"context\" }").is_empty());
        assert_eq!(
            members("when { context.tls } unless { context has grant }"),
            ["tls", "grant"]
        );
        assert_eq!(
            members(
                "when { if context.weekday > 5 then context.time.toTime() < duration(\"1h\") else true }"
            ),
            ["time", "weekday"]
        );
        assert_eq!(
            members("when { context has session && context.session.name == \"a\" }"),
            ["session"]
        );
        assert_eq!(
            members("when { (if true then context else context).tls }").len(),
            MEMBERS.len()
        );
        assert_eq!(members("when { context == {} }").len(), MEMBERS.len());
    }

    #[test]
    fn beginnings_and_whole_keys_are_tests_and_anything_else_is_not_known() {
        let begins = |text: &str| Test::BeginsWith(text.to_owned());
        assert_eq!(tests(""), Some(vec![]));
        assert_eq!(tests("when { resource.bucket like \"a*b\" }"), Some(vec![]));
        assert_eq!(
            tests(
                "when { resource.key like \"a/*\" || resource.key like \"b\\*c*\" } unless { resource.key like \"a/*\" }"
            ),
            Some(vec![begins("a/"), begins("b*c")])
        );
        let is = |text: &str| Test::Is(text.to_owned());
        assert_eq!(
            tests(
                "when { resource.key == \"a\" || \"b\" == resource.key || resource.key like \"c\" || resource has key }"
            ),
            Some(vec![is("a"), is("b"), is("c")])
        );
        for unknown in [
            "when { resource.key like \"*.pdf\" }",
            "when { resource.key like \"a*b*\" }",
            "when { resource.key < \"b\" }",
            "when { resource.key == resource.bucket }",
            "when { [\"a\", \"b\"].contains(resource.key) }",
            "when { resource == Object::\"b/k\" }",
            "when { resource in Bucket::\"b\" }",
            "when { {a: resource}.a.key == \"k\" }",
        ] {
            assert_eq!(tests(unknown), None, "{unknown}");
        }
        let many: Vec<_> = (0..=MAX_TESTS)
            .map(|n| format!("resource.key == \"{n}\""))
            .collect();
        assert_eq!(tests(&format!("when {{ {} }}", many.join(" || "))), None);
    }

    #[test]
    fn scopes_of_buckets_are_known_and_those_of_objects_are_not() {
        for (scope, is_known) in [
            ("resource", true),
            ("resource is Object", true),
            ("resource is Object in Bucket::\"b\"", true),
            ("resource in Bucket::\"b\"", true),
            ("resource == Bucket::\"b\"", true),
            ("resource == Object::\"b/k\"", false),
            ("resource in Object::\"b/k\"", false),
            ("resource is Object in Object::\"b/k\"", false),
        ] {
            let policies = PolicySet::from_str(&format!("permit (principal, action, {scope});"));
            let dependence = Dependence::of(&policies.unwrap());
            assert_eq!(dependence.tests.is_some(), is_known, "{scope}");
        }
    }
}
