//! `sealgate policy`: what the policies say, without a gateway.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use sealgate_access::grant::GrantRequest;
use sealgate_access::{
    Action, Circumstances, Decision, Engine, Level, Principal, Question, Resource, Role,
    SessionFacts, schema_text,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::output;
use crate::config::{AnonymousAction, AnonymousConfig, Config};

/// Check policies, and explain what they decide
#[derive(Debug, Args)]
pub(super) struct PolicyArguments {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    Check(CheckArguments),
    Test(TestArguments),
    /// Print the actions that policies can name, and which ready-made roles have them
    Actions,
    /// Print the schema that policies are checked against, in Cedar's own language
    Schema,
}

/// Check the policies of a configuration
///
/// Contacts nobody. The exit status is 0 if a gateway would take them; what is allowed in the language but probably not
/// meant is printed as a warning.
#[derive(Debug, Args)]
struct CheckArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Say whether an identity may do something, and why
///
/// The exit status is 0 if every action that is asked for is allowed, and 1 if not.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate policy test --as app --action s3:GetObject --action decrypt --resource data/report.pdf\n  sealgate policy test --as backup --action s3:ListBucket --resource data --prefix tenant-a/ --json\n  sealgate policy test --as app --action s3:GetObject --resource data/x --source-ip 10.1.2.3 --time 2027-01-31T18:00:00Z"
)]
struct TestArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// The identity
    #[arg(
        long = "as",
        value_name = "IDENTITY",
        required_unless_present = "anonymous",
        conflicts_with = "anonymous"
    )]
    identity: Option<String>,

    /// Ask for requests without a signature, as far as `[[anonymous]]` allows them
    #[arg(long)]
    anonymous: bool,

    /// An action, such as s3:GetObject or decrypt; may be given several times
    #[arg(long = "action", value_name = "ACTION", required = true)]
    actions: Vec<String>,

    /// BUCKET or BUCKET/KEY; none for s3:ListAllMyBuckets
    #[arg(long, value_name = "BUCKET[/KEY]", default_value = "")]
    resource: String,

    /// The prefix of a listing
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Where the request comes from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source_ip: IpAddr,

    /// When; now by default
    #[arg(long, value_name = "RFC-3339")]
    time: Option<String>,

    /// The client is connected by TLS
    #[arg(long)]
    tls: bool,

    /// A name in the client's certificate, such as CN=app or DNS:app.example.org; may be given several times
    #[arg(long = "certificate", value_name = "NAME")]
    certificates: Vec<String>,

    /// With a break-glass grant, as if it counted: the request, as `sealgate grant show ID --output FILE` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "anonymous")]
    grant: Option<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &PolicyArguments) -> ExitCode {
    let outcome = match &arguments.command {
        PolicyCommand::Check(arguments) => check(arguments).map(|()| true),
        PolicyCommand::Test(arguments) => test(arguments),
        PolicyCommand::Actions => output::line(&actions_text()).map(|()| true),
        PolicyCommand::Schema => output::line(schema_text().trim_end()).map(|()| true),
    };
    output::exit_code(outcome)
}

fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    let Some(engine) = &config.policy else {
        return output::line(&if arguments.json {
            json!({ "configured": false, "policies": 0, "warnings": [] }).to_string()
        } else {
            "no [policy]: every identity may do everything".to_owned()
        });
    };
    if arguments.json {
        return output::line(
            &json!({
                "configured": true,
                "policies": engine.policy_count(),
                "warnings": engine.warnings(),
            })
            .to_string(),
        );
    }
    for warning in engine.warnings() {
        output::line(&format!("warning: {warning}"))?;
    }
    output::line(&format!(
        "the policies fit the schema; {} are in force",
        engine.policy_count()
    ))
}

