//! Reports of invented jobs.

mod past;
mod schedules;

use crate::job::{
    Fact, JobUsage, Members, Report, Setting, What, compare, html, leftovers, markdown, report, text,
};
use crate::lineage::{GroupUsage, record::TaskUsage};

const STARTER: u32 = 99;
const MS: u64 = 1_000_000;

pub(in crate::job) fn fact(at_ns: u64, pid: u32, parent: u32, what: What) -> Fact {
    Fact {
        at_ns,
        pid,
        // The tests use no pid twice.
        start_ns: 0,
        parent: Some(parent),
        name: Some(format!("p{pid}").into()),
        program: Some(format!("/bin/p{pid}").into()),
        what,
    }
}

pub(in crate::job) fn forked(at_ns: u64, pid: u32, parent: u32) -> Fact {
    fact(at_ns, pid, parent, What::Forked { creator: None, seen: true })
}

/// Returns the usage of a process with a single task.
pub(in crate::job) fn used(cpu_ns: u64, pending: u32) -> JobUsage {
    let sum = TaskUsage { exec_runtime_ns: cpu_ns, utime_ns: 1, ..TaskUsage::default() };
    JobUsage::of(&GroupUsage { sum, tasks: 1, pending, unknown: 0 })
}

pub(in crate::job) fn ended(at_ns: u64, pid: u32, parent: u32, cpu_ns: u64) -> Fact {
    fact(at_ns, pid, parent, What::Ended { status: Some(0), cause: None, usage: Some(used(cpu_ns, 0)) })
}

pub(in crate::job) fn reaped(at_ns: u64, pid: u32, by: u32, zombie_ns: u64) -> Fact {
    fact(at_ns, pid, by, What::Reaped { by: Some(by), zombie_ns: Some(zombie_ns), is_late: false })
}

pub(in crate::job) fn members(facts: impl IntoIterator<Item = Fact>) -> Members {
    let mut members = Members::new(STARTER, 1);
    for fact in facts {
        members.take(fact);
    }
    members
}

fn reported(members: &Members) -> Report {
    let setting = Setting {
        name: "test".into(),
        command: vec!["test".into()],
        started: "2026-11-29T00:00:00.000Z".into(),
        cpus: Some(2),
        now_ns: 2_000 * MS,
        zombie_after_ns: 1_000 * MS,
        leftovers: leftovers(members, 2_000 * MS),
        ..Setting::default()
    };
    report(members, setting)
}

/// 1 waits for 2; 3 is a daemon of a double fork, 4 is its child; 5 is autoreaped; 6 stays a zombie; 7 is not a member.
fn job() -> Members {
    members([
        forked(0, 1, STARTER),
        forked(0, 7, 98),
        forked(10 * MS, 2, 1),
        forked(20 * MS, 3, 2),
        fact(30 * MS, 3, 1000, What::Reparented { kind: "init".into() }),
        ended(40 * MS, 2, 1, 5 * MS),
        reaped(40 * MS, 2, 1, 1),
        forked(50 * MS, 4, 3),
        forked(60 * MS, 5, 1),
        ended(70 * MS, 5, 1, 7 * MS),
        fact(70 * MS, 5, 1, What::Autoreaped),
        forked(80 * MS, 6, 1),
        ended(90 * MS, 6, 1, MS),
        ended(900 * MS, 1, STARTER, 11 * MS),
        reaped(900 * MS, 1, STARTER, 1),
    ])
}

#[test]
fn each_process_is_in_one_sum_by_who_got_its_figures() {
    let report = reported(&job());
    let usage = &report.usage;
    assert_eq!((usage.waited_for.processes, usage.waited_for.cost.cpu_ns), (2, 16 * MS), "{usage:?}");
    assert_eq!((usage.autoreaped.processes, usage.autoreaped.cost.cpu_ns), (1, 7 * MS));
    assert_eq!((usage.left.processes, usage.orphaned.processes, usage.all.processes), (3, 0, 6));
    assert_eq!(report.processes.made, 6, "7 is not of the job");
}

#[test]
fn usage_that_lacks_a_last_switch_is_a_lower_bound_until_it_is_complete() {
    let released = |usage| fact(91 * MS, 1, STARTER, What::Released { usage: Some(usage) });
    let mut members =
        members([forked(0, 1, STARTER), ended(90 * MS, 1, STARTER, 5 * MS), released(used(6 * MS, 1))]);
    let before = reported(&members);
    assert_eq!((before.at_least, before.usage.all.cost.cpu_ns), (true, 6 * MS));
    assert!(before.notes[0].contains("last switch"), "{:?}", before.notes);
    assert_eq!(members.incomplete().map(|(member, _)| member.pid).collect::<Vec<_>>(), [1]);
    members.complete(|_, _| None);
    assert_eq!(members.incomplete().count(), 1, "nobody knows it yet");
    members.complete(|pid, start| (pid == 1 && start == 0).then(|| used(7 * MS, 0)));
    let after = reported(&members);
    assert_eq!((after.at_least, after.usage.all.cost.cpu_ns, after.notes.len()), (false, 7 * MS, 0));
}

