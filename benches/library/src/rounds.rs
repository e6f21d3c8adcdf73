//! Taking turns, by the CPU clock of the thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Turns of each.
    pub rounds: usize,
    /// CPU time of a turn.
    pub turn: Duration,
}

/// Something that can be done again and again.
pub trait Work {
    /// What has to be made anew each time, and is not measured.
    ///
    /// # Errors
    /// Whatever goes wrong; nothing is measured then.
    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// What is measured.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn run(&mut self) -> anyhow::Result<()>;
}

impl<F: FnMut() -> anyhow::Result<()>> Work for F {
    fn run(&mut self) -> anyhow::Result<()> {
        self()
    }
}

/// One of those that are compared.
pub type Contender = (String, Box<dyn Work>);

/// Seconds of one run, in each round.
pub struct Times {
    /// Who was measured.
    pub name: String,
    /// One for each round.
    pub seconds: Vec<f64>,
}

impl Times {
    /// In the median round.
    pub fn median(&self) -> f64 {
        quantile(self.seconds.clone(), 0.5)
    }

    /// How fast this is, as a share of `other`'s speed: what the median round says, and the lower and upper quarter.
    pub fn share_of(&self, other: &Self) -> [f64; 3] {
        let shares: Vec<f64> = self
            .seconds
            .iter()
            .zip(&other.seconds)
            .map(|(own, others)| others / own)
            .collect();
        [0.25, 0.5, 0.75].map(|share| quantile(shares.clone(), share))
    }
}

/// The value below which `share` of the values are.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few rounds"
    )]
    let place = (values.len() as f64 * share) as usize;
    values
        .get(place.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The thread's own CPU time: others on the machine have no part in it.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.try_into().unwrap_or_default(),
        now.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// What reading the clock itself adds to each span, measured once.
fn cost_of_clock() -> Duration {
    (0..1_000)
        .map(|_| {
            let start = cpu();
            cpu().saturating_sub(start)
        })
        .min()
        .unwrap_or_default()
}

/// Measures all of them in turns, in an order that changes; the first round is for warming up.
///
/// # Errors
/// The first failure of any of them.
pub fn measure(effort: Effort, mut contenders: Vec<Contender>) -> anyhow::Result<Vec<Times>> {
    let clock = cost_of_clock();
    let mut times: Vec<Times> = contenders
        .iter()
        .map(|(name, _)| Times {
            name: name.clone(),
            seconds: Vec::new(),
        })
        .collect();
    for round in 0..=effort.rounds {
        for place in 0..contenders.len() {
            let place = (place + round) % contenders.len();
            let (mut spent, mut runs) = (Duration::ZERO, 0_u32);
            while spent < effort.turn {
                contenders[place].1.prepare()?;
                let start = cpu();
                contenders[place].1.run()?;
                spent += cpu().saturating_sub(start).saturating_sub(clock);
                runs += 1;
            }
            if round > 0 {
                times[place].seconds.push(spent.as_secs_f64() / f64::from(runs));
            }
        }
    }
    Ok(times)
}

/// `count` times in one run, for what is too short for the clock.
pub fn repeated(count: usize, mut work: impl FnMut() -> anyhow::Result<()> + 'static) -> Box<dyn Work> {
    Box::new(move || (0..count).try_for_each(|_| work()))
}
