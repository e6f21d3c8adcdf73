//! What is ordered: listed, and carried out when its time has come.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::super::service::runtime;
use super::carry_out::{Ended, Work};
use super::order::Order;
use super::orders::Stored;
use super::{Run, report};

/// How often, and after which pause, orders are read again until a run that is at work leaves them as they are.
const LISTING_ATTEMPTS: usize = 10;
const LISTING_PAUSE: Duration = Duration::from_millis(100);

impl Run<'_> {
    pub(super) fn list(&self) -> anyhow::Result<()> {
        let lock = self.orders.lock_if_free()?;
        let key = self.public_key()?;
        let (mut json, mut text, mut all_sound) = report::listing(self.orders.all(&key)?);
        if lock.is_none() {
            report::tell("another run is at work: what is shown may be a moment old");
            // It writes two files for each step, one after the other.
            for _ in 0..LISTING_ATTEMPTS {
                std::thread::sleep(LISTING_PAUSE);
                let again = report::listing(self.orders.all(&key)?);
                let is_same = again.0 == json;
                (json, text, all_sound) = again;
                if is_same {
                    break;
                }
            }
        }
        self.print(&json, &text)?;
        ensure!(all_sound, "some orders are none; nothing is done by them");
        Ok(())
    }

    pub(super) fn new_ended_list(&self) -> anyhow::Result<()> {
        let (_lock, key) = self.existing()?;
        self.orders.begin_again(&key)?;
        let (json, text, _) = report::listing(self.orders.all(&key.public()?)?);
        self.print(&json, &text)
    }

    pub(super) fn due(&self) -> anyhow::Result<()> {
        let (_lock, key) = self.existing()?;
        let work = self.work(&key, None);
        let mut outcomes = Vec::new();
        let mut failed = 0;
        for stored in self.orders.all(&key.public()?)? {
            let outcome = stored.and_then(|stored| match stored {
                Stored::Ended(ended, path) => Ok(report::Due::Ended(ended, path)),
                Stored::Order(order) => self.due_order(&work, *order),
            });
            failed += usize::from(!matches!(
                outcome,
                Ok(report::Due::Waiting(..) | report::Due::Done(..))
            ));
            outcomes.push(outcome);
        }
        let (json, text) = report::due(&outcomes);
        self.print(&json, &text)?;
        ensure!(
            failed == 0,
            "{failed} orders were not carried out; each is named above"
        );
        Ok(())
    }

    fn due_order(&self, work: &Work<'_>, mut order: Order) -> anyhow::Result<report::Due> {
        let domain = order.domain.clone();
        if order.waits() {
            // Whoever reads what timers say hears of it while there is time.
            work.require_straight_course(&order)
                .with_context(|| domain.clone())?;
            return Ok(report::Due::Waiting(domain, order.not_before));
        }
        order.without_gateways |= self.arguments.without_gateways;
        let ended = runtime()?.block_on(work.carry_out(&mut order, None, None));
        Ok(match ended.with_context(|| domain.clone())? {
            Ended::Done(certificate) => report::Due::Done(domain, order.certificate, certificate),
            Ended::Waits => report::Due::Waiting(domain, order.not_before),
            Ended::Refused(refusals) => report::Due::Refused(domain, refusals),
        })
    }
}