#[test]
fn usage_of_which_nothing_has_arrived_is_a_lower_bound_until_it_is_complete() {
    // On another CPU, the parent was quicker than the first record of the child's death.
    let none = || Some(JobUsage::of(&GroupUsage { unknown: 1, ..GroupUsage::default() }));
    let mut members = members([
        forked(0, 1, STARTER),
        fact(90 * MS, 1, STARTER, What::Ended { status: Some(0), cause: None, usage: none() }),
        reaped(90 * MS, 1, STARTER, 0),
        fact(90 * MS, 1, STARTER, What::Released { usage: none() }),
    ]);
    let before = reported(&members);
    assert_eq!((before.at_least, before.usage.all.cost.cpu_ns), (true, 0));
    assert!(before.notes[0].contains("1 processes lacks tasks"), "{:?}", before.notes);
    members.complete(|_, _| Some(used(5 * MS, 1)));
    assert!(reported(&members).notes[0].contains("last switch"), "its last switch is still to come");
    members.complete(|_, _| Some(used(6 * MS, 0)));
    let after = reported(&members);
    assert_eq!((after.at_least, after.usage.all.cost.cpu_ns, after.notes.len()), (false, 6 * MS, 0));
}

#[test]
fn what_an_orphan_waited_for_is_orphaned_with_it() {
    let mut members = job();
    for fact in [ended(950 * MS, 4, 3, 3 * MS), reaped(950 * MS, 4, 3, 1), ended(960 * MS, 3, 1000, 2 * MS)] {
        members.take(fact);
    }
    members.take(reaped(960 * MS, 3, 1000, 1));
    let report = reported(&members);
    assert_eq!((report.usage.orphaned.processes, report.usage.orphaned.cost.cpu_ns), (2, 5 * MS));
}

#[test]
fn a_double_fork_leaves_the_job_with_its_children() {
    let report = reported(&job());
    let left: Vec<_> = report.leftovers.iter().map(|left| (left.pid, left.depth, left.zombie)).collect();
    assert_eq!(left, [(3, 0, false), (4, 1, false), (6, 0, true)]);
    assert_eq!(report.leftovers[0].parent_pid, Some(1000));
    assert_eq!(report.leftovers[0].age_ns, 1_980 * MS);
}

#[test]
fn a_zombie_is_charged_to_the_parent_that_left_it() {
    let report = reported(&job());
    assert_eq!((report.zombies.count, report.zombies.left), (1, 1));
    assert_eq!((report.zombies.parents[0].pid, report.zombies.parents[0].longest_ns), (1, 810 * MS));
}

#[test]
fn an_orphan_that_its_new_parent_reaps_late_is_no_zombie_of_the_job() {
    let report = reported(&members([
        forked(0, 1, STARTER),
        forked(10, 2, 1),
        forked(20, 3, 2),
        ended(30 * MS, 2, 1, 0),
        reaped(30 * MS, 2, 1, 0),
        fact(30 * MS, 3, 1000, What::Reparented { kind: "init".into() }),
        ended(50 * MS, 3, 1000, 0),
        reaped(3_000 * MS, 3, 1000, 2_950 * MS),
    ]));
    assert_eq!(report.zombies.count, 0);
}

#[test]
fn the_child_of_clone_parent_belongs_to_the_job() {
    let made = fact(10 * MS, 2, STARTER, What::Forked { creator: Some(1), seen: true });
    let report = reported(&members([forked(0, 1, STARTER), made, ended(50 * MS, 1, STARTER, 0)]));
    assert_eq!(report.processes.made, 2);
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let again = |mut fact: Fact, start_ns: u64| {
        fact.start_ns = start_ns;
        fact
    };
    let report = reported(&members([
        again(forked(1, 1, STARTER), 1),
        again(forked(10, 2, 1), 10),
        again(ended(20, 2, 1, 5), 10),
        again(reaped(20, 2, 1, 1), 10),
        again(forked(30, 2, 1), 30),
        again(ended(40, 2, 1, 7), 30),
        again(reaped(40, 2, 1, 1), 30),
        // A late event of the first process changes nothing about the second.
        again(ended(25, 2, 1, 900), 10),
    ]));
    assert_eq!((report.processes.made, report.cost().cpu_ns), (3, 12));
}

