//! Waiting until everything refuses, for as long as a key service may take to tell all of its servers.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};

use super::carry_out::Work;
use super::certificate::ObjectsTried;
use super::destroy::{self, Condition};
use super::fate;
use super::moment::Moment;
use super::order::Order;
use super::plan::{KeyState, Plan, PlannedKey};
use super::{known, proof, report, resume};
use crate::scan::key_name::KeyName;

/// How long a key service may go on opening after it has taken a deletion: AWS KMS is eventually consistent.
const SETTLING: Duration = Duration::from_mins(3);

/// How long AWS KMS itself has to refuse without an interruption before gateways drop what they have cached. Its documentation
/// says of changes of a key's state that they reach all of it within seconds, or a few minutes.
const CONSISTENCY: Duration = Duration::from_mins(5);

/// The pause between attempts meanwhile.
const PAUSE: Duration = Duration::from_secs(3);

/// How many times what is needed a run waits for it, where refusals are interrupted again and again.
const ATTEMPTS: u32 = 3;

/// For how long everything has refused.
#[derive(Debug)]
struct Stillness {
    needed: Duration,
    began: Instant,
    /// Since when, without an interruption.
    since: Option<Instant>,
    last: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Enough,
    Wait,
    TooLong,
}

impl Stillness {
    fn new(needed: Duration, now: Instant) -> Self {
        Self {
            needed,
            began: now,
            since: None,
            last: now,
        }
    }

    fn refused(&mut self, now: Instant) -> Verdict {
        self.last = now;
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= self.needed {
            Verdict::Enough
        } else {
            self.in_time(now)
        }
    }

    /// Something was not refused, or nobody could tell.
    fn interrupted(&mut self, now: Instant) -> Verdict {
        self.since = None;
        if now.duration_since(self.last) >= SETTLING {
            Verdict::TooLong
        } else {
            self.in_time(now)
        }
    }

    fn in_time(&self, now: Instant) -> Verdict {
        if now.duration_since(self.began) < self.needed * ATTEMPTS + SETTLING {
            Verdict::Wait
        } else {
            Verdict::TooLong
        }
    }
}

/// What comes of asking for everything once.
#[derive(Debug)]
pub(super) enum Pass {
    /// Each key that was asked for gave the answer that is written down, and nothing opens.
    Refused {
        asked: Vec<KeyName>,
        objects: ObjectsTried,
    },
    /// Right after its deletion, a service says that a key can be used, or that it goes on another date; with what is to be said.
    NotHeard(String),
    /// A key gave another answer, which is written down now; with what is to be said.
    TakenBack(String),
}

