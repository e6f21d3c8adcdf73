//! `[grants]`: who may ask to be let in for a limited time, who has to agree, and how that is taken back.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use sealgate_access::PublicKey;
use sealgate_access::grant::{Approver, Rules, folded};

use super::identity::{IdentityConfig, checked_name};
use super::secret::Surroundings;
use super::sessions::RoleConfig;
use super::table::{Table, Value};
use super::upstream::read_ca_file;
use super::web_address::{self, WebAddress};
use super::web_identity::WebIdentityProviderConfig;

/// The most approvers, and the most keys of one of them: each may cost the verification of a signature.
const APPROVERS_LIMIT: usize = 32;
const KEYS_LIMIT: usize = 4;

/// The most approvals that a grant may need: it travels in a header of each request.
const QUORUM_LIMIT: usize = 8;

/// The most keys that may sign the list of revocations.
const REVOKERS_LIMIT: usize = 8;

/// The most words of the command that notifies.
const COMMAND_LIMIT: usize = 32;

/// For how long after it was signed a list of revocations is good, if nobody says. So long can whoever runs the storage hide a newer one.
const USUAL_AGE: Duration = Duration::from_mins(10);

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// What break-glass grants need.
#[derive(Clone, Debug)]
pub struct GrantsConfig {
    /// Who may ask, who may approve, how many it takes, and for how long.
    pub rules: Rules,
    /// Whose signatures of the list of revocations count.
    pub revokers: Vec<PublicKey>,
    /// Where the list of revocations is.
    pub revocations: RevocationSource,
    /// For how long after it was signed a list is good.
    pub maximum_age: Duration,
    /// Who is told of requests.
    pub notify: NotifyConfig,
}

/// Where the list of revocations is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationSource {
    /// In the state bucket.
    State,
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(WebAddress),
}

/// Who is told of requests and votes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Gets a POST with JSON.
    pub webhook: Option<WebAddress>,
    /// A program with its arguments, which gets JSON on its standard input.
    pub command: Vec<String>,
}

/// Who there is in the rest of the configuration.
pub(super) struct People<'a> {
    /// The identities; none where something is wrong with one of them, which is the problem to tell then.
    pub(super) identities: Option<&'a [IdentityConfig]>,
    /// What they, and web identities, may become.
    pub(super) roles: &'a [RoleConfig],
    /// Whose word is taken for web identities.
    pub(super) providers: &'a [WebIdentityProviderConfig],
    /// Whether sessions can be made.
    pub(super) has_sessions: bool,
    /// Whether policies decide.
    pub(super) has_policy: bool,
}

impl People<'_> {
    /// Whether there is an identity or a role of this name.
    fn has(&self, name: &str) -> bool {
        self.identities
            .is_none_or(|known| known.iter().any(|one| one.name == name))
            || self.roles.iter().any(|role| role.name == name)
    }

    /// Whether a name means somebody: an identity, a role, or `provider/subject` of a web identity.
    fn know(&self, name: &str) -> bool {
        let of_provider = name.split_once('/').is_some_and(|(provider, subject)| {
            !subject.is_empty() && self.providers.iter().any(|one| one.name == provider)
        });
        of_provider || self.has(name)
    }
}

/// Reads the table.
pub(super) fn read(
    mut table: Table<'_>,
    deployment: Option<&str>,
    people: &People<'_>,
    surroundings: Surroundings<'_>,
) -> Option<GrantsConfig> {
    if !people.has_policy {
        table.problem::<()>(
            "there is no [policy], so every identity may do everything without a grant",
            "add [policy] with rules that say who may do what (docs/access.md)",
        );
    }
    if !people.has_sessions {
        table.problem::<()>(
            "there is nothing to make the credentials of a grant with",
            "add [sessions] with secrets = [\"file:session-secret\"], the same on every replica",
        );
    }
    let requesters = read_requesters(&mut table, people);
    let approvers = read_approvers(&mut table, people);
    let quorum = table.count("quorum", 2, 1..=QUORUM_LIMIT);
    if let (Some(approvers), Some(quorum)) = (&approvers, quorum) {
        let people: BTreeSet<&str> = approvers.iter().map(|one| one.name.as_str()).collect();
        if people.len() < quorum {
            table.problem::<()>(
                format!(
                    "{quorum} approvals are needed, and there are {} approvers, so nothing could be granted",
                    people.len()
                ),
                "add [[grants.approver]], or choose a smaller quorum",
            );
        }
    }
    let longest = table.duration("max_duration", Duration::from_hours(4), MINUTE..=WEEK);
    let revocations = table
        .require(
            "revocations",
            "[grants.revocations] with public_keys = [\"ssh-ed25519 …\"]; `sealgate grant keygen` makes a key",
        )
        .and_then(|value| value.table())
        .and_then(|table| read_revocations(table, surroundings));
    let notify = match table.take("notify") {
        Some(value) => value
            .table()
            .and_then(|table| read_notify(table, surroundings)),
        None => Some(NotifyConfig::default()),
    };
    table.finish();
    let (revokers, source, maximum_age) = revocations?;
    Some(GrantsConfig {
        rules: Rules {
            deployment: deployment?.to_owned(),
            requesters: requesters?,
            approvers: approvers?,
            quorum: quorum?,
            longest: longest?.as_secs(),
        },
        revokers,
        revocations: source,
        maximum_age,
        notify: notify?,
    })
}

