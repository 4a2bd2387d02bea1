//! What changed since an earlier report.

use std::collections::BTreeMap;

use crate::job::report::Report;
use crate::verdict::duration;

/// A difference below this share of the larger figure is not reported, percent.
const LEAST_PERCENT: u64 = 5;

/// A difference of times below this is not reported, ns.
const LEAST_NS: u64 = 5_000_000;

/// An earlier report beside this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The earlier one's name.
    pub name: String,
    /// When it started.
    pub started: String,
    /// How it ended.
    pub exit: String,
    /// Wall time, CPU time and processes; then what grew or shrank, the largest change first.
    pub changes: Vec<Change>,
}

/// A figure of two reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the figure.
    pub what: String,
    /// The figure in the earlier report.
    pub before: u64,
    /// The figure in this report.
    pub after: u64,
    /// Whether it is a time in ns.
    pub is_time: bool,
}

impl Change {
    fn in_words(&self, figure: u64) -> String {
        if self.is_time { duration(figure) } else { figure.to_string() }
    }

    pub(in crate::job) fn before_in_words(&self) -> String {
        self.in_words(self.before)
    }

    pub(in crate::job) fn after_in_words(&self) -> String {
        self.in_words(self.after)
    }

    /// Returns the difference with its sign.
    pub(in crate::job) fn grown_in_words(&self) -> String {
        let difference = self.before.abs_diff(self.after);
        let sign = if self.after < self.before { "-" } else { "+" };
        match u128::from(difference) * 100 / u128::from(self.before.max(1)) {
            _ if self.before == 0 && difference > 0 => "new".into(),
            _ if difference == 0 => "=".into(),
            percent if percent < 10_000 => format!("{sign}{percent} %"),
            _ => format!("{sign}{}", self.in_words(difference)),
        }
    }

    fn matters(&self) -> bool {
        let difference = self.before.abs_diff(self.after);
        let is_large = u128::from(difference) * 100
            >= u128::from(self.before.max(self.after)) * u128::from(LEAST_PERCENT);
        difference > 0 && is_large && (!self.is_time || difference >= LEAST_NS)
    }
}

/// Compares a report with an earlier one.
#[must_use]
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let time = |what: &str, of: fn(&Report) -> u64| Change {
        what: what.into(),
        before: of(before),
        after: of(after),
        is_time: true,
    };
    let count = |what: &str, of: fn(&Report) -> u64| Change { is_time: false, ..time(what, of) };
    let mut changes = vec![
        time("wall time", |report| report.wall_ns),
        time("CPU time", |report| report.cost().cpu_ns),
        count("processes", |report| report.processes.made),
    ];
    let more = [
        time("run queue", |report| report.cost().run_delay_ns),
        time("critical path: on a CPU", |report| report.critical_path.time.cpu_ns),
        time("critical path: asleep", |report| report.critical_path.time.asleep_ns),
        time("one process alone", |report| report.parallelism.alone_ns),
        count("execs", |report| report.processes.execs),
        count("threads", |report| report.processes.threads_made),
        count("most processes at once", |report| report.processes.most_at_once),
        count("failures", |report| report.failures.count),
        count("zombies", |report| report.zombies.count),
        count("leftovers", |report| report.leftovers.len() as u64),
        count("major page faults", |report| report.cost().major_faults),
    ];
    changes.extend(more.into_iter().filter(Change::matters));
    let mut programs = programs(before, after);
    programs.retain(Change::matters);
    programs.sort_by_key(|change| std::cmp::Reverse(change.before.abs_diff(change.after)));
    changes.extend(programs);
    let (name, started) = (before.name.clone(), before.started.clone());
    Comparison { name, started, exit: before.exit_in_words(), changes }
}

fn programs(before: &Report, after: &Report) -> Vec<Change> {
    let mut times: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for consumer in &before.programs {
        times.entry(&consumer.name).or_default().0 = consumer.sum.cost.cpu_ns;
    }
    for consumer in &after.programs {
        times.entry(&consumer.name).or_default().1 = consumer.sum.cost.cpu_ns;
    }
    let change = |(name, (before, after))| Change {
        what: format!("CPU time of {name}"),
        before,
        after,
        is_time: true,
    };
    times.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{
        cost::{Cost, Sum},
        report::Consumer,
    };

    fn report(wall_ns: u64, programs: &[(&str, u64)]) -> Report {
        let consumer = |&(name, cpu_ns): &(&str, u64)| Consumer {
            name: name.into(),
            execs: 1,
            sum: Sum { processes: 1, cost: Cost { cpu_ns, ..Cost::default() } },
        };
        Report { wall_ns, programs: programs.iter().map(consumer).collect(), ..Report::default() }
    }

    #[test]
    fn what_grew_most_comes_first_and_small_changes_are_left_out() {
        let before = report(2_000_000_000, &[("cc1", 900_000_000), ("as", 100_000_000), ("ld", 50_000_000)]);
        let after =
            report(3_000_000_000, &[("cc1", 1_900_000_000), ("as", 101_000_000), ("lld", 20_000_000)]);
        let comparison = compare(&before, &after);
        let shown: Vec<_> =
            comparison.changes.iter().map(|change| (&*change.what, change.grown_in_words())).collect();
        let expected = [
            ("wall time", "+50 %"),
            ("CPU time", "="),
            ("processes", "="),
            ("CPU time of cc1", "+111 %"),
            ("CPU time of ld", "-100 %"),
            ("CPU time of lld", "new"),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(what, grown)| (what, grown.to_owned())).collect();
        assert_eq!(shown, expected);
    }
}
