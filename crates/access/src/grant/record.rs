//! What is stored of a request while it waits, and after: a record that anybody may have written, and in which signatures alone count.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    request::{Approval, DENIAL_NAMESPACE, Denial, GRANT_NAMESPACE, Grant, GrantRequest},
    verification::{APPROVALS_LIMIT, GrantError, Rules, folded},
};
use crate::canonical::{self, CanonicalError};

/// The most bytes of a record.
pub const RECORD_LIMIT: usize = 32 * 1024;

/// A request and what approvers said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRecord {
    /// The text of the request, byte for byte what is signed.
    pub request: String,
    /// Who approved it.
    pub approvals: Vec<Approval>,
    /// Who denied it.
    pub denials: Vec<Denial>,
}

/// Why somebody's word is not added to a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// It is not that of an approver, or not of this request.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// It is there already.
    #[error("{name} has approved it already")]
    Approved {
        /// Who.
        name: String,
    },
    /// They said the opposite.
    #[error("{name} has denied it; make a new request")]
    Denied {
        /// Who.
        name: String,
    },
    /// No more fit.
    #[error("the record is full: somebody wrote {APPROVALS_LIMIT} signatures into it")]
    Full,
}

/// What a record is worth by the rules: whatever else is in it counts as nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes {
    /// The names of those who approved.
    pub approved: BTreeSet<String>,
    /// The names of those who denied.
    pub denied: BTreeSet<String>,
    /// Signatures that are no approver's, or not of this request, or the requester's own.
    pub invalid: usize,
}

impl GrantRecord {
    /// A request that nobody said anything about.
    pub fn new(request: String) -> Self {
        Self {
            request,
            approvals: Vec::new(),
            denials: Vec::new(),
        }
    }

