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

/// The past that a forecast is drawn from.
const PAST_NS: u64 = 300_000_000_000;

/// A shorter past gives no forecast.
const LEAST_NS: u64 = 10_000_000_000;

/// A limit that fills up later than that does not.
const HORIZON_S: f64 = 7.0 * 86_400.0;

/// How a limit was used: moments with numbers.
type History = VecDeque<(u64, u64)>;

/// Limits, the fullest first, with their past.
#[derive(Debug, Default)]
pub struct Budget {
    limits: Vec<Limit>,
    history: HashMap<(String, String), History>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetLine {
    /// What stands out.
    pub mark: Mark,
    /// How much of it is used, 0 to 1.
    pub used: f64,
    /// `208 of 32768`.
    pub numbers: String,
    /// `kernel.pid_max`.
    pub what: String,
    /// `FULL: fork fails with EAGAIN`, `+12.0/min, full in 4 h`.
    pub forecast: String,
    /// Who uses most of it.
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

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether none is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// One of them.
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

/// How much of a limit is used. Numbers of tasks fit a `f64`.
#[expect(clippy::cast_precision_loss, reason = "at most 4,194,304 tasks")]
fn share(limit: &Limit) -> f64 {
    if limit.limit == 0 { 1.0 } else { (limit.used as f64 / limit.limit as f64).min(1.0) }
}

/// How many tasks more a second: the slope of the line through the past with the least squares; `None` where that is too short.
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
