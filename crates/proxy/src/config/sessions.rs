//! `[sessions]` and `[[role]]`: credentials that live for hours at most.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sealgate_access::token::{SECRET_MINIMUM, TokenKeys};

use super::identity::{IdentityConfig, checked_name, read_groups};
use super::secret::Surroundings;
use super::table::{Table, Value, read_each};
use super::web_identity::{self, TrustConfig, WebIdentityProviderConfig};

/// The shortest that anything may last which somebody asks for, as AWS STS has it.
pub(crate) const SHORTEST: Duration = Duration::from_mins(15);

/// The longest session of an identity, as AWS STS has it (GetSessionToken, `DurationSeconds`).
const LONGEST_OF_IDENTITY: Duration = Duration::from_hours(36);

/// The longest session of a role, as AWS STS has it (AssumeRole, `DurationSeconds`).
const LONGEST_OF_ROLE: Duration = Duration::from_hours(12);

/// The most secrets: each is tried for a token.
const SECRETS_LIMIT: usize = 4;

/// What makes and opens session tokens.
#[derive(Clone, Debug)]
pub struct SessionsConfig {
    /// Derived from the secrets. The first makes tokens, all of them open some.
    pub keys: Arc<TokenKeys>,
    /// How long a session of an identity may last.
    pub max_duration: Duration,
}

/// Somebody's rights for a while: a name that policies know like that of an identity, and that has no access key of its own.
#[derive(Clone, Debug)]
pub struct RoleConfig {
    /// Its name, which no identity has.
    pub name: String,
    /// The groups that it belongs to, to which policies may give rights.
    pub groups: Vec<String>,
    /// The identities that may assume it.
    pub identities: Vec<String>,
    /// Whose web identities may assume it.
    pub web_identities: Vec<TrustConfig>,
    /// How long a session may last.
    pub max_duration: Duration,
}

/// Who gets credentials for a while.
#[derive(Clone, Debug, Default)]
pub struct ShortLivedConfig {
    /// What makes and opens session tokens, if anything.
    pub sessions: Option<SessionsConfig>,
    /// What identities and web identities may become.
    pub roles: Vec<RoleConfig>,
    /// Whose word is taken for who somebody is.
    pub providers: Vec<WebIdentityProviderConfig>,
}

/// Reads all of it.
pub(super) fn read(
    root: &mut Table<'_>,
    deployment: Option<&str>,
    identities: &[IdentityConfig],
    surroundings: Surroundings<'_>,
) -> Option<ShortLivedConfig> {
    let sessions = match root.take("sessions") {
        Some(value) => value
            .table()
            .and_then(|table| read_sessions(table, deployment, surroundings))
            .map(Some),
        None => Some(None),
    };
    let providers = web_identity::read_all(root, surroundings);
    let tables = root.tables("role");
    let count = tables.len();
    if count > 0 && matches!(sessions, Some(None)) {
        root.problem::<()>(
            "there are roles, and nothing to make their sessions with",
            "add [sessions] with secrets = [\"file:session-secret\"], the same on every replica",
        );
    }
    let mut names: BTreeSet<&str> = identities.iter().map(|one| one.name.as_str()).collect();
    let mut roles = Vec::new();
    for table in tables {
        let known = providers.as_deref().unwrap_or_default();
        roles.extend(read_role(table, identities, known));
    }
    for role in &roles {
        if !names.insert(&role.name) {
            root.problem::<()>(
                format!("the name of the role {:?} is taken", role.name),
                "give each role and each identity a name of its own",
            );
            return None;
        }
    }
    (roles.len() == count).then_some(())?;
    Some(ShortLivedConfig {
        sessions: sessions?,
        roles,
        providers: providers?,
    })
}

fn read_sessions(
    mut table: Table<'_>,
    deployment: Option<&str>,
    surroundings: Surroundings<'_>,
) -> Option<SessionsConfig> {
    let example = "secrets = [\"file:session-secret\"], the same on every replica";
    let keys = table
        .require("secrets", example)
        .and_then(|value| read_secrets(&value, deployment, surroundings));
    let max_duration = table.duration(
        "max_duration",
        Duration::from_hours(12),
        SHORTEST..=LONGEST_OF_IDENTITY,
    );
    table.finish();
    Some(SessionsConfig {
        keys: keys?,
        max_duration: max_duration?,
    })
}

fn read_secrets(
    value: &Value<'_>,
    deployment: Option<&str>,
    surroundings: Surroundings<'_>,
) -> Option<Arc<TokenKeys>> {
    let items = value.texts()?;
    if items.is_empty() || items.len() > SECRETS_LIMIT {
        return value.problem(
            "not a usual number of secrets",
            format!("name 1 to {SECRETS_LIMIT}: the first makes tokens, the others still open those of before"),
        );
    }
    let secrets = read_each(&items, |item| {
        let secret = surroundings.secret(item)?;
        if secret.expose().len() >= SECRET_MINIMUM {
            return Some(secret);
        }
        item.problem(
            "the secret is too short: whoever guesses it makes credentials for anybody",
            format!("use at least {SECRET_MINIMUM} random characters: openssl rand -base64 48"),
        )
    })?;
    let bytes: Vec<&[u8]> = secrets
        .iter()
        .map(|secret| secret.expose().as_bytes())
        .collect();
    match TokenKeys::new(deployment?, &bytes) {
        Ok(keys) => Some(Arc::new(keys)),
        Err(error) => value.problem(error.to_string(), "use other secrets"),
    }
}

