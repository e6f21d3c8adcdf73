//! Short rules: what most policies say, in a few words, compiled to Cedar.

use std::fmt::Write as _;

use ipnet::IpNet;
use thiserror::Error;
use time::{OffsetDateTime, Time, Weekday, macros::format_description};

use crate::{
    action::{Action, Kind, Level},
    role::Role,
};

/// One short rule. A list that is empty does not restrict, except for who and what: those have to be named.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Its name in decisions, logs and messages.
    pub id: String,
    /// To whom it applies, beside [`groups`](Self::groups); `*` is every identity.
    pub identities: Vec<String>,
    /// To whose members it applies.
    pub groups: Vec<String>,
    /// Actions and ready-made roles that it allows.
    pub allow: Vec<String>,
    /// Actions and ready-made roles that it forbids, whatever other rules allow.
    pub deny: Vec<String>,
    /// Names of buckets; `*` stands for any characters.
    pub buckets: Vec<String>,
    /// The beginnings of keys. Of what is done to a bucket, only listings below a prefix and seeing that the bucket is there are then allowed.
    pub prefixes: Vec<String>,
    /// Networks that requests come from.
    pub sources: Vec<IpNet>,
    /// From when it applies.
    pub not_before: Option<OffsetDateTime>,
    /// Until when it applies; the moment itself is outside.
    pub not_after: Option<OffsetDateTime>,
    /// From and to when in each day it applies, in UTC. From after to: over midnight.
    pub hours: Option<(Time, Time)>,
    /// On which days it applies, in UTC.
    pub weekdays: Vec<Weekday>,
    /// Whether the client has to be connected by TLS.
    pub tls: Option<bool>,
    /// Names of client certificates, one of which has to be presented.
    pub certificates: Vec<String>,
}

/// Why a short rule is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum RuleError {
    #[error("says neither what it allows nor what it denies; add allow = [\"reader\"], say")]
    Nothing,
    #[error("both allows and denies; make two rules of it")]
    Both,
    #[error(
        "does not say to whom it applies; add identities or groups; \"*\" among identities is everybody"
    )]
    Nobody,
    #[error(
        "names {name:?}, which is neither an action nor a ready-made role; roles are reader, writer, write-only, operator, auditor and admin, actions are listed by `sealgate policy actions`"
    )]
    UnknownAction { name: String },
    #[error(
        "has prefixes, and names the action {action}, which is about a whole bucket; give that action by a rule without prefixes"
    )]
    PrefixOfBucketAction { action: Action },
    #[error(
        "has buckets, and names the action {action}, which is about no bucket; give that action by a rule without buckets"
    )]
    BucketOfServiceAction { action: Action },
    #[error("has an empty prefix, which restricts nothing; leave prefixes out if that is meant")]
    EmptyPrefix,
    #[error("names the time {time}, which is outside of the years 0 to 9999")]
    Time { time: OffsetDateTime },
}

/// An action that a rule names, and whether by its own name or by that of a role.
struct Named {
    action: Action,
    explicit: bool,
}

impl Rule {
    /// The Cedar policies that it stands for.
    ///
    /// # Errors
    ///
    /// A rule that says nothing, or what cannot be meant.
    pub(crate) fn to_cedar(&self) -> Result<String, RuleError> {
        let (effect, names) = match (self.allow.is_empty(), self.deny.is_empty()) {
            (false, true) => ("permit", &self.allow),
            (true, false) => ("forbid", &self.deny),
            (true, true) => return Err(RuleError::Nothing),
            (false, false) => return Err(RuleError::Both),
        };
        if self.prefixes.iter().any(String::is_empty) {
            return Err(RuleError::EmptyPrefix);
        }
        let actions = named_actions(names)?;
        let circumstances = self.circumstances()?;
        let mut text = String::new();
        for (level, see) in [
            (Level::Service, false),
            (Level::Bucket, true),
            (Level::Bucket, false),
            (Level::Listing, false),
            (Level::Object, false),
        ] {
            let mut of_level = Vec::new();
            for named in &actions {
                let action = named.action;
                let is_see = action.kind() == Kind::See;
                if action.level() != level || is_see != see {
                    continue;
                }
                if let Some(error) = self.too_narrow(action) {
                    if named.explicit {
                        return Err(error);
                    }
                    continue;
                }
                of_level.push(action);
            }
            if of_level.is_empty() {
                continue;
            }
            let mut conditions = circumstances.clone();
            conditions.extend(self.places(level, effect == "forbid"));
            for principal in self.principals()? {
                write_policy(&mut text, effect, &principal, &of_level, &conditions);
            }
        }
        Ok(text)
    }

