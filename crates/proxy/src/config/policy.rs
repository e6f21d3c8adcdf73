//! `[policy]`: who may do what. Without it, every identity may do everything.

use std::path::Path;
use std::sync::Arc;

use sealgate_access::{Action, Engine, PolicyFile, Principals, Role, Rule};
use time::{
    OffsetDateTime, Time, Weekday,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

use super::identity::IdentityConfig;
use super::secret::Surroundings;
use super::sessions::RoleConfig;
use super::table::{Table, Value, read_each};
use crate::object_key::places_elsewhere;

/// The most bytes of one file of policies.
const POLICY_FILE_LIMIT: u64 = 1024 * 1024;

/// The most rules, and the most files.
const COUNT_LIMIT: usize = 10_000;

const TIME_OF_DAY: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]");

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// Reads `[policy]` and the files that it names, and compiles them.
pub(super) fn read(
    value: &Value<'_>,
    identities: &[IdentityConfig],
    roles: &[RoleConfig],
    has_anonymous: bool,
    surroundings: Surroundings<'_>,
) -> Option<Arc<Engine>> {
    let mut table = value.table()?;
    let files = match table.take("files") {
        Some(value) => read_files(&value, surroundings),
        None => Some(Vec::new()),
    };
    let tables = table.tables("rule");
    let count = tables.len();
    let mut rules: Vec<_> = tables.into_iter().filter_map(read_rule).collect();
    let complete = rules.len() == count;
    table.finish();
    let mut files = files?;
    if !complete {
        return None;
    }
    if rules.is_empty() && files.is_empty() {
        return value.problem(
            "allows nothing to anybody",
            "add [[policy.rule]] or files = [\"FILE.cedar\"], or remove [policy] to allow every identity everything",
        );
    }
    if rules.len() > COUNT_LIMIT {
        return value.problem(
            "has too many rules",
            format!("write at most {COUNT_LIMIT}; groups and prefixes make one rule of many"),
        );
    }
    if has_anonymous {
        files.push(of_anonymous());
    }
    let mut principals = Principals::default();
    for identity in identities {
        principals.add(identity.name.clone(), identity.groups.iter().cloned());
    }
    for role in roles {
        principals.add(role.name.clone(), role.groups.iter().cloned());
    }
    rules.shrink_to_fit();
    match Engine::compile(&principals, &rules, &files) {
        Ok(mut engine) => {
            for warning in rules.iter().flat_map(names_of_other_places) {
                engine.warn(warning);
            }
            Some(Arc::new(engine))
        }
        Err(error) => value.problem(
            error.to_string(),
            "correct it; `sealgate policy schema` and `sealgate policy actions` print what there is",
        ),
    }
}

/// Of a rule that allows something: the prefixes that allow nothing by themselves, because whatever is below them may be taken for what is elsewhere.
fn names_of_other_places(rule: &Rule) -> Vec<String> {
    let is_named = |place: &String| rule.prefixes.iter().any(|prefix| place.starts_with(prefix));
    let warning = |prefix: &String| {
        let elsewhere = places_elsewhere(prefix).into_iter();
        let place = elsewhere
            .filter(|_| !rule.allow.is_empty())
            .find(|place| !is_named(place))?;
        Some(format!(
            "the rule {:?} allows nothing below {prefix:?} by itself: storages may take what is there for what is below {place:?}, which has to be allowed as well; write {place:?}, or both",
            rule.id
        ))
    };
    rule.prefixes.iter().filter_map(warning).collect()
}

/// What `[[anonymous]]` allows has been decided when policies are asked; they may only forbid it.
fn of_anonymous() -> PolicyFile {
    PolicyFile {
        name: "configuration".to_owned(),
        text: "@id(\"anonymous\") permit (principal is Anonymous, action, resource);".to_owned(),
    }
}

/// The files of a list; of a directory, those that end in `.cedar`.
fn read_files(value: &Value<'_>, surroundings: Surroundings<'_>) -> Option<Vec<PolicyFile>> {
    let mut files = Vec::new();
    for item in value.texts()? {
        let path = surroundings.path(item.text()?);
        item.refers_to(&path);
        let read = if path.is_dir() {
            read_directory(&path)
        } else {
            read_file(&path).map(|file| vec![file])
        };
        match read {
            Ok(read) => files.extend(read),
            Err(cause) => {
                return item.problem(
                    format!("{}: {cause}", path.display()),
                    "name a file of Cedar policies, or a directory of files that end in .cedar",
                );
            }
        }
    }
    Some(files)
}

