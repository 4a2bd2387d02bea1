//! How full the limits on pids are, and when they will be full.

use std::collections::{HashMap, VecDeque};

use super::Mark;
use crate::{
    answer::{
        limits::{Limit, Limits},
        text::escape,
    },
    verdict::duration,
};

/// How far back the usage goes from which a forecast is computed, ns.
const PAST_NS: u64 = 300_000_000_000;

/// The least time that gives a forecast, ns.
const LEAST_NS: u64 = 10_000_000_000;

/// A limit that will be full later than this, s, has no forecast.
const HORIZON_S: f64 = 7.0 * 86_400.0;

/// Past usage of a limit: times, ns, with numbers of tasks.
type History = VecDeque<(u64, u64)>;

/// Limits, the fullest first, with their past usage.
#[derive(Debug, Default)]
pub struct Budget {
    limits: Vec<Limit>,
    history: HashMap<(String, String), History>,
}

/// A row of a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetLine {
    /// The mark of the row.
    pub mark: Mark,
    /// How much of it is used, 0 to 1.
    pub used: f64,
    /// `208 of 32768`.
    pub numbers: String,
    /// `kernel.pid_max`.
    pub what: String,
    /// `FULL: fork fails with EAGAIN`, `+12.0/min, full in 4 h`.
    pub forecast: String,
    /// The consumer that uses most of it.
    pub consumer: String,
}

impl Budget {
    pub(super) fn add(&mut self, answer: Limits) {
        let now = answer.made.boottime_ns;
        let mut history = HashMap::with_capacity(answer.limits.len());
        for limit in &answer.limits {
            let key = (limit.kind.clone(), limit.name.clone());
            let mut past = self.history.remove(&key).unwrap_or_default();
            past.push_back((now, limit.used));
            while past.front().is_some_and(|&(at, _)| now.saturating_sub(at) > PAST_NS) {
                past.pop_front();
            }
            history.insert(key, past);
        }
        self.history = history;
        self.limits = answer.limits;
    }

    /// Returns the number of limits.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether no limit is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Returns the row of a limit.
    #[must_use]
    pub fn line(&self, n: usize) -> Option<BudgetLine> {
        let limit = self.limits.get(n)?;
        let rate = self.history.get(&(limit.kind.clone(), limit.name.clone())).and_then(per_second);
        let used = share(limit);
        let mark = match used {
            _ if limit.full => Mark::Bad,
            0.8.. => Mark::Odd,
            _ => Mark::None,
        };
        Some(BudgetLine {
            mark,
            used,
            numbers: format!("{} of {}", limit.used, limit.limit),
            what: escape(&limit.what()),
            forecast: forecast(limit, rate),
            consumer: limit.consumers.first().map_or_else(String::new, |it| escape(&it.words())),
        })
    }
}

/// Returns which share of a limit is used, 0 to 1. Numbers of tasks fit into an `f64`.
#[expect(clippy::cast_precision_loss, reason = "at most 4,194,304 tasks")]
fn share(limit: &Limit) -> f64 {
    if limit.limit == 0 { 1.0 } else { (limit.used as f64 / limit.limit as f64).min(1.0) }
}

/// Returns the growth in tasks per second: the slope of a least-squares fit. `None` if the time is too short.
#[expect(clippy::cast_precision_loss, reason = "five minutes and 4,194,304 tasks")]
fn per_second(past: &History) -> Option<f64> {
    let &(first, used) = past.front()?;
    if past.back()?.0.saturating_sub(first) < LEAST_NS {
        return None;
    }
    let points = past.iter().map(|&(at, count)| ((at - first) as f64 / 1e9, count as f64 - used as f64));
    let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (seconds, count) in points {
        n += 1.0;
        x += seconds;
        y += count;
        xx += seconds * seconds;
        xy += seconds * count;
    }
    let width = n * xx - x * x;
    (width > 0.0).then(|| (n * xy - x * y) / width)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "at most 4,194,304 tasks; the time is not negative and below the horizon"
)]
fn forecast(limit: &Limit, rate: Option<f64>) -> String {
    if limit.full {
        return format!("FULL: fork fails with {}", escape(&limit.errno));
    }
    let Some(rate) = rate else { return String::new() };
    let room = limit.limit.saturating_sub(limit.used) as f64;
    let seconds = room / rate;
    // Less than one task in two minutes is noise.
    if rate <= 1.0 / 120.0 || seconds > HORIZON_S {
        return "steady".into();
    }
    format!("{:+.0}/min, full in {}", rate * 60.0, duration((seconds * 1e9) as u64))
}