    /// What it leaves out of what it names and is probably meant: a role that is denied below a prefix keeps what it may do to the whole bucket, and
    /// with it to everything below the prefix.
    pub(crate) fn warning(&self) -> Option<String> {
        if self.prefixes.is_empty() || self.deny.is_empty() {
            return None;
        }
        let actions = named_actions(&self.deny).ok()?;
        let left: Vec<_> = actions
            .iter()
            .filter(|named| {
                named.action.level() == Level::Bucket && named.action.kind() == Kind::Manage
            })
            .map(|named| named.action.name())
            .collect();
        let (first, last) = (left.first()?, left.last()?);
        Some(format!(
            "the rule {:?} denies a role below prefixes only: the role's {} actions on whole buckets, from {first} to {last}, are not denied, and some of them (a lifecycle, a policy, a replication) reach below the prefixes; deny them by a rule without prefixes",
            self.id,
            left.len()
        ))
    }

    /// Why an action is about more than this rule names, if it is.
    fn too_narrow(&self, action: Action) -> Option<RuleError> {
        match action.level() {
            Level::Service if !(self.buckets.is_empty() && self.prefixes.is_empty()) => {
                Some(RuleError::BucketOfServiceAction { action })
            }
            // That a bucket is there is told to whoever may do something below a prefix; denying that because of a prefix denies too much.
            Level::Bucket
                if !self.prefixes.is_empty()
                    && (action.kind() != Kind::See || !self.deny.is_empty()) =>
            {
                Some(RuleError::PrefixOfBucketAction { action })
            }
            _ => None,
        }
    }

    fn principals(&self) -> Result<Vec<String>, RuleError> {
        if self.identities.is_empty() && self.groups.is_empty() {
            return Err(RuleError::Nobody);
        }
        if self.identities.iter().any(|name| name == "*") {
            // Whoever signs nothing could do what is denied to everybody who signs.
            let everybody = if self.deny.is_empty() {
                "principal is Identity"
            } else {
                "principal"
            };
            return Ok(vec![everybody.to_owned()]);
        }
        let identities = self
            .identities
            .iter()
            .map(|name| format!("principal == Identity::{}", quoted(name)));
        let groups = self
            .groups
            .iter()
            .map(|name| format!("principal in Group::{}", quoted(name)));
        Ok(identities.chain(groups).collect())
    }

    /// Conditions on the bucket and the key.
    fn places(&self, level: Level, forbids: bool) -> Vec<String> {
        let mut conditions = Vec::new();
        if level != Level::Service && !self.buckets.is_empty() {
            conditions.push(any(self.buckets.iter().map(|bucket| {
                if bucket.contains('*') {
                    format!("resource.bucket like {}", glob(bucket))
                } else {
                    format!("resource.bucket == {}", quoted(bucket))
                }
            })));
        }
        if self.prefixes.is_empty() {
            return conditions;
        }
        match level {
            Level::Service | Level::Bucket => {}
            Level::Object => conditions
                .push(any(self.prefixes.iter().map(|prefix| {
                    format!("resource.key like {}", beginning(prefix))
                }))),
            Level::Listing => conditions.push(any(self.prefixes.iter().map(|prefix| {
                let below = format!("context.prefix like {}", beginning(prefix));
                if forbids {
                    // A listing of what lies above shows what lies below.
                    let above = prefix
                        .char_indices()
                        .map(|(end, _)| quoted(prefix.get(..end).unwrap_or_default()));
                    format!(
                        "{below} || [{}].contains(context.prefix)",
                        above.collect::<Vec<_>>().join(", ")
                    )
                } else {
                    below
                }
            }))),
        }
        conditions
    }