fn read_directory(path: &Path) -> Result<Vec<PolicyFile>, String> {
    let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "cedar")
        {
            paths.push(path);
        }
        if paths.len() > COUNT_LIMIT {
            return Err(format!("more than {COUNT_LIMIT} files"));
        }
    }
    // All that it forbids would be allowed, with nothing to show for it: a volume that is not mounted is an empty directory.
    if paths.is_empty() {
        return Err("holds no file that ends in .cedar".to_owned());
    }
    paths.sort();
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Result<PolicyFile, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > POLICY_FILE_LIMIT {
        return Err(format!("longer than {POLICY_FILE_LIMIT} bytes"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(PolicyFile {
        name: name.into_owned(),
        text: std::fs::read_to_string(path).map_err(|error| error.to_string())?,
    })
}

fn read_rule(mut table: Table<'_>) -> Option<Rule> {
    let id = table
        .require_text("id", "id = \"NAME\", which decisions and logs will name")
        .and_then(|value| value.text().map(str::to_owned));
    let identities = names(&mut table, "identities");
    let groups = names(&mut table, "groups");
    let allow = actions(&mut table, "allow");
    let deny = actions(&mut table, "deny");
    let buckets = names(&mut table, "buckets");
    let prefixes = names(&mut table, "prefixes");
    let sources = each(&mut table, "sources", |item| {
        let text = item.text()?;
        let network = text
            .parse()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from));
        network.ok().or_else(|| {
            item.problem(
                "not a network",
                "write an address, or a network such as \"10.0.0.0/8\"",
            )
        })
    });
    let not_before = moment(&mut table, "not_before");
    let not_after = moment(&mut table, "not_after");
    let hours = match table.take("hours") {
        Some(value) => hours(&value).map(Some),
        None => Some(None),
    };
    let weekdays = each(&mut table, "weekdays", |item| item.choice(&WEEKDAYS));
    let tls = match table.take("tls") {
        Some(value) => value.boolean().map(Some),
        None => Some(None),
    };
    let certificates = names(&mut table, "certificates");
    table.finish();
    Some(Rule {
        id: id?,
        identities: identities?,
        groups: groups?,
        allow: allow?,
        deny: deny?,
        buckets: buckets?,
        prefixes: prefixes?,
        sources: sources?,
        not_before: not_before?,
        not_after: not_after?,
        hours: hours?,
        weekdays: weekdays?,
        tls: tls?,
        certificates: certificates?,
    })
}

/// A list, each item turned into what it means. One that is there and empty would not restrict what its author meant to restrict.
fn each<'a, T>(
    table: &mut Table<'a>,
    key: &'static str,
    read: impl Fn(&Value<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(value) = table.take(key) else {
        return Some(Vec::new());
    };
    let items = value.texts()?;
    if items.is_empty() {
        return value.problem("is empty", "name something, or remove the key");
    }
    read_each(&items, read)
}

fn names(table: &mut Table<'_>, key: &'static str) -> Option<Vec<String>> {
    each(table, key, |item| item.text().map(str::to_owned))
}

fn actions(table: &mut Table<'_>, key: &'static str) -> Option<Vec<String>> {
    each(table, key, |item| {
        let name = item.text()?;
        if Role::named(name).is_some() || Action::named(name).is_some() {
            return Some(name.to_owned());
        }
        let roles = Role::ALL.map(Role::name).join(", ");
        item.problem(
            "neither an action nor a role",
            format!("write one of the roles {roles}, or an action of `sealgate policy actions`"),
        )
    })
}

#[expect(
    clippy::option_option,
    reason = "a problem, nothing, and a moment are three things"
)]
fn moment(table: &mut Table<'_>, key: &'static str) -> Option<Option<OffsetDateTime>> {
    let Some(value) = table.take(key) else {
        return Some(None);
    };
    match OffsetDateTime::parse(value.text()?, &Rfc3339) {
        Ok(moment) => Some(Some(moment)),
        Err(_) => value.problem(
            "not a moment",
            "write date and time with their offset, such as \"2027-01-31T18:00:00Z\"",
        ),
    }
}

fn hours(value: &Value<'_>) -> Option<(Time, Time)> {
    let text = value.text()?;
    let parsed = text.split_once('-').and_then(|(from, to)| {
        let from = Time::parse(from.trim(), TIME_OF_DAY).ok()?;
        let to = Time::parse(to.trim(), TIME_OF_DAY).ok()?;
        (from != to).then_some((from, to))
    });
    parsed.or_else(|| {
        value.problem(
            "not hours of a day",
            "write from and to in UTC, such as \"08:00-18:00\"; from after to goes over midnight",
        )
    })
}