/// The identities that may ask: by their names, or by their groups.
fn read_requesters(table: &mut Table<'_>, people: &People<'_>) -> Option<BTreeSet<String>> {
    let identities = people.identities.unwrap_or_default();
    let names = table.take("requesters");
    let groups = table.take("requester_groups");
    if names.is_none() && groups.is_none() {
        return table.problem(
            "nobody may ask for a grant",
            "add requesters = [\"IDENTITY\"], of which \"*\" is every one, or requester_groups = [\"GROUP\"]",
        );
    }
    let mut found = BTreeSet::new();
    for item in texts(names.as_ref())? {
        let name = item.text()?;
        if name == "*" {
            found.extend(identities.iter().map(|identity| identity.name.clone()));
        } else if people.has(name) {
            found.insert(name.to_owned());
        } else {
            return item.problem(
                "there is no such identity",
                "name one of [[identity]] or [[role]]",
            );
        }
    }
    for item in texts(groups.as_ref())? {
        let group = item.text()?;
        let mut members = identities
            .iter()
            .filter(|identity| identity.groups.iter().any(|known| known == group))
            .peekable();
        if members.peek().is_none() && people.identities.is_some() {
            return item.problem(
                "nobody is in this group",
                "name a group of an [[identity]], or remove it",
            );
        }
        found.extend(members.map(|identity| identity.name.clone()));
    }
    Some(found)
}

fn texts<'a>(value: Option<&Value<'a>>) -> Option<Vec<Value<'a>>> {
    value.map_or_else(|| Some(Vec::new()), Value::texts)
}

fn read_approvers(table: &mut Table<'_>, people: &People<'_>) -> Option<Vec<Approver>> {
    let tables = table.tables("approver");
    let count = tables.len();
    if !(1..=APPROVERS_LIMIT).contains(&count) {
        return table.problem(
            "not a usual number of approvers",
            format!("add 1 to {APPROVERS_LIMIT} [[grants.approver]] with name and public_keys"),
        );
    }
    let mut names = BTreeSet::new();
    let mut keys = BTreeSet::new();
    let read: Vec<_> = tables
        .into_iter()
        .filter_map(|table| read_approver(table, people, &mut names, &mut keys))
        .collect();
    (read.len() == count).then(|| read.into_iter().flatten().collect())
}

/// One approver, once for each of their keys.
fn read_approver(
    mut table: Table<'_>,
    people: &People<'_>,
    names: &mut BTreeSet<String>,
    taken: &mut BTreeSet<PublicKey>,
) -> Option<Vec<Approver>> {
    let name = table
        .require_text("name", "name = \"NAME\"")
        .and_then(|value| {
            let name = checked_name(&value, value.text()?)?;
            if names.insert(folded(&name)) {
                return Some(name);
            }
            value.problem(
                "another approver has this name, in whatever letter case",
                "give each approver a name of their own; one with several keys lists them in public_keys",
            )
        });
    let identities = match table.take("identities") {
        Some(value) => value.texts().and_then(|items| {
            items
                .iter()
                .map(|item| {
                    let name = item.text()?;
                    if people.know(name) {
                        return Some(name.to_owned());
                    }
                    // A typo would let them approve for themselves.
                    item.problem(
                        "there is no such identity",
                        "name one of [[identity]] or [[role]], or \"PROVIDER/SUBJECT\" of a [[web_identity_provider]]",
                    )
                })
                .collect::<Option<BTreeSet<_>>>()
        }),
        None => Some(BTreeSet::new()),
    };
    let keys = table
        .require("public_keys", "public_keys = [\"ssh-ed25519 AAAA…\"]")
        .and_then(|value| {
            let keys = read_keys(&value, KEYS_LIMIT)?;
            if keys.iter().all(|key| taken.insert(*key)) {
                return Some(keys);
            }
            value.problem(
                "another approver has this key",
                "give each approver keys of their own",
            )
        });
    table.finish();
    let (name, identities, keys) = (name?, identities?, keys?);
    let approver = |key| Approver {
        name: name.clone(),
        identities: identities.clone(),
        key,
    };
    Some(keys.into_iter().map(approver).collect())
}

