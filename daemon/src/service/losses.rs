//! Logs, once for each cause and with the remedy, that a table of `--sched` is full. /metrics has the counts.

use probe_common::{SchedLosses, SchedLost};

use crate::kernel::sched::{CGROUPS, TASKS};

/// The causes that were logged.
#[derive(Default)]
pub(super) struct Losses {
    reported: [bool; SchedLost::COUNT],
}

impl Losses {
    /// Returns the texts to log now: of causes with a count that were not logged before.
    pub(super) fn news(&mut self, counts: &SchedLosses) -> Vec<String> {
        let mut news = Vec::new();
        for ((why, count), reported) in SchedLost::ALL.into_iter().zip(counts).zip(&mut self.reported) {
            if *count > 0
                && !*reported
                && let Some(text) = text(why)
            {
                news.push(format!(
                    "taskscope_sched_lost_total{{cause=\"{}\"}} grows: {text}; logged once",
                    why.name()
                ));
                *reported = true;
            }
        }
        news
    }
}

/// Returns the cause and the remedy as text; `None` if there is no remedy.
fn text(why: SchedLost) -> Option<String> {
    match why {
        SchedLost::TasksFull => Some(format!(
            "there are more tasks than --sched follows, and waits of the other tasks are not counted; the table is as large as kernel.pid_max \
             was when taskscope started, but at most {TASKS}: restart taskscope if kernel.pid_max was raised since"
        )),
        SchedLost::CgroupsFull => Some(format!(
            "more cgroups have tasks than the {} that can have histograms of their own, and waits in the others count as unit=\"other\"; histograms of removed cgroups are used again: let services remove theirs when they end",
            CGROUPS - 1
        )),
        SchedLost::NoWakeup | SchedLost::NoSwitch => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_reported_once_with_its_remedy() {
        let mut losses = Losses::default();
        assert!(losses.news(&[0, 0, 7, 7]).is_empty());
        let news = losses.news(&[1, 0, 7, 7]);
        assert!(news.len() == 1 && news[0].contains("tasks_full") && news[0].contains("pid_max"), "{news:?}");
        let news = losses.news(&[9, 3, 8, 7]);
        assert!(news.len() == 1 && news[0].contains("cgroups_full") && news[0].contains("255"), "{news:?}");
        assert!(losses.news(&[10, 4, 9, 9]).is_empty());
    }
}