#[test]
fn losses_make_the_figures_lower_bounds() {
    let mut members = job();
    members.take(Fact::lost("ring".into(), Some(3)));
    members.take(Fact::lost("ring".into(), Some(4)));
    let report = reported(&members);
    assert!(report.at_least && report.usage.all.cost.at_least);
    assert_eq!(report.lost[0].count, Some(7));
    assert!(text(&report, None, 80, false).contains("7 events were lost (ring)"));
}

#[test]
fn processes_beyond_the_most_are_counted_and_the_report_says_so() {
    let job = |count: u32| {
        let children = (2..=count).flat_map(|pid| {
            let at_ns = u64::from(pid) * 1_000;
            [forked(at_ns, pid, 1), ended(at_ns + 500, pid, 1, 100), reaped(at_ns + 600, pid, 1, 100)]
        });
        let facts = std::iter::once(forked(0, 1, STARTER)).chain(children);
        reported(&members(facts.chain([ended(900 * MS, 1, STARTER, MS), reaped(900 * MS, 1, STARTER, 1)])))
    };
    let most = u32::try_from(crate::job::MOST).unwrap();
    let all = job(most / 2);
    assert_eq!((all.at_least, all.processes.made, all.notes.len()), (false, 100_000, 0));
    assert_eq!(all.usage.waited_for.cost.cpu_ns, MS + 100 * 99_999);
    let more = job(most + 7);
    assert_eq!((more.at_least, more.processes.made), (true, 200_007));
    assert!(more.usage.all.cost.at_least && more.usage.all.processes == 200_000, "{:?}", more.usage.all);
    assert!(more.notes[0].starts_with("7 processes are not in this report"), "{:?}", more.notes);
}

#[test]
fn a_report_without_the_command_says_so() {
    let report = reported(&members([Fact::lost("ring".into(), None)]));
    assert!(report.at_least && report.critical_path.steps.is_empty());
    assert!(text(&report, None, 80, false).contains("end not seen"));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let report = reported(&job());
    for width in [40, 80, 120] {
        for line in text(&report, Some(&compare(&report, &report)), width, false).lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn a_report_is_read_again() {
    let report = reported(&job());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_name_cannot_change_the_page() {
    let mut first = forked(0, 1, STARTER);
    first.name = Some("<b>|`\x1b[31m".into());
    let report = reported(&members([first, ended(50 * MS, 1, STARTER, 0)]));
    let mut report = report;
    report.name = "<script>".into();
    for page in [html(&report, None), markdown(&report, None)] {
        assert!(!page.contains("<b>|") && !page.contains("<script>") && !page.contains('\x1b'), "{page}");
    }
    assert!(!text(&report, None, 80, false).contains('\x1b'));
}

#[test]
fn the_time_of_one_process_alone_is_named() {
    // 1 waits for 2 and 3, which work side by side until 2 ends.
    let report = reported(&members([
        forked(0, 1, STARTER),
        forked(10 * MS, 2, 1),
        forked(11 * MS, 3, 1),
        ended(400 * MS, 2, 1, 390 * MS),
        reaped(400 * MS, 2, 1, 1),
        ended(1_000 * MS, 3, 1, 980 * MS),
        reaped(1_000 * MS, 3, 1, 1),
        ended(1_005 * MS, 1, STARTER, 2 * MS),
        reaped(1_005 * MS, 1, STARTER, 1),
    ]));
    let alone = &report.parallelism.alone[0];
    assert_eq!((alone.pid, alone.ns, alone.waited.as_deref()), (3, 600 * MS, Some("p1 (1)")));
    assert_eq!(report.processes.most_at_once, 3);
}

#[test]
fn a_reap_that_is_reported_late_is_still_a_wait() {
    let mut late = reaped(480 * MS, 2, 1, 80 * MS);
    late.what = What::Reaped { by: Some(1), zombie_ns: Some(80 * MS), is_late: true };
    let path = |reap: Fact| {
        let members = members([
            forked(0, 1, STARTER),
            forked(10 * MS, 2, 1),
            ended(400 * MS, 2, 1, 390 * MS),
            forked(401 * MS, 3, 1),
            reap,
            ended(450 * MS, 3, 1, 2 * MS),
            reaped(450 * MS, 3, 1, 1),
            ended(500 * MS, 1, STARTER, 2 * MS),
        ]);
        let steps = reported(&members).critical_path.steps;
        steps.into_iter().map(|step| step.pid).collect::<Vec<_>>()
    };
    assert_eq!(path(late), [1, 2, 1, 3, 1]);
    assert_eq!(path(reaped(480 * MS, 2, 1, 80 * MS)), [1, 3, 1], "it was busy and waited later");
}
