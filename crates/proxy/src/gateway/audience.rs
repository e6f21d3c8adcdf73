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
        let names = self
            .live
            .with_roles(with_other_names(own.collect(), &rules.approvers));
        let may_ask = names.intersection(&rules.requesters);
        may_ask.cloned().collect()
    }
}

/// These names, and those that an approver has who has one of them.
fn with_other_names(mut names: BTreeSet<String>, approvers: &[Approver]) -> BTreeSet<String> {
    for approver in approvers {
        let mut all = approver.identities.iter().chain([&approver.name]);
        if all.any(|name| names.contains(name)) {
            names.extend(approver.identities.iter().cloned());
            names.insert(approver.name.clone());
        }
    }
    names
}
