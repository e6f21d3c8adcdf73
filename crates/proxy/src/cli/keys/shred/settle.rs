//! Waiting until everything refuses, for as long as a key service may take to tell all of its servers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::carry_out::Work;
use super::certificate::ObjectsTried;
use super::moment::Moment;
use super::order::Order;
use super::plan::{KeyState, Plan, PlannedKey};
use super::proof::{self, Proof};
use super::{report, resume};

/// How long a key service may go on opening after it has taken a deletion: AWS KMS is eventually consistent.
const SETTLING: Duration = Duration::from_mins(3);

/// How long AWS KMS itself has to refuse without an interruption before gateways drop what they have cached. Its documentation
/// says of changes of a key's state that they reach all of it within seconds, or a few minutes.
pub(super) const CONSISTENCY: Duration = Duration::from_mins(5);

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

impl Work<'_> {
    /// Until each key service refuses, and has done so for as long as it may take to be told everywhere.
    pub(super) async fn settle(&self, order: &mut Order) -> anyhow::Result<()> {
        if order.progress.settled.is_some() {
            return Ok(());
        }
        let needed = consistency(order.plan()?);
        if !needed.is_zero() {
            report::tell(&format!(
                "waiting for {} minutes while AWS KMS tells all of its servers that the key is to go; as long again after each time that one does not refuse",
                needed.as_secs() / 60
            ));
        }
        self.until_refused(order, needed).await?;
        order.progress.settled = Some(Moment::now());
        self.save(order)
    }

    /// Tries until nothing opens, or until it takes too long. None where the date of a deletion has changed since the key
    /// services refused, so that everything behind that is to be done again.
    pub(super) async fn until_shown(
        &self,
        order: &mut Order,
    ) -> anyhow::Result<Option<ObjectsTried>> {
        self.until_refused(order, Duration::ZERO).await
    }

    async fn until_refused(
        &self,
        order: &mut Order,
        needed: Duration,
    ) -> anyhow::Result<Option<ObjectsTried>> {
        let has_settled = order.progress.settled.is_some();
        let mut stillness = Stillness::new(needed, Instant::now());
        let mut is_announced = false;
        loop {
            let gateway = self.gateway(order).await?;
            let days = order.waiting_days;
            let plan = order.progress.plan.as_mut().context("nothing is planned")?;
            let dates = plan.dates();
            let tried = proof::tried(&gateway, plan, days).await;
            let has_changed = plan.dates() != dates;
            let mut alive = None;
            let error = match tried {
                Ok(Proof::Shown(_)) if has_changed => {
                    if has_settled {
                        report::tell(
                            "the date of a deletion has changed: somebody has taken it back in the key service and given it again. What gateways may have cached meanwhile is dropped once more",
                        );
                        order.progress.unsettle();
                    }
                    self.save(order)?;
                    if has_settled {
                        return Ok(None);
                    }
                    anyhow::Error::msg("the date of a deletion has changed")
                }
                Ok(Proof::Shown(tried)) => match stillness.refused(Instant::now()) {
                    Verdict::Enough => return Ok(Some(tried)),
                    Verdict::Wait => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    Verdict::TooLong => {
                        bail!("the keys are destroyed, and their service refuses now and then only; run this again to wait once more")
                    }
                },
                Ok(Proof::Alive(place, cause)) => {
                    let taken_back = resume::taken_back(order, place, &cause);
                    if has_settled {
                        self.note_taken_back(order, place)?;
                        bail!("{taken_back}");
                    }
                    alive = Some(place);
                    anyhow::Error::msg(taken_back)
                }
                Err(error) => error.context("the keys are destroyed, and that nothing opens could not be shown; run this again to try once more. If a key service is gone for good, end the order with your own word: the same command with --destroyed KEY for each of its keys, which the certificate calls not confirmed"),
            };
            if stillness.interrupted(Instant::now()) == Verdict::TooLong {
                if let Some(place) = alive {
                    self.note_taken_back(order, place)?;
                }
                return Err(error);
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
}

/// How long the key services of these keys have to refuse without an interruption. AWS KMS is eventually consistent, and each
/// of its servers by itself: one that refuses us may not be the one that a gateway asks.
fn consistency(plan: &Plan) -> Duration {
    let is_at_aws = |key: &PlannedKey| match &key.state {
        KeyState::Destroyed(destroyed) | KeyState::OutOfReach(destroyed) => {
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