#[cfg(test)]
mod tests {
    use sealgate_access::{Action, Circumstances, Principal, Question, Resource};

    use super::super::Config;
    use super::super::tests::WITHOUT_IDENTITIES;
    use super::*;

    const REST: &str = r#"
        [[identity]]
        name = "app"
        groups = ["tenants"]
        [[identity.credential]]
        access_key_id = "SGAPP"
        secret_access_key = "env:SECRET"
    "#;

    fn parse(policy: &str, directory: &Path) -> Result<Config, String> {
        let surroundings = Surroundings {
            directory,
            environment: &|name| {
                (!name.starts_with("SEALGATE_")).then(|| "a secret of tests".to_owned())
            },
        };
        Config::parse(&format!("{WITHOUT_IDENTITIES}{REST}{policy}"), surroundings)
            .map_err(|error| error.to_string())
    }

    fn reads(config: &Config, key: &str) -> bool {
        let question = Question {
            principal: Principal::Identity("app"),
            action: Action::DECRYPT,
            resource: Resource::Object {
                bucket: "data",
                key,
            },
            circumstances: &Circumstances::local(OffsetDateTime::UNIX_EPOCH),
        };
        config
            .policy
            .as_ref()
            .unwrap()
            .decide(&question)
            .is_allowed()
    }

    #[test]
    fn rules_and_files_are_compiled_together() {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        std::fs::write(policies.join("README"), "no policy").unwrap();
        let forbid = r#"forbid (principal, action == Action::"decrypt", resource) when { resource.key like "secret/*" };"#;
        std::fs::write(policies.join("secret.cedar"), forbid).unwrap();
        let text = r#"
            [policy]
            files = ["policies"]
            [[policy.rule]]
            id = "tenants"
            groups = ["tenants"]
            allow = ["reader"]
            hours = "22:00-04:00"
            weekdays = ["thursday"]
            sources = ["127.0.0.0/8", "::1"]
            not_before = "1970-01-01T00:00:00Z"
        "#;
        let config = parse(text, directory.path()).unwrap();
        assert!(reads(&config, "a") && !reads(&config, "secret/a"));
        assert!(config.policy.unwrap().warnings().is_empty());
        assert!(parse("", directory.path()).unwrap().policy.is_none());
    }

    #[test]
    fn a_prefix_that_storages_take_for_another_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let warnings = |rest: &str| {
            let policy = format!(
                "[policy]\n[[policy.rule]]\nid = \"r\"\nidentities = [\"app\"]\nbuckets = [\"data\"]\n{rest}"
            );
            let config = parse(&policy, directory.path()).unwrap();
            config.policy.unwrap().warnings().join("\n")
        };
        let told = warnings("allow = [\"reader\"]\nprefixes = [\"a/\", \"/lead/\"]");
        assert!(
            told.contains("\"r\" allows nothing below \"/lead/\"")
                && told.contains("write \"lead/\""),
            "{told}"
        );
        for silent in [
            "allow = [\"reader\"]\nprefixes = [\"lead/\", \"/lead/\"]",
            "allow = [\"reader\"]\nprefixes = [\"lead/.\"]",
            "deny = [\"decrypt\"]\nprefixes = [\"/lead/\"]",
        ] {
            assert_eq!(warnings(silent), "", "{silent}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_fix() {
        let directory = tempfile::tempdir().unwrap();
        let rule = |rest: &str| {
            format!("[policy]\n[[policy.rule]]\nid = \"r\"\nidentities = [\"app\"]\n{rest}")
        };
        for (policy, part) in [
            ("[policy]\n".to_owned(), "allows nothing to anybody"),
            (
                "[policy]\nfiles = [\"missing.cedar\"]".to_owned(),
                "missing.cedar",
            ),
            (
                rule("allow = [\"s3:GetObjekt\"]"),
                "neither an action nor a role",
            ),
            (rule("allow = []"), "is empty"),
            (rule(""), "says neither"),
            (rule("allow = [\"reader\"]\nbuckets = []"), "is empty"),
            (
                rule("allow = [\"reader\"]\nsources = [\"10.0.0.0/64\"]"),
                "not a network",
            ),
            (rule("allow = [\"reader\"]\nhours = \"8-18\""), "not hours"),
            (
                rule("allow = [\"reader\"]\nnot_after = \"tomorrow\""),
                "not a moment",
            ),
            (
                rule("allow = [\"reader\"]\nbucket = \"data\""),
                "unknown key",
            ),
        ] {
            let error = parse(&policy, directory.path()).unwrap_err();
            assert!(error.contains(part), "{policy}: {error}");
        }
    }
}
