//! Who else may read what a request copies unseen: anybody, or its maker under another name.

use std::collections::BTreeSet;

use sealgate_access::grant::Approver;

use super::Gateway;
use super::live::Live;
use crate::{
    auth::{Authenticated, Caller},
    policy::{self, Audience},
};

/// The audience of what one caller copies.
pub(super) struct AudienceOf<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) live: &'a Live,
    pub(super) caller: &'a Authenticated<Caller>,
}

impl Audience for AudienceOf<'_> {
    fn is_public(&self, bucket: &str, key: &str) -> bool {
        policy::is_public(&self.gateway.config.anonymous, bucket, key)
    }

    fn requesters(&self) -> Vec<String> {
        let Some(config) = self.gateway.grants.config() else {
            return Vec::new();
        };
        let rules = &config.rules;
        let own = [&*self.caller.identity].into_iter();
        let session = self.caller.session.iter();
        let own = own.chain(session.map(|claims| claims.source.as_str()));
        let own = own.filter(|name| !name.is_empty()).map(str::to_owned);
        let names = all_names(own.collect(), &rules.approvers, |names| {
            self.live.with_roles(names)
        });
        let may_ask = rules.requesters.iter();
        let may_ask = may_ask.filter(|name| is_among(&names, name));
        may_ask.cloned().collect()
    }
}

/// These names, and all others that whoever has one of them has by roles and as an approver.
fn all_names(
    mut names: BTreeSet<String>,
    approvers: &[Approver],
    with_roles: impl Fn(BTreeSet<String>) -> BTreeSet<String>,
) -> BTreeSet<String> {
    // Each round adds a name of the configuration, or is the last one.
    loop {
        let before = names.len();
        names = with_other_names(with_roles(names), approvers);
        if names.len() == before {
            return names;
        }
    }
}

/// These names, and those that an approver has who has one of them.
fn with_other_names(mut names: BTreeSet<String>, approvers: &[Approver]) -> BTreeSet<String> {
    for approver in approvers {
        if names.iter().any(|name| approver.is(name)) {
            names.extend(approver.identities.iter().cloned());
            names.insert(approver.name.clone());
        }
    }
    names
}

/// Whether somebody has a name, in whatever letter case, as approvers have theirs.
fn is_among(names: &BTreeSet<String>, name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use sealgate_access::PrivateKey;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn approver(name: &str, identities: &[&str]) -> Approver {
        Approver {
            name: name.to_owned(),
            identities: set(identities),
            key: PrivateKey::parse(&PrivateKey::text_of_seed(&[7; 32]))
                .unwrap()
                .public_key(),
        }
    }

    fn all(own: &str, approvers: &[Approver], roles: &[(&str, &str)]) -> BTreeSet<String> {
        all_names(set(&[own]), approvers, |names| {
            let assumed = roles.iter().filter(|(who, _)| is_among(&names, who));
            let assumed: Vec<_> = assumed.map(|(_, role)| (*role).to_owned()).collect();
            names.into_iter().chain(assumed).collect()
        })
    }

    #[test]
    fn an_approver_is_the_same_person_in_whatever_letter_case() {
        let approvers = [approver("Oscar", &["mover"])];
        let names = all("MOVER", &approvers, &[]);
        assert_eq!(names, set(&["MOVER", "mover", "Oscar"]));
        assert!(is_among(&names, "oscar"));
        assert!(!is_among(&names, "alice"));
    }

    #[test]
    fn other_names_are_followed_as_far_as_they_lead_in_any_order() {
        let approvers = [
            approver("oscar", &["third"]),
            approver("oscar", &["second"]),
            approver("second", &["first"]),
            approver("alice", &["alone"]),
        ];
        let expected = set(&["first", "oscar", "second", "third"]);
        assert_eq!(all("first", &approvers, &[]), expected);
        assert_eq!(all("alone", &approvers, &[]), set(&["alice", "alone"]));
    }

    #[test]
    fn names_lead_to_roles_and_roles_to_names() {
        let approvers = [approver("oscar", &["night-role"])];
        let roles = [("mover", "night-role"), ("oscar", "day-role")];
        let expected = set(&["day-role", "mover", "night-role", "oscar"]);
        assert_eq!(all("mover", &approvers, &roles), expected);
    }
}