fn read_keys(value: &Value<'_>, limit: usize) -> Option<Vec<PublicKey>> {
    let items = value.texts()?;
    if items.is_empty() || items.len() > limit {
        return value.problem("not a usual number of keys", format!("name 1 to {limit}"));
    }
    let mut keys = Vec::new();
    for item in &items {
        match PublicKey::parse(item.text()?) {
            Ok(key) if keys.contains(&key) => {
                return item.problem("the same key twice", "remove one");
            }
            Ok(key) => keys.push(key),
            Err(error) => {
                return item.problem(
                    error.to_string(),
                    "write the line of a .pub file: `sealgate grant keygen` or `ssh-keygen -t ed25519` makes one",
                );
            }
        }
    }
    Some(keys)
}

type Revocations = (Vec<PublicKey>, RevocationSource, Duration);

fn read_revocations(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<Revocations> {
    let keys = table
        .require("public_keys", "public_keys = [\"ssh-ed25519 AAAA…\"]")
        .and_then(|value| read_keys(&value, REVOKERS_LIMIT));
    let maximum_age = table.duration("max_age", USUAL_AGE, MINUTE..=HOUR);
    let ca_file = read_ca_file(&mut table, surroundings);
    let allow_plaintext = table.flag("allow_plaintext");
    let source = match table.take("source") {
        None => Some(RevocationSource::State),
        Some(value) => value.text().and_then(|text| {
            if text == "state" {
                return Some(RevocationSource::State);
            }
            if let Some(path) = text.strip_prefix("file:") {
                return Some(RevocationSource::File(surroundings.path(path)));
            }
            let ca_file = ca_file.as_ref().ok()?.clone();
            web_address::read(&table, &value, web_address::HOOK, allow_plaintext, ca_file)
                .map(RevocationSource::Url)
        }),
    };
    let has_tls = !matches!(ca_file, Ok(None)) || allow_plaintext;
    if has_tls
        && matches!(
            source,
            Some(RevocationSource::State | RevocationSource::File(_))
        )
    {
        table.problem::<()>("ca_file and allow_plaintext are about a URL", "remove them");
    }
    table.finish();
    Some((keys?, source?, maximum_age?))
}

fn read_notify(mut table: Table<'_>, surroundings: Surroundings<'_>) -> Option<NotifyConfig> {
    let ca_file = read_ca_file(&mut table, surroundings);
    let allow_plaintext = table.flag("allow_plaintext");
    let webhook = match table.take("webhook") {
        Some(value) => web_address::read(
            &table,
            &value,
            web_address::HOOK,
            allow_plaintext,
            ca_file.ok()?,
        )
        .map(Some),
        None => Some(None),
    };
    let command = match table.take("command") {
        Some(value) => value.texts().and_then(|items| {
            if items.is_empty() || items.len() > COMMAND_LIMIT {
                return value.problem(
                    "names no program, or too many words",
                    "write the program and its arguments: [\"/usr/local/bin/notify\", \"--grants\"]",
                );
            }
            items
                .iter()
                .map(|item| item.text().map(str::to_owned))
                .collect()
        }),
        None => Some(Vec::new()),
    };
    table.finish();
    Some(NotifyConfig {
        webhook: webhook?,
        command: command?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::WITHOUT_IDENTITIES;
    use super::*;

    const ALICE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOOC5eQP1PORp83KfG4grM5da8MBW7XDrz1jDkxGszPW alice";
    const BOB: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbM2oFFiHL5umyyAjlOwiEyb2hEdwjLnKuj3Pd/7EJH";

    const REST: &str = r#"
        [[identity]]
        name = "oscar"
        groups = ["operators"]
        [[identity.credential]]
        access_key_id = "SGOSCAR"
        secret_access_key = "env:SECRET"
        [[identity]]
        name = "app"
        [[identity.credential]]
        access_key_id = "SGAPP"
        secret_access_key = "env:SECRET"
        [sessions]
        secrets = ["env:SESSIONS"]
    "#;

    const POLICY: &str =
        "[[policy.rule]]\nid = \"app\"\nidentities = [\"app\"]\nallow = [\"admin\"]\n";

    fn surroundings() -> Surroundings<'static> {
        Surroundings {
            directory: std::path::Path::new("/nonexistent"),
            // Everything that the texts name, and no identity besides.
            environment: &|name| {
                let is_named = !name.starts_with("SEALGATE_");
                is_named.then(|| "0123456789abcdef0123456789abcdef".to_owned())
            },
        }
    }

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("{WITHOUT_IDENTITIES}{REST}{text}"), surroundings())
            .map_err(|error| error.to_string())
    }

    fn grants(head: &str, bobs: &str, revocations: &str, rest: &str) -> String {
        format!(
            "{POLICY}[grants]\n{head}\n[[grants.approver]]\nname = \"alice\"\npublic_keys = [\"{ALICE}\"]\nidentities = [\"app\"]\n[[grants.approver]]\nname = \"bob\"\npublic_keys = [\"{bobs}\"]\n[grants.revocations]\npublic_keys = [\"{BOB}\"]\n{revocations}\n{rest}\n"
        )
    }

    #[test]
    fn grants_are_read() {
        let text = grants(
            "requester_groups = [\"operators\"]\nmax_duration = \"2h\"",
            BOB,
            "max_age = \"10m\"\nsource = \"https://lists.example/revoked?v=1\"",
            "[grants.notify]\nwebhook = \"https://hooks.example/x\"\ncommand = [\"mail\", \"security\"]",
        );
        let config = parse(&text).unwrap().grants.unwrap();
        assert_eq!(
            config.rules.requesters,
            BTreeSet::from(["oscar".to_owned()])
        );
        assert_eq!((config.rules.quorum, config.rules.longest), (2, 7_200));
        assert_eq!(config.rules.approvers.len(), 2);
        assert_eq!(config.maximum_age, Duration::from_mins(10));
        let RevocationSource::Url(url) = &config.revocations else {
            panic!("{config:?}")
        };
        assert_eq!(url.to_string(), "https://lists.example/revoked?v=1");
        assert_eq!(config.notify.command, ["mail", "security"]);
        let everybody = parse(&grants("requesters = [\"*\"]", BOB, "", "")).unwrap();
        let everybody = everybody.grants.unwrap();
        assert_eq!(everybody.rules.requesters.len(), 2);
        assert_eq!(everybody.revocations, RevocationSource::State);
    }

    #[test]
    fn a_secret_that_cannot_be_read_makes_nobody_unknown() {
        let text = grants(
            "requesters = [\"oscar\"]\nrequester_groups = [\"operators\"]",
            BOB,
            "",
            "",
        );
        parse(&text).unwrap();
        let rest = REST.replacen("env:SECRET", "env:SEALGATE_UNSET", 1);
        let text = format!("{WITHOUT_IDENTITIES}{rest}{text}");
        let error = Config::parse(&text, surroundings()).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert!(error.to_string().contains("SEALGATE_UNSET"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        let all = "requesters = [\"*\"]";
        for (text, part) in [
            (grants("", BOB, "", ""), "nobody may ask"),
            (
                grants("requesters = [\"eve\"]", BOB, "", ""),
                "there is no such identity",
            ),
            (
                grants("requester_groups = [\"eves\"]", BOB, "", ""),
                "nobody is in this group",
            ),
            (
                grants(&format!("{all}\nquorum = 3"), BOB, "", ""),
                "nothing could be granted",
            ),
            (grants(all, ALICE, "", ""), "another approver has this key"),
            (grants(all, "ssh-rsa AAAA", "", ""), "not an Ed25519 key"),
            (
                grants(all, BOB, "source = \"http://lists.example/x\"", ""),
                "plaintext http",
            ),
            (
                grants(all, BOB, "allow_plaintext = true", ""),
                "are about a URL",
            ),
            (
                grants(all, BOB, "", "").replace("\"bob\"", "\"ALICE\""),
                "another approver has this name",
            ),
            (
                grants(all, BOB, "", "").replace("[\"app\"]", "[\"ap\"]"),
                "there is no such identity",
            ),
            (
                grants(all, BOB, "", "").replace("[\"app\"]", "[\"corp/alice\"]"),
                "there is no such identity",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        let text = format!("{WITHOUT_IDENTITIES}{REST}{}", grants(all, BOB, "", ""));
        let text = text.replace("[sessions]\n        secrets = [\"env:SESSIONS\"]", "");
        let error = Config::parse(&text, surroundings())
            .unwrap_err()
            .to_string();
        assert!(error.contains("add [sessions]"), "{error}");
        let text =
            format!("{WITHOUT_IDENTITIES}{REST}{}", grants(all, BOB, "", "")).replace(POLICY, "");
        let error = Config::parse(&text, surroundings())
            .unwrap_err()
            .to_string();
        assert!(error.contains("there is no [policy]"), "{error}");
    }
}