    /// Conditions on the request.
    fn circumstances(&self) -> Result<Vec<String>, RuleError> {
        let mut conditions = Vec::new();
        if !self.sources.is_empty() {
            conditions.push(any(self.sources.iter().map(|network| {
                format!("context.source.isInRange(ip(\"{}\"))", network.trunc())
            })));
        }
        if let Some(moment) = self.not_before {
            conditions.push(format!("context.time >= {}", datetime(moment)?));
        }
        if let Some(moment) = self.not_after {
            conditions.push(format!("context.time < {}", datetime(moment)?));
        }
        if let Some((from, to)) = self.hours {
            let joined = if from <= to { "&&" } else { "||" };
            conditions.push(format!(
                "context.time.toTime() >= {} {joined} context.time.toTime() < {}",
                since_midnight(from),
                since_midnight(to)
            ));
        }
        if !self.weekdays.is_empty() {
            let days: Vec<_> = self
                .weekdays
                .iter()
                .map(|day| day.number_from_monday().to_string())
                .collect();
            conditions.push(format!("[{}].contains(context.weekday)", days.join(", ")));
        }
        if let Some(tls) = self.tls {
            conditions.push(format!("context.tls == {tls}"));
        }
        if !self.certificates.is_empty() {
            let names: Vec<_> = self.certificates.iter().map(|name| quoted(name)).collect();
            conditions.push(format!(
                "[{}].containsAny(context.certificates)",
                names.join(", ")
            ));
        }
        Ok(conditions)
    }
}

fn named_actions(names: &[String]) -> Result<Vec<Named>, RuleError> {
    let mut actions: Vec<Named> = Vec::new();
    let mut add = |action: Action, explicit: bool| match actions
        .iter_mut()
        .find(|named| named.action == action)
    {
        Some(named) => named.explicit |= explicit,
        None => actions.push(Named { action, explicit }),
    };
    for name in names {
        if let Some(role) = Role::named(name) {
            role.actions().for_each(|action| add(action, false));
        } else if let Some(action) = Action::named(name) {
            add(action, true);
        } else {
            return Err(RuleError::UnknownAction { name: name.clone() });
        }
    }
    Ok(actions)
}

fn write_policy(
    text: &mut String,
    effect: &str,
    principal: &str,
    actions: &[Action],
    conditions: &[String],
) {
    let names: Vec<_> = actions
        .iter()
        .map(|action| format!("Action::\"{action}\""))
        .collect();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "{effect} ({principal}, action in [{}], resource)",
        names.join(", ")
    );
    // Each by itself, so that those on circumstances can be told from those on places.
    for condition in conditions {
        let _ = write!(text, "\nwhen {{ {condition} }}");
    }
    text.push_str(";\n");
}

fn any(alternatives: impl Iterator<Item = String>) -> String {
    let alternatives: Vec<_> = alternatives.map(|text| format!("({text})")).collect();
    alternatives.join(" || ")
}

/// A string literal of Cedar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// A pattern of Cedar that matches what begins with this text.
fn beginning(text: &str) -> String {
    format!("\"{}*\"", escaped(text).replace('*', "\\*"))
}

/// A pattern of Cedar in which `*` stays what it is.
fn glob(text: &str) -> String {
    quoted(text)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ if character.is_control() => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

fn datetime(moment: OffsetDateTime) -> Result<String, RuleError> {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let utc = moment
        .checked_to_offset(time::UtcOffset::UTC)
        .filter(|utc| (0..=9999).contains(&utc.year()))
        .ok_or(RuleError::Time { time: moment })?;
    utc.format(format)
        .map(|text| format!("datetime(\"{text}\")"))
        .map_err(|_| RuleError::Time { time: moment })
}

fn since_midnight(time: Time) -> String {
    let minutes = u32::from(time.hour()) * 60 + u32::from(time.minute());
    format!("duration(\"{minutes}m\")")
}
