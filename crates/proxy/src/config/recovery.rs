//! `[recovery]`: the offline key that opens everything on the day when no key service is left.

use sealgate_envelope::key_service::recovery::RecoveryPublicKey;

use super::secret::{Secret, Surroundings};
use super::table::{Table, Value};

/// For whom working keys are wrapped beside the key services, and as whom: in `[recovery]` for all domains, in
/// `recovery = { … }` of a `[[domain]]` for that one.
#[derive(Clone, Debug)]
pub struct RecoveryConfig {
    /// The public part of the recovery key; its private part is offline.
    pub public_key: RecoveryPublicKey,
    /// What proves to the recovery key that this deployment wrapped. It opens nothing.
    pub sender_key: Secret,
    /// The public part of the sender key that the recovery key believes: with another one every wrap would be in vain, and nobody would know
    /// before the worst day. None in configurations that were written before there was this check.
    pub sender: Option<RecoveryPublicKey>,
}

impl RecoveryConfig {
    /// Whether both name the same recovery key, or there is none.
    pub(super) fn is_same(one: Option<&Self>, other: Option<&Self>) -> bool {
        one.map(|one| one.public_key) == other.map(|other| other.public_key)
    }
}

/// Reads `recovery` of a `[[domain]]`: a table, or `false` for none.
#[expect(
    clippy::option_option,
    reason = "the outer one says, as everywhere here, whether it could be read"
)]
pub(super) fn read_of_domain(
    value: &Value<'_>,
    surroundings: Surroundings<'_>,
) -> Option<Option<RecoveryConfig>> {
    if value.is_boolean() {
        if value.boolean()? {
            return value.problem(
                "says nothing: a domain has the key of [recovery] anyway",
                "remove the line, or write recovery = { public_key = \"KEY\", sender_key = \"file:PATH\" }",
            );
        }
        return Some(None);
    }
    read(value.table()?, surroundings).map(Some)
}

pub(super) fn read(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<RecoveryConfig> {
    let public_key = table
        .require_text(
            "public_key",
            "public_key = \"KEY\"; `sealgate recovery init` prints it",
        )
        .and_then(|value| read_public_key(&value));
    let sender = match table.take("sender") {
        Some(value) => read_public_key(&value).map(Some),
        None => Some(None),
    };
    let sender_key = table
        .require_text("sender_key", "sender_key = \"file:PATH\" or \"env:NAME\"")
        .and_then(|value| surroundings.secret(&value));
    table.finish();
    Some(RecoveryConfig {
        public_key: public_key?,
        sender_key: sender_key?,
        sender: sender?,
    })
}

fn read_public_key(value: &Value<'_>) -> Option<RecoveryPublicKey> {
    match value.text()?.parse() {
        Ok(key) => Some(key),
        Err(_) => value.problem(
            "not a public key",
            "write the 43 characters that `sealgate recovery init` printed",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GOOD, parse};

    const DEPLOYMENT: &str = "GkeHFtY8suFnhu6TAESG3BUemIs0tHUEPT4BdbsBxEQ";
    const ALICE: &str = "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08";

    fn with(domains: &str) -> Result<super::super::Config, super::super::ConfigError> {
        parse(&format!(
            "{domains}\n{GOOD}\n[recovery]\npublic_key = \"{DEPLOYMENT}\"\nsender_key = \"env:APP_SECRET\"\n"
        ))
    }

    #[test]
    fn a_domain_may_have_a_recovery_key_of_its_own_or_none() {
        let own = format!("{{ public_key = \"{ALICE}\", sender_key = \"env:APP_SECRET\" }}");
        let config = with(&format!(
            "domain = [\n\
             {{ buckets = [\"data\"], prefix = \"alice/\", name = \"acme/alice\", former = [\"old\"], recovery = {own} }},\n\
             {{ buckets = [\"data\"], prefix = \"bob/\", name = \"acme/bob\", recovery = false }},\n\
             {{ buckets = [\"c\"], suite = \"chacha20-poly1305\" }}]"
        ))
        .unwrap();
        let key = |name: &str| {
            let found = config.recovery_of_domain(name);
            found.map(|recovery| recovery.public_key.to_string())
        };
        for (name, expected) in [
            ("acme/alice", Some(ALICE)),
            ("old", Some(ALICE)),
            ("acme/bob", None),
            ("test-1/data", Some(DEPLOYMENT)),
            ("test-1/c", Some(DEPLOYMENT)),
        ] {
            assert_eq!(key(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_recovery_key_that_says_nothing_or_contradicts_is_refused() {
        let own =
            format!("recovery = {{ public_key = \"{ALICE}\", sender_key = \"env:APP_SECRET\" }}");
        for (domains, message) in [
            (
                "domain = [{ buckets = [\"a\"], recovery = true }]".to_owned(),
                "says nothing",
            ),
            (
                format!("domain = [{{ buckets = [\"a\"], prefix = \"x/\", {own} }}]"),
                "another recovery key",
            ),
            (
                format!(
                    "domain = [{{ buckets = [\"a\"], name = \"d\", {own} }}, {{ buckets = [\"b\"], name = \"d\" }}]"
                ),
                "another recovery key",
            ),
        ] {
            let problems = with(&domains).unwrap_err().problems;
            let [problem] = problems.as_slice() else {
                panic!("{problems:?}");
            };
            assert!(problem.message.contains(message), "{problem:?}");
        }
    }
}
