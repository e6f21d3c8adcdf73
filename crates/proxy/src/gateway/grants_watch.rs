//! Keeps up with requests for grants, for the audit log: who asked, approved, denied and revoked. No request waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use sealgate_access::grant::{GrantRequest, Votes};
use sealgate_audit::{Decision, Event, Verdict};

use super::{Gateway, grants::terms};
use crate::config::GrantsConfig;
use crate::error::S3Error;
use crate::grants::Authority;
use crate::state::grants::{GrantRecords, Listed};

/// Between two looks, which cost the storage a listing.
const INTERVAL: Duration = Duration::from_secs(8);

/// How long one look may take. What it has read until then is not read again.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// Requests that are older are over.
const OLDEST: Duration = Duration::from_hours(15 * 24);

/// Records that are read at one look; the others wait for the next one.
const READ_AT_ONCE: usize = 100;

impl Gateway {
    /// Keeps up with grants for as long as the gateway lives.
    pub(crate) fn watch_grants(self: &Arc<Self>) {
        self.watch_revocations();
        let watch = Watch {
            gateway: Arc::downgrade(self),
            authority: Arc::clone(&self.grants),
            records: GrantRecords::new(self.state.clone()),
            known: HashMap::new(),
            told: HashSet::new(),
        };
        tokio::spawn(watch.run());
    }
}

struct Watch {
    gateway: Weak<Gateway>,
    authority: Arc<Authority>,
    records: GrantRecords,
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
        while self.gateway.strong_count() > 0 {
            if let Some(config) = self.authority.config() {
                let looked = tokio::time::timeout(LOOK_LIMIT, self.look(&config)).await;
                let trouble = match looked {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("it took more than {LOOK_LIMIT:?}")),
                };
                if let Some(cause) = trouble {
                    tracing::warn!(
                        cause,
                        "not all requests for grants could be looked at, so that steps are missing in the audit log"
                    );
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&mut self, config: &GrantsConfig) -> Result<(), S3Error> {
        let mut listed = self.records.list().await?;
        let is_recent = |one: &Listed| one.modified.elapsed().is_ok_and(|age| age < OLDEST);
        listed.retain(|one| is_recent(one) || one.modified > SystemTime::now());
        let ids: HashSet<&String> = listed.iter().map(|one| &one.id).collect();
        self.known.retain(|id, _| ids.contains(id));
        self.told.retain(|step| ids.contains(&step.id));
        if let Some(list) = self.authority.newest() {
            for one in listed.iter().filter(|one| list.revoked.contains(&one.id)) {
                let step = Step {
                    id: one.id.clone(),
                    operation: "GrantRevoked",
                    who: String::new(),
                };
                self.tell(vec![step], None).await?;
            }
        }
        let is_new = |one: &&Listed| self.known.get(&one.id) != Some(&one.modified);
        let unread: Vec<_> = listed.iter().filter(is_new).cloned().collect();
        for one in unread.into_iter().take(READ_AT_ONCE) {
            // One that cannot be had now is read the next time; what is no record is not.
            let found = match self.records.get(&one.id).await {
                Ok(found) => found,
                Err(error) if error.status.is_server_error() && error.code != "InternalError" => {
                    return Err(error);
                }
                Err(_) => None,
            };
            // What fits no rule is nobody's step: anybody who can write to the storage could fill the log.
            if let Some((record, _)) = found
                && let Ok(request) = record.request(&one.id)
                && request.fits(&config.rules).is_ok()
            {
                let votes = record.votes(&request.requester, &config.rules);
                self.tell(steps_of(&request, votes), Some(&request)).await?;
            }
            self.known.insert(one.id, one.modified);
        }
        Ok(())
    }

    /// Records those of some steps of one request that are not recorded yet.
    async fn tell(
        &mut self,
        mut steps: Vec<Step>,
        request: Option<&GrantRequest>,
    ) -> Result<(), S3Error> {
        steps.retain(|step| !self.told.contains(step));
        let Some(gateway) = self.gateway.upgrade().filter(|_| !steps.is_empty()) else {
            return Ok(());
        };
        if let Some(audit) = gateway.audit.get() {
            let events = steps.iter().map(|step| event_of(step, request));
            audit.record(events.collect()).await?;
        } else {
            for step in &steps {
                tracing::info!(target: "sealgate::audit", grant = step.id, identity = step.who, operation = step.operation, "step of a grant");
            }
        }
        self.told.extend(steps);
        Ok(())
    }
}

fn event_of(step: &Step, request: Option<&GrantRequest>) -> Event {
    Event::intent(Decision {
        identity: step.who.clone(),
        grant: Some(step.id.clone()),
        operation: step.operation.to_owned(),
        bucket: request.map(|request| request.scope.bucket.clone()),
        key: request.map(|request| format!("{}*", request.scope.prefix)),
        policy: request.map(terms),
        ..Decision::new(match step.operation {
            "GrantDenied" | "GrantRevoked" => Verdict::Deny,
            _ => Verdict::Allow,
        })
    })
}

/// That somebody asked is told by the record alone, and is no proof; approvals and denials were verified. No more than there may be signatures.
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