fn test(arguments: &TestArguments) -> anyhow::Result<bool> {
    let config = Config::load(&arguments.config)?;
    let principal = principal(arguments, &config)?;
    let grant = grant(arguments)?;
    let mut answers = Vec::new();
    for name in &arguments.actions {
        let action = Action::named(name).ok_or_else(|| {
            anyhow::anyhow!("there is no action {name:?}; `sealgate policy actions` lists them")
        })?;
        let circumstances = circumstances(arguments, action)?;
        let circumstances = match &grant {
            // Credentials of a grant are those of a session.
            Some(request) => Circumstances {
                grant: Some(request.id.clone()),
                session: Some(SessionFacts {
                    name: String::new(),
                    source: String::new(),
                    issued: circumstances.time,
                }),
                ..circumstances
            },
            None => circumstances,
        };
        let resource = resource(action, &arguments.resource)?;
        let is_closed = principal == Principal::Anonymous
            && !is_open(
                &config.anonymous,
                action,
                resource,
                circumstances.prefix.as_deref(),
            );
        let question = Question {
            principal,
            action,
            resource,
            circumstances: &circumstances,
        };
        answers.push(Answer {
            action,
            resource: resource.arn(),
            is_closed,
            is_outside: grant.as_ref().is_some_and(|request| {
                let (bucket, key) = match resource {
                    Resource::Object { bucket, key } => (bucket, key),
                    Resource::Bucket(bucket) => {
                        (bucket, circumstances.prefix.as_deref().unwrap_or_default())
                    }
                    Resource::Service => ("", ""),
                };
                !request.scope.allows(action, bucket, key)
            }),
            decision: config.policy.as_ref().map(|engine| {
                let decision = engine.decide(&question);
                match &grant {
                    Some(request) => decision.granted(&request.id),
                    None => decision,
                }
            }),
        });
    }
    let all = answers.iter().all(Answer::is_allowed);
    let engine = config.policy.as_deref();
    if arguments.json {
        let decisions: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_json(engine))
            .collect();
        output::line(&json!({ "allowed": all, "decisions": decisions }).to_string())?;
    } else {
        for answer in &answers {
            output::line(&answer.as_text(engine))?;
        }
    }
    Ok(all)
}

/// What was decided about one action; no decision is needed where there is no policy.
struct Answer {
    action: Action,
    resource: String,
    /// With a grant whose scope does not have it: then nothing else counts.
    is_outside: bool,
    /// Nobody asked is let in without a signature, whatever policies say.
    is_closed: bool,
    decision: Option<Decision>,
}

/// Whether `[[anonymous]]` lets requests without a signature do something. Policies can only take that away.
fn is_open(
    rules: &[AnonymousConfig],
    action: Action,
    resource: Resource<'_>,
    prefix: Option<&str>,
) -> bool {
    let allows =
        |asked, bucket: &str, key: &str| rules.iter().any(|rule| rule.allows(asked, bucket, key));
    match resource {
        Resource::Object { bucket, key }
            if [Action::GET_OBJECT, Action::DECRYPT].contains(&action) =>
        {
            allows(AnonymousAction::Get, bucket, key)
        }
        Resource::Bucket(bucket) if action == Action::LIST_BUCKET => {
            allows(AnonymousAction::List, bucket, prefix.unwrap_or_default())
        }
        Resource::Bucket(bucket) if action == Action::HEAD_BUCKET => {
            allows(AnonymousAction::List, bucket, "")
        }
        _ => false,
    }
}

impl Answer {
    fn is_allowed(&self) -> bool {
        !self.is_outside
            && !self.is_closed
            && self.decision.as_ref().is_none_or(Decision::is_allowed)
    }

    fn reason(&self) -> String {
        match &self.decision {
            _ if self.is_outside => "denied, because it is outside of the grant's scope".to_owned(),
            _ if self.is_closed => {
                "denied, because no [[anonymous]] allows it without a signature".to_owned()
            }
            Some(decision) => decision.to_string(),
            None => "allowed, because there is no [policy]".to_owned(),
        }
    }

    fn as_text(&self, engine: Option<&Engine>) -> String {
        let mut text = format!("{} on {}: {}", self.action, self.resource, self.reason());
        for policy in self.policies(engine).into_iter().flat_map(|(_, text)| text) {
            text.push_str("\n  ");
            text.push_str(&policy.replace('\n', "\n  "));
        }
        text
    }

    fn as_json(&self, engine: Option<&Engine>) -> Value {
        let policies: Vec<_> = self
            .policies(engine)
            .into_iter()
            .map(|(name, text)| json!({ "name": name, "cedar": text }))
            .collect();
        json!({
            "action": self.action.name(),
            "resource": self.resource,
            "allowed": self.is_allowed(),
            "reason": self.reason(),
            "policies": policies,
            "failures": self.decision.as_ref().map(Decision::failures).unwrap_or_default(),
        })
    }

    /// The policies that decided, with those of their texts that are about the action.
    fn policies(&self, engine: Option<&Engine>) -> Vec<(String, Vec<String>)> {
        let asked = self.decision.iter().filter(|_| !self.is_closed);
        let decided = asked.flat_map(Decision::policies);
        decided
            .filter_map(|name| {
                let texts = engine?.text(name).into_iter();
                let quoted = format!("\"{}\"", self.action);
                let about =
                    texts.filter(|text| text.contains(&quoted) || !text.contains("Action::"));
                Some((name.to_string(), about.collect()))
            })
            .collect()
    }
}

