//! What is said of a grant.

use std::fmt::Write as _;

use sealgate_access::grant::{GrantRecord, GrantRequest, Rules, Votes};
use sealgate_access::rfc3339;
use serde_json::{Value, json};

use super::Known;

/// How a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It waits for approvals.
    Pending,
    /// Somebody denied it, so no gateway gives credentials for it.
    Denied,
    /// Enough approved it.
    Approved,
    /// Enough approved it, and no grant counts, because nobody knows what is revoked.
    Suspended,
    /// It is on the list of revocations.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Status {
    pub(super) fn of(
        request: &GrantRequest,
        votes: &Votes,
        rules: &Rules,
        revocations: &Known,
        now: u64,
    ) -> Self {
        let list = revocations.list.as_ref();
        if list.is_some_and(|list| list.revoked.contains(&request.id)) {
            Self::Revoked
        } else if now >= request.expires {
            Self::Expired
        } else if !votes.denied.is_empty() {
            Self::Denied
        } else if votes.approved.len() >= rules.quorum && revocations.trouble.is_some() {
            Self::Suspended
        } else if votes.approved.len() >= rules.quorum {
            Self::Approved
        } else {
            Self::Pending
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Denied => "denied",
            Self::Approved => "approved",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// What an approver has to know before they sign.
pub(super) fn request_text(request: &GrantRequest) -> String {
    let place = format!("{}/{}", request.scope.bucket, request.scope.prefix);
    format!(
        "deployment: {:?}\nid:         {}\nfor:        {:?}\nplace:      {place:?} and everything that begins so\nactions:    {}\nreason:     {:?}\nticket:     {:?}\nfrom:       {}\nuntil:      {}",
        request.deployment,
        request.id,
        request.requester,
        request.scope.actions.join(", "),
        request.reason,
        request.ticket,
        rfc3339(request.not_before),
        rfc3339(request.expires),
    )
}

/// All of it, for programs.
pub(super) fn request_json(request: &GrantRequest) -> Value {
    json!({
        "id": request.id,
        "deployment": request.deployment,
        "requester": request.requester,
        "bucket": request.scope.bucket,
        "prefix": request.scope.prefix,
        "actions": request.scope.actions,
        "reason": request.reason,
        "ticket": request.ticket,
        "not_before": rfc3339(request.not_before),
        "expires": rfc3339(request.expires),
    })
}

/// The same, with who said what.
pub(super) fn record_json(
    request: &GrantRequest,
    record: &GrantRecord,
    rules: &Rules,
    status: Status,
) -> Value {
    let votes = record.votes(&request.requester, rules);
    let mut value = request_json(request);
    if let Some(members) = value.as_object_mut() {
        members.insert("status".to_owned(), json!(status.name()));
        members.insert("quorum".to_owned(), json!(rules.quorum));
        members.insert("approved_by".to_owned(), json!(votes.approved));
        members.insert("denied_by".to_owned(), json!(votes.denied));
        members.insert("invalid_signatures".to_owned(), json!(votes.invalid));
    }
    value
}

/// Who said what.
pub(super) fn votes_text(votes: &Votes, quorum: usize) -> String {
    let names = |names: &std::collections::BTreeSet<String>| {
        if names.is_empty() {
            return "nobody".to_owned();
        }
        names.iter().cloned().collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "approved by {} ({} of {quorum}), denied by {}",
        names(&votes.approved),
        votes.approved.len(),
        names(&votes.denied)
    );
    if votes.invalid > 0 {
        // Writing to a String never fails.
        let _ = write!(
            text,
            "; {} signatures are no approver's and count as nothing",
            votes.invalid
        );
    }
    text
}