    /// Its one encoding.
    ///
    /// # Errors
    ///
    /// [`CanonicalError::TooLong`].
    pub fn to_text(&self) -> Result<String, CanonicalError> {
        let text = canonical::write(self)?;
        if text.len() > RECORD_LIMIT {
            return Err(CanonicalError::TooLong {
                length: text.len(),
                limit: RECORD_LIMIT,
            });
        }
        Ok(text)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`].
    pub fn of_text(text: &str) -> Result<Self, CanonicalError> {
        canonical::read(text, RECORD_LIMIT)
    }

    /// The request, which has to be the one that the record's name says.
    ///
    /// # Errors
    ///
    /// [`GrantError::Document`], and [`GrantError::Foreign`] for another one.
    pub fn request(&self, id: &str) -> Result<GrantRequest, GrantError> {
        let request = GrantRequest::of_text(&self.request)?;
        if request.id == id {
            Ok(request)
        } else {
            Err(GrantError::Foreign)
        }
    }

    /// Who approved and who denied it.
    pub fn votes(&self, requester: &str, rules: &Rules) -> Votes {
        let mut votes = Votes {
            approved: BTreeSet::new(),
            denied: BTreeSet::new(),
            invalid: 0,
        };
        for approval in self.approvals.iter().take(APPROVALS_LIMIT) {
            match self.approver(approval, requester, rules) {
                Ok(name) => _ = votes.approved.insert(name),
                Err(_) => votes.invalid += 1,
            }
        }
        for denial in self.denials.iter().take(APPROVALS_LIMIT) {
            match self.denier(denial, rules) {
                Ok(name) => _ = votes.denied.insert(name),
                Err(_) => votes.invalid += 1,
            }
        }
        let unread = |count: usize| count.saturating_sub(APPROVALS_LIMIT);
        votes.invalid += unread(self.approvals.len()) + unread(self.denials.len());
        votes
    }

    /// Adds an approval, and tells whose it is.
    ///
    /// # Errors
    ///
    /// [`RecordError`]; the record stays as it was.
    pub fn approve(
        &mut self,
        approval: Approval,
        requester: &str,
        rules: &Rules,
    ) -> Result<String, RecordError> {
        let name = self.approver(&approval, requester, rules)?;
        let votes = self.votes(requester, rules);
        if votes.approved.contains(&name) {
            return Err(RecordError::Approved { name });
        }
        if votes.denied.contains(&name) {
            return Err(RecordError::Denied { name });
        }
        self.approvals
            .retain(|known| approver_of(&self.request, known, requester, rules).is_ok());
        if self.approvals.len() >= APPROVALS_LIMIT {
            return Err(RecordError::Full);
        }
        self.approvals.push(approval);
        Ok(name)
    }

    /// Adds a denial, and tells whose it is. An approval of the same approver goes.
    ///
    /// # Errors
    ///
    /// [`RecordError`]; the record stays as it was.
    pub fn deny(
        &mut self,
        denial: Denial,
        requester: &str,
        rules: &Rules,
    ) -> Result<String, RecordError> {
        let name = self.denier(&denial, rules)?;
        if self.votes(requester, rules).denied.contains(&name) {
            return Err(RecordError::Denied { name });
        }
        let request = &self.request;
        self.approvals.retain(|known| {
            approver_of(request, known, requester, rules).is_ok_and(|other| other != name)
        });
        self.denials
            .retain(|known| denier_of(request, known, rules).is_ok());
        if self.denials.len() >= APPROVALS_LIMIT {
            return Err(RecordError::Full);
        }
        self.denials.push(denial);
        Ok(name)
    }

    /// The grant that it makes: as many good approvals as it takes, each of another approver, so that the token stays short. What is not good stays out.
    pub fn grant(&self, requester: &str, rules: &Rules) -> Grant {
        let mut names = BTreeSet::new();
        let mut approvals = Vec::new();
        for approval in self.approvals.iter().take(APPROVALS_LIMIT) {
            if approvals.len() >= rules.quorum.max(1) {
                break;
            }
            if let Ok(name) = self.approver(approval, requester, rules)
                && names.insert(name)
            {
                approvals.push(approval.clone());
            }
        }
        Grant {
            request: self.request.clone(),
            approvals,
        }
    }

    fn approver(
        &self,
        approval: &Approval,
        requester: &str,
        rules: &Rules,
    ) -> Result<String, GrantError> {
        approver_of(&self.request, approval, requester, rules)
    }

    fn denier(&self, denial: &Denial, rules: &Rules) -> Result<String, GrantError> {
        denier_of(&self.request, denial, rules)
    }
}

fn approver_of(
    request: &str,
    approval: &Approval,
    requester: &str,
    rules: &Rules,
) -> Result<String, GrantError> {
    let signed = (approval.key.as_str(), approval.signature.as_str());
    let signer = rules.signer(GRANT_NAMESPACE, request, signed)?;
    if rules.is_key_of(&signer.key, requester) {
        return Err(GrantError::SelfApproved {
            requester: requester.to_owned(),
        });
    }
    Ok(folded(&signer.name))
}

fn denier_of(request: &str, denial: &Denial, rules: &Rules) -> Result<String, GrantError> {
    let signed = (denial.key.as_str(), denial.signature.as_str());
    let signer = rules.signer(DENIAL_NAMESPACE, request, signed)?;
    Ok(folded(&signer.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        PrivateKey,
        grant::{Approver, Scope},
    };

    const REQUESTER: &str = "oscar";

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::parse(&PrivateKey::text_of_seed(&[seed; 32])).unwrap()
    }

    fn rules() -> Rules {
        let approver = |name: &str, seed| Approver {
            name: name.to_owned(),
            identities: BTreeSet::new(),
            key: key(seed).public_key(),
        };
        Rules {
            deployment: "d".to_owned(),
            requesters: BTreeSet::from([REQUESTER.to_owned()]),
            approvers: vec![
                approver("alice", 1),
                approver("bob", 2),
                approver("carol", 3),
                approver(REQUESTER, 4),
            ],
            quorum: 2,
            longest: 3_600,
        }
    }

    fn record() -> (String, GrantRecord) {
        let request = GrantRequest {
            version: GrantRequest::VERSION,
            deployment: "d".to_owned(),
            id: String::new(),
            nonce: String::new(),
            requester: REQUESTER.to_owned(),
            scope: Scope {
                bucket: "data".to_owned(),
                prefix: String::new(),
                actions: vec!["s3:GetObject".to_owned()],
            },
            reason: "r".to_owned(),
            ticket: String::new(),
            made: 1,
            not_before: 1,
            expires: 2,
        };
        let request = request.identified().unwrap();
        let text = request.to_text().unwrap();
        (request.id, GrantRecord::new(text))
    }

    fn approval(record: &GrantRecord, seed: u8) -> Approval {
        Approval::sign(&record.request, &key(seed)).unwrap()
    }

    #[test]
    fn approvals_add_up_to_a_grant_of_as_many_as_it_takes() {
        let (id, mut record) = record();
        let rules = rules();
        for (seed, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
            let added = record.approve(approval(&record, seed), REQUESTER, &rules);
            assert_eq!(added.unwrap(), name);
        }
        let again = record.approve(approval(&record, 1), REQUESTER, &rules);
        assert!(matches!(again, Err(RecordError::Approved { .. })));
        assert_eq!(record.grant(REQUESTER, &rules).approvals.len(), 2);
        let read = GrantRecord::of_text(&record.to_text().unwrap()).unwrap();
        assert_eq!(read.request(&id).unwrap().requester, REQUESTER);
        assert_eq!(read.votes(REQUESTER, &rules).approved.len(), 3);
        // The record of another id.
        assert!(read.request(&"B".repeat(32)).is_err());
    }

    #[test]
    fn the_requester_and_strangers_add_nothing() {
        let (_, mut record) = record();
        let rules = rules();
        let own = record.approve(approval(&record, 4), REQUESTER, &rules);
        assert!(matches!(
            own,
            Err(RecordError::Grant(GrantError::SelfApproved { .. }))
        ));
        let stranger = record.approve(approval(&record, 9), REQUESTER, &rules);
        assert_eq!(stranger, Err(GrantError::ForgedApproval.into()));
        // A denial is no approval.
        let denial = Denial::sign(&record.request, &key(1)).unwrap();
        let turned = Approval {
            key: denial.key,
            signature: denial.signature,
        };
        assert!(record.approve(turned, REQUESTER, &rules).is_err());
    }

    #[test]
    fn what_others_wrote_into_the_record_counts_as_nothing_and_does_not_spoil_the_grant() {
        let (_, mut record) = record();
        let rules = rules();
        for seed in [9, 4] {
            let forged = approval(&record, seed);
            record.approvals.push(forged);
        }
        assert_eq!(record.votes(REQUESTER, &rules).invalid, 2);
        for seed in [1, 2] {
            let good = approval(&record, seed);
            record.approve(good, REQUESTER, &rules).unwrap();
        }
        assert_eq!(record.approvals.len(), 2);
        assert_eq!(record.grant(REQUESTER, &rules).approvals.len(), 2);
        // A changed request has no approvals.
        record.request = record.request.replace("data", "other");
        assert!(record.grant(REQUESTER, &rules).approvals.is_empty());
        record.approvals = vec![approval(&record, 9); 100];
        let votes = record.votes(REQUESTER, &rules);
        assert_eq!((votes.approved.len(), votes.invalid), (0, 100));
    }

    #[test]
    fn who_denied_does_not_approve_any_more() {
        let (_, mut record) = record();
        let rules = rules();
        let good = approval(&record, 1);
        record.approve(good.clone(), REQUESTER, &rules).unwrap();
        let denial = Denial::sign(&record.request, &key(1)).unwrap();
        let name = record.deny(denial.clone(), REQUESTER, &rules).unwrap();
        assert_eq!(name, "alice");
        assert!(record.approvals.is_empty());
        assert!(matches!(
            record.approve(good, REQUESTER, &rules),
            Err(RecordError::Denied { .. })
        ));
        assert!(record.deny(denial, REQUESTER, &rules).is_err());
        let stranger = Denial::sign(&record.request, &key(9)).unwrap();
        assert!(record.deny(stranger, REQUESTER, &rules).is_err());
    }

    #[test]
    fn the_letter_case_of_a_name_makes_nobody_two() {
        let (_, mut record) = record();
        let mut rules = rules();
        rules.approvers[0].name = "Alice".to_owned();
        let good = approval(&record, 1);
        record.approve(good.clone(), REQUESTER, &rules).unwrap();
        let denial = Denial::sign(&record.request, &key(1)).unwrap();
        record.deny(denial, REQUESTER, &rules).unwrap();
        assert!(record.approvals.is_empty());
        assert!(matches!(
            record.approve(good, REQUESTER, &rules),
            Err(RecordError::Denied { .. })
        ));
    }
}
