//! Keeps up with what is said about grants: the list of revocations every other second, and every step for the audit log. No request waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use sealgate_access::grant::{GrantRequest, Votes};
use sealgate_audit::{Decision, Event, Verdict, limits::MAX_EVENTS};

use super::Gateway;
use crate::error::S3Error;
use crate::grants::{Authority, Source};
use crate::state::grants::{GrantRecords, Listed};

/// Between two looks at the list of revocations. With [`LOOK_LIMIT`] a revocation is effective within 5 seconds of its being there.
const REVOCATIONS_INTERVAL: Duration = Duration::from_millis(1_500);

/// How long one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Looks at the list of revocations for one look at requests, which cost the storage a listing.
const LOOKS_FOR_REQUESTS: u32 = 6;

/// How long one look at requests may take.
const REQUESTS_LIMIT: Duration = Duration::from_secs(15);

/// Requests that are older are over.
const OLDEST: Duration = Duration::from_hours(15 * 24);

/// Records that are read at one look; the others wait for the next one.
const READ_AT_ONCE: usize = 100;

impl Gateway {
    /// Looks for as long as the gateway lives, where there are rules for grants.
    ///
    /// # Errors
    /// Where the configuration names certificate authorities that can't be used.
    pub(crate) fn watch_grants(self: &Arc<Self>) -> anyhow::Result<()> {
        let (Some(authority), Some(config)) = (&self.grants, &self.config.grants) else {
            return Ok(());
        };
        let records = GrantRecords::new(self.state.clone());
        let watch = Watch {
            gateway: Arc::downgrade(self),
            authority: Arc::clone(authority),
            source: Source::new(&config.revocations, &records)?,
            records,
            trouble: None,
            known: HashMap::new(),
            told: HashSet::new(),
        };
        tokio::spawn(watch.run());
        Ok(())
    }
}

struct Watch {
    gateway: Weak<Gateway>,
    authority: Arc<Authority>,
    source: Source,
    records: GrantRecords,
    /// Why the list of revocations could not be taken over the last time.
    trouble: Option<String>,
    /// When each request was written that was read, by the storage's clock.
    known: HashMap<String, SystemTime>,
    /// Steps that are in the audit log.
    told: HashSet<Step>,
}

/// Something that happened to a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    id: String,
    operation: &'static str,
    who: String,
}

impl Watch {
    async fn run(mut self) {
        let mut looks = 0_u32;
        while self.gateway.strong_count() > 0 {
            self.look_at_revocations().await;
            if looks.is_multiple_of(LOOKS_FOR_REQUESTS) {
                let looked = tokio::time::timeout(REQUESTS_LIMIT, self.look_at_requests()).await;
                if let Ok(Err(error)) = looked {
                    tracing::warn!(%error, "the requests for grants cannot be looked at, so that steps are missing in the audit log");
                }
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(REVOCATIONS_INTERVAL).await;
        }
    }

    /// What cannot be had changes nothing: the list that is known becomes stale by itself.
    async fn look_at_revocations(&mut self) {
        let read = tokio::time::timeout(LOOK_LIMIT, self.source.read()).await;
        let trouble = match read {
            Ok(Ok(Some(list))) => self
                .authority
                .take(&list)
                .err()
                .map(|error| error.to_string()),
            Ok(Ok(None)) => Some("there is no list of revocations".to_owned()),
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("it has not come within {LOOK_LIMIT:?}")),
        };
        if trouble != self.trouble {
            if let Some(cause) = &trouble {
                tracing::warn!(
                    cause,
                    "the list of revocations cannot be taken over; grants fail when the one before is stale, and at once where it goes backwards. `sealgate grant revoke --renew` signs a new one"
                );
            } else {
                let number = self.authority.newest().map(|list| list.number);
                tracing::info!(number, "the list of revocations is good");
            }
            self.trouble = trouble;
        }
    }

    async fn look_at_requests(&mut self) -> Result<(), S3Error> {
        let mut listed = self.records.list().await?;
        let is_recent = |one: &Listed| one.modified.elapsed().is_ok_and(|age| age < OLDEST);
        listed.retain(|one| is_recent(one) || one.modified > SystemTime::now());
        let ids: HashSet<&String> = listed.iter().map(|one| &one.id).collect();
        self.known.retain(|id, _| ids.contains(id));
        self.told.retain(|step| ids.contains(&step.id));
        let revoked = self.authority.newest().map(|list| list.revoked);
        let mut steps = Vec::new();
        let mut read = Vec::new();
        for one in &listed {
            if revoked.as_ref().is_some_and(|ids| ids.contains(&one.id)) {
                steps.push(Step {
                    id: one.id.clone(),
                    operation: "GrantRevoked",
                    who: String::new(),
                });
            }
            let is_known = self.known.get(&one.id) == Some(&one.modified);
            if is_known || read.len() >= READ_AT_ONCE {
                continue;
            }
            read.push((one.id.clone(), one.modified));
            let Ok(Some((record, _))) = self.records.get(&one.id).await else {
                continue;
            };
            // What fits no rule is nobody's step: anybody who can write to the storage could fill the log.
            let Ok(request) = record.request(&one.id) else {
                continue;
            };
            if request.fits(self.authority.rules()).is_ok() {
                let votes = record.votes(&request.requester, self.authority.rules());
                steps.extend(steps_of(&request, votes));
            }
        }
        steps.retain(|step| !self.told.contains(step));
        for some in steps.chunks(MAX_EVENTS) {
            self.tell(some).await?;
            self.told.extend(some.iter().cloned());
        }
        self.known.extend(read);
        Ok(())
    }

    async fn tell(&self, steps: &[Step]) -> Result<(), S3Error> {
        let Some(gateway) = self.gateway.upgrade() else {
            return Ok(());
        };
        let Some(audit) = gateway.audit.get() else {
            for step in steps {
                tracing::info!(target: "sealgate::audit", grant = step.id, identity = step.who, operation = step.operation, "step of a grant");
            }
            return Ok(());
        };
        let events = steps.iter().map(|step| {
            Event::intent(Decision {
                request: String::new(),
                identity: step.who.clone(),
                grant: Some(step.id.clone()),
                operation: step.operation.to_owned(),
                ..Decision::new(match step.operation {
                    "GrantDenied" | "GrantRevoked" => Verdict::Deny,
                    _ => Verdict::Allow,
                })
            })
        });
        audit.record(events.collect()).await.map(|_| ())
    }
}

/// That somebody asked is told by the record alone, and is no proof; approvals and denials were verified.
fn steps_of(request: &GrantRequest, votes: Votes) -> Vec<Step> {
    let step = |operation, who: String| Step {
        id: request.id.clone(),
        operation,
        who,
    };
    let mut steps = vec![step("GrantRequested", request.requester.clone())];
    steps.extend(
        votes
            .approved
            .into_iter()
            .map(|who| step("GrantApproved", who)),
    );
    steps.extend(votes.denied.into_iter().map(|who| step("GrantDenied", who)));
    steps
}