fn principal<'a>(arguments: &'a TestArguments, config: &Config) -> anyhow::Result<Principal<'a>> {
    let Some(name) = &arguments.identity else {
        return Ok(Principal::Anonymous);
    };
    let mut identities = config.identities.iter();
    let mut roles = config.short_lived.roles.iter();
    anyhow::ensure!(
        identities.any(|identity| identity.name == *name) || roles.any(|role| role.name == *name),
        "there is no identity and no role {name:?} in the configuration"
    );
    Ok(Principal::Identity(name))
}

/// The request of a grant. Signatures, time and revocations are for gateways to look at.
fn grant(arguments: &TestArguments) -> anyhow::Result<Option<GrantRequest>> {
    let Some(path) = &arguments.grant else {
        return Ok(None);
    };
    let named = path.display();
    let text = std::fs::read_to_string(path).with_context(|| named.to_string())?;
    let request = GrantRequest::of_text(&text)
        .map_err(|error| anyhow::anyhow!("{named}: the request {error}"))?;
    request.check_texts().with_context(|| named.to_string())?;
    anyhow::ensure!(
        arguments.identity.as_ref() == Some(&request.requester),
        "the grant is {:?}'s and nobody else's",
        request.requester
    );
    Ok(Some(request))
}

fn circumstances(arguments: &TestArguments, action: Action) -> anyhow::Result<Circumstances> {
    let time = match &arguments.time {
        Some(text) => OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
            anyhow::anyhow!("{text:?} is no moment; write one such as 2027-01-31T18:00:00Z")
        })?,
        None => OffsetDateTime::now_utc(),
    };
    let prefix = match (action.level(), &arguments.prefix) {
        (Level::Listing, prefix) => Some(prefix.clone().unwrap_or_default()),
        (_, None) => None,
        (_, Some(_)) => anyhow::bail!("{action} is no listing and has no --prefix"),
    };
    Ok(Circumstances {
        source: arguments.source_ip,
        time,
        tls: arguments.tls,
        certificates: Arc::from(arguments.certificates.clone()),
        grant: None,
        session: None,
        prefix,
    })
}

fn resource(action: Action, text: &str) -> anyhow::Result<Resource<'_>> {
    let named = match text.split_once('/') {
        None if text.is_empty() => Resource::Service,
        None => Resource::Bucket(text),
        Some((bucket, key)) => Resource::Object { bucket, key },
    };
    let expected = match (action.level(), named) {
        (Level::Service, Resource::Service)
        | (Level::Bucket | Level::Listing, Resource::Bucket(_))
        | (Level::Object, Resource::Object { .. }) => return Ok(named),
        (Level::Service, _) => "is about no bucket: leave --resource out",
        (Level::Bucket | Level::Listing, _) => "is about a bucket: write --resource BUCKET",
        (Level::Object, _) => "is about an object: write --resource BUCKET/KEY",
    };
    anyhow::bail!("{action} {expected}")
}

fn actions_text() -> String {
    let lines = Action::all().map(|action| {
        let roles: Vec<_> = Role::ALL
            .into_iter()
            .filter(|role| role.actions().any(|allowed| allowed == action))
            .map(Role::name)
            .collect();
        format!("{:<55} {}", action.name(), roles.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What the log says of it at the start.
pub(super) fn announce(config: &Config, path: &Path) {
    let Some(engine) = &config.policy else {
        tracing::info!(
            file = %path.display(),
            "there is no [policy]: every identity may read, write and delete everything"
        );
        return;
    };
    tracing::info!(policies = engine.policy_count(), "policies are in force");
    for warning in engine.warnings() {
        tracing::warn!(warning = %warning, "the policies hold something that is probably not meant");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_signature_only_what_anonymous_tables_name_is_open() {
        let rules = [AnonymousConfig {
            buckets: vec!["public-*".to_owned()],
            prefix: "site/".to_owned(),
            actions: vec![AnonymousAction::Get],
        }];
        let object = |key| Resource::Object {
            bucket: "public-1",
            key,
        };
        let open = |action, resource| is_open(&rules, action, resource, None);
        assert!(open(Action::GET_OBJECT, object("site/a")));
        assert!(open(Action::DECRYPT, object("site/a")));
        assert!(!open(Action::GET_OBJECT, object("a")));
        assert!(!open(Action::PUT_OBJECT, object("site/a")));
        assert!(!open(Action::GET_OBJECT_VERSION, object("site/a")));
        assert!(!open(Action::HEAD_BUCKET, Resource::Bucket("public-1")));
        assert!(!open(Action::LIST_ALL_MY_BUCKETS, Resource::Service));
    }
}