fn read_role(
    mut table: Table<'_>,
    known: &[IdentityConfig],
    providers: &[WebIdentityProviderConfig],
) -> Option<RoleConfig> {
    let name = table
        .require_text("name", "name = \"NAME\"")
        .and_then(|value| checked_name(&value, value.text()?));
    let groups = match table.take("groups") {
        Some(value) => read_groups(&value),
        None => Some(Vec::new()),
    };
    let identities = match table.take("identities") {
        Some(value) => read_identities(&value, known),
        None => Some(Vec::new()),
    };
    let trusts = table.tables("web_identity");
    let count = trusts.len();
    let web_identities: Vec<_> = trusts
        .into_iter()
        .filter_map(|table| web_identity::read_trust(table, providers))
        .collect();
    if count == 0 && identities.as_ref().is_some_and(Vec::is_empty) {
        table.problem::<()>(
            "may be assumed by nobody",
            "add identities = [\"NAME\"], or [[role.web_identity]] with provider and subjects",
        );
    }
    let max_duration = table.duration(
        "max_duration",
        Duration::from_hours(1),
        SHORTEST..=LONGEST_OF_ROLE,
    );
    table.finish();
    (web_identities.len() == count).then_some(())?;
    Some(RoleConfig {
        name: name?,
        groups: groups?,
        identities: identities?,
        web_identities,
        max_duration: max_duration?,
    })
}

fn read_identities(value: &Value<'_>, known: &[IdentityConfig]) -> Option<Vec<String>> {
    read_each(&value.texts()?, |item| {
        let name = item.text()?;
        if known.iter().any(|identity| identity.name == name) {
            return Some(name.to_owned());
        }
        item.problem("there is no such identity", "name one of [[identity]]")
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::WITHOUT_IDENTITIES;
    use super::super::{Config, JwksConfig};
    use super::*;

    const REST: &str = r#"
        [[identity]]
        name = "app"
        [[identity.credential]]
        access_key_id = "SGAPP"
        secret_access_key = "env:SECRET"
    "#;

    const SESSIONS: &str = "[sessions]\nsecrets = [\"env:SESSIONS\"]\n";

    const PROVIDER: &str = "[[web_identity_provider]]\nname = \"ci\"\nissuer = \"https://ci.example\"\naudiences = [\"sealgate\"]\njwks_url = \"https://ci.example/keys/jwks.json?v=1\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        let surroundings = Surroundings {
            directory: std::path::Path::new("/nonexistent"),
            environment: &|name| match name {
                "SESSIONS" => Some("0123456789abcdef0123456789abcdef".to_owned()),
                name if name.starts_with("SEALGATE_") => None,
                _ => Some("a secret of tests".to_owned()),
            },
        };
        Config::parse(&format!("{WITHOUT_IDENTITIES}{REST}{text}"), surroundings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn roles_and_providers_are_read() {
        let config = parse(&format!(
            "{SESSIONS}{PROVIDER}
            [[role]]
            name = \"nightly\"
            groups = [\"jobs\"]
            identities = [\"app\"]
            max_duration = \"2h\"
            [[role.web_identity]]
            provider = \"ci\"
            subjects = [\"repo:acme/*:ref:refs/heads/main\"]
            [policy]
            [[policy.rule]]
            id = \"jobs\"
            groups = [\"jobs\"]
            allow = [\"reader\"]
            "
        ))
        .unwrap();
        assert_eq!(
            config.short_lived.sessions.as_ref().unwrap().max_duration,
            Duration::from_hours(12)
        );
        let [role] = config.short_lived.roles.as_slice() else {
            panic!("{:?}", config.short_lived.roles)
        };
        assert_eq!(role.max_duration, Duration::from_hours(2));
        assert!(role.web_identities[0].matches("repo:acme/app:ref:refs/heads/main"));
        assert!(!role.web_identities[0].matches("repo:evil/app:ref:refs/heads/main"));
        let JwksConfig::Url(url) = &config.short_lived.providers[0].keys else {
            panic!("{:?}", config.short_lived.providers)
        };
        assert_eq!(url.to_string(), "https://ci.example/keys/jwks.json?v=1");
        // Policies know the groups of a role.
        assert!(config.policy.unwrap().warnings().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        let role = |rest: &str| format!("{SESSIONS}[[role]]\nname = \"r\"\n{rest}");
        for (text, part) in [
            ("[sessions]\n".to_owned(), "secrets: missing"),
            (
                "[sessions]\nsecrets = []".to_owned(),
                "not a usual number of secrets",
            ),
            (
                "[sessions]\nsecrets = [\"env:SHORT\"]".to_owned(),
                "too short",
            ),
            (
                "[[role]]\nname = \"r\"\nidentities = [\"app\"]".to_owned(),
                "nothing to make their sessions with",
            ),
            (role(""), "may be assumed by nobody"),
            (role("identities = [\"nobody\"]"), "no such identity"),
            (
                role("identities = [\"app\"]\nmax_duration = \"13h\""),
                "max_duration",
            ),
            (
                role("identities = [\"app\"]\n[[role]]\nname = \"r\"\nidentities = [\"app\"]"),
                "is taken",
            ),
            (
                format!("{SESSIONS}[[role]]\nname = \"app\"\nidentities = [\"app\"]"),
                "is taken",
            ),
            (
                role("[[role.web_identity]]\nprovider = \"x\"\nsubjects = [\"a\"]"),
                "no such provider",
            ),
            (
                format!("{PROVIDER}jwks_file = \"x.json\""),
                "jwks_file and jwks_url",
            ),
            (
                PROVIDER.replace("https://ci.example/keys", "http://ci.example/keys"),
                "plaintext",
            ),
            (
                PROVIDER.replace("audiences = [\"sealgate\"]", "audiences = []"),
                "audiences",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