impl Work<'_> {
    /// Until each key service refuses, and has done so, with the same answers, for as long as it may take to be told everywhere.
    /// The keys as they were written down then.
    pub(super) async fn settle(&self, order: &mut Order) -> anyhow::Result<Vec<PlannedKey>> {
        let needed = consistency(order.plan()?);
        if !needed.is_zero() {
            report::tell(&format!(
                "waiting for {} minutes while AWS KMS tells all of its servers that the key is to go; as long again after each time that one does not refuse",
                needed.as_secs() / 60
            ));
        }
        let mut stillness = Stillness::new(needed, Instant::now());
        let mut is_announced = false;
        let mut is_doubtful = false;
        loop {
            let (verdict, error) = match self.ask_all(order).await {
                Ok(Pass::Refused { .. }) => match stillness.refused(Instant::now()) {
                    Verdict::Enough => return Ok(order.plan()?.keys.clone()),
                    Verdict::Wait => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    Verdict::TooLong => {
                        bail!(
                            "the keys are destroyed, and their service refuses now and then only; run this again to wait once more"
                        )
                    }
                },
                Ok(Pass::TakenBack(cause)) => bail!("{cause}"),
                Ok(Pass::NotHeard(cause)) => {
                    is_doubtful = true;
                    (stillness.interrupted(Instant::now()), anyhow!(cause))
                }
                Err(error) => (stillness.interrupted(Instant::now()), error),
            };
            if verdict == Verdict::TooLong {
                // While only the storage or a service does not answer, a timer may come back: no key is left for it to destroy.
                if is_doubtful {
                    order.mark(format!("that nothing opens could not be shown: {error:#}"));
                    self.save(order)?;
                }
                return Err(error.context("the keys are destroyed, and that nothing opens could not be shown; run this again to try once more. If a key service is gone for good, end the order with your own word: the same command with --destroyed KEY for each of its keys, which the certificate calls not confirmed"));
            }
            if !is_announced {
                is_announced = true;
                report::tell(&format!(
                    "not everything refuses yet; trying again for at most {} minutes: {error:#}",
                    (needed * ATTEMPTS + SETTLING).as_secs() / 60
                ));
            }
            tracing::debug!(error = %format!("{error:#}"), "not shown yet");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks for each key once, and tries the sample. A key that gives another answer than what is written down is written down
    /// so, and needs a person; only right after its deletion, while not all of its service may know of it, it is waited for.
    ///
    /// # Errors
    ///
    /// Where something opens still, or nobody can tell.
    pub(super) async fn ask_all(&self, order: &mut Order) -> anyhow::Result<Pass> {
        let services = known::key_services(self.config, Some(&order.plan()?.as_planned())).await?;
        let mut asked = Vec::new();
        for place in 0..order.plan()?.keys.len() {
            let key = order.planned(place)?.clone();
            let KeyState::Destroyed(destroyed) = &key.state else {
                ensure!(
                    key.is_not_asked(),
                    "{} was not destroyed",
                    key.chosen.full_name
                );
                continue;
            };
            let found =
                resume::condition_of(self.config, self.passphrase, order, &services, &key).await;
            // By the operator's word nothing is certified, and what is written down decides.
            let is_same = fate::is_on_course(
                &PlannedKey {
                    was_stated: false,
                    ..key.clone()
                },
                &found,
                false,
            );
            if is_same {
                asked.push(key.chosen.key.clone());
                continue;
            }
            let is_fresh = destroyed.done.after(CONSISTENCY) > Moment::now();
            match &found {
                Condition::Going(deletion) if is_fresh => {
                    let date = destroy::date_of(deletion);
                    if let KeyState::Destroyed(destroyed) = &mut order.planned(place)?.state {
                        destroyed.final_from = date;
                    }
                    self.save(order)?;
                    return Ok(Pass::NotHeard(format!(
                        "{}: its service says another date than before: {date}",
                        key.chosen.service()
                    )));
                }
                Condition::Usable | Condition::Disabled if is_fresh => {
                    return Ok(Pass::NotHeard(format!(
                        "{}: its service says of the key that {found}",
                        key.chosen.service()
                    )));
                }
                Condition::Usable | Condition::Disabled | Condition::Going(_) => {
                    resume::learn(order, place, &found)?;
                    self.save(order)?;
                    return Ok(Pass::TakenBack(resume::to_confirm(order)));
                }
                found => bail!(
                    "what has become of the key of {} cannot be found out: {found}",
                    key.chosen.service()
                ),
            }
        }
        let gateway = self.gateway(order).await?;
        let objects = proof::refused(&gateway, order.plan()?).await?;
        Ok(Pass::Refused { asked, objects })
    }
}

/// How long the key services of these keys have to refuse without an interruption. AWS KMS is eventually consistent, and each
/// of its servers by itself: one that refuses us may not be the one that a gateway asks.
fn consistency(plan: &Plan) -> Duration {
    let is_at_aws = |key: &PlannedKey| match &key.state {
        KeyState::Destroyed(destroyed) => {
            destroyed.key.is_at_aws_kms() && destroyed.not_covered.is_none()
        }
        _ => false,
    };
    if plan.keys.iter().any(is_at_aws) {
        CONSISTENCY
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_once_in_a_while_does_not_count_as_refused_without_an_interruption() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stillness = Stillness::new(CONSISTENCY, start);
        assert_eq!(stillness.refused(at(0)), Verdict::Wait);
        assert_eq!(stillness.interrupted(at(3)), Verdict::Wait);
        assert_eq!(stillness.refused(at(170)), Verdict::Wait);
        assert_eq!(stillness.interrupted(at(290)), Verdict::Wait);
        assert_eq!(stillness.refused(at(300)), Verdict::Wait);
        assert_eq!(stillness.refused(at(599)), Verdict::Wait);
        assert_eq!(stillness.refused(at(600)), Verdict::Enough);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut away = Stillness::new(Duration::ZERO, start);
        assert_eq!(away.interrupted(at(179)), Verdict::Wait);
        assert_eq!(away.interrupted(at(180)), Verdict::TooLong);
        let mut flickering = Stillness::new(CONSISTENCY, start);
        let mut seconds = 0;
        while flickering.refused(at(seconds)) == Verdict::Wait
            && flickering.interrupted(at(seconds + 60)) == Verdict::Wait
        {
            seconds += 120;
            assert!(seconds < 3_600, "it waits for ever");
        }
        assert!(seconds > 900, "{seconds}");
        let mut quick = Stillness::new(Duration::ZERO, start);
        assert_eq!(quick.refused(at(0)), Verdict::Enough);
    }
}
