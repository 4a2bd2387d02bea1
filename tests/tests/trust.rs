//! Trust: nothing is lost in silence, what was lost is mended, and no ill treatment makes it lie or stay behind.

mod common;

use std::{
    fs,
    io::{self, PipeReader, Read as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::scenario;
use taskscope_tests::{
    matcher::event,
    observer::{End, Observer},
    replay, setting, spawner, tree,
    view::View,
};

/// As long as a comparison after a loss may take to come, with room for a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn events(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--attach", &setting::attach()]).args(args);
    command
}

/// The number before a word or words in the summary, such as `7 dropped`.
#[track_caller]
fn sum(end: &End, what: &str) -> u64 {
    let summary = end.summary().unwrap_or_else(|| panic!("no summary:\n{}", end.text()));
    let at = summary.find(&format!(" {what}")).unwrap_or_else(|| panic!("no `{what}` in: {summary}"));
    let number = summary[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("no number before `{what}` in: {summary}"))
}

/// Every sum of the summary comes out, and taskscope itself found the same.
#[track_caller]
fn assert_sums(end: &End) {
    assert_eq!(end.code(), Some(0), "{}", end.text());
    assert!(!end.text().contains("do not add up"), "{}", end.text());
    assert_eq!(
        sum(end, "produced"),
        sum(end, "received") + sum(end, "dropped") + sum(end, "shed") + sum(end, "not understood"),
        "{}",
        end.text()
    );
    assert_eq!(
        sum(end, "received") + sum(end, "by snapshot"),
        sum(end, "applied") + sum(end, "refused"),
        "{}",
        end.text()
    );
    assert_eq!(sum(end, "lines"), sum(end, "written") + sum(end, "not written"), "{}", end.text());
}

/// Waits for something that must come to be.
#[track_caller]
fn until(what: &str, come: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !come() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How often a text was said on stderr.
fn times_said(observer: &Observer, text: &str) -> usize {
    observer.log().lines().iter().filter(|line| line.contains(text)).count()
}

/// The tree below `root` becomes what /proc shows. Not `assert_equals_proc`: its fence process may be lost as well.
#[track_caller]
fn assert_becomes_proc(view: &View<'_>, root: i64) {
    let compare = || {
        let proc = tree::from_proc(Path::new("/proc")).unwrap_or_else(|error| panic!("{error:#}"));
        let (proc, ours) = (tree::below(&proc, root), tree::below(&replay::replay(&view.events()), root));
        assert!(proc.contains_key(&root), "{root} is not in /proc");
        tree::differences(&proc, &ours)
    };
    let deadline = Instant::now() + SOON;
    loop {
        let differences = compare();
        if differences.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "the tree is not mended:\n{}", differences.join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for an event in a stream with gaps, which an expectation takes for broken.
#[track_caller]
fn until_told(view: &View<'_>, action: &str, pid: i64) {
    let told =
        || view.events().iter().any(|seen| seen.action == action && seen.pid == pid && seen.tid == pid);
    until(&format!("`{action}` of {pid} is never told"), told);
}

/// Ends it and gives back how; losses are allowed.
#[track_caller]
fn stop(observer: Observer) -> End {
    observer.signal(libc::SIGTERM);
    observer.wait(setting::deadline())
}

/// Stopped, it reads nothing: so much is lost for sure when more than the ring holds is produced meanwhile.
#[track_caller]
fn lose_by_standing_still(observer: &Observer, storm: &str) {
    observer.signal(libc::SIGSTOP);
    scenario("burst", &[storm]).finish();
    observer.signal(libc::SIGCONT);
}

#[test]
fn without_a_loss_every_sum_comes_out() {
    let observer = Observer::start(&[]);
    scenario("burst", &["1000"]).finish();
    observer.from_now().fence();
    let end = stop(observer);
    assert_sums(&end);
    assert_eq!(sum(&end, "dropped"), 0, "{}", end.text());
    assert!(sum(&end, "received") >= 3000, "a storm of 1000 went by unseen: {}", end.text());
}

#[test]
fn a_ring_of_a_page_loses_says_so_and_the_tree_is_mended() {
    let observer = Observer::start(&["--ring-kib", "4"]);
    let view = observer.from_now();
    // Lives that stand still over the storm: their births come through or are repaired.
    let mut crowd = scenario("many-threads", &["200"]);
    crowd.pause("all-alive");
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    lose_by_standing_still(&observer, "500");
    let roots = [crowd.facts().role("scenario").pid, zombie.facts().role("scenario").pid];
    for root in roots {
        until_told(&view, "forked", root);
        assert_becomes_proc(&view, root);
    }
    // And deaths: those that were lost are repaired, too.
    observer.signal(libc::SIGSTOP);
    crowd.go();
    crowd.finish();
    zombie.go();
    zombie.finish();
    observer.signal(libc::SIGCONT);
    for root in roots {
        until_told(&view, "released", root);
    }
    assert!(
        observer
            .stream()
            .broken()
            .iter()
            .any(|line| line.contains(r#""action":"gap""#) && line.contains("ring")),
        "the stream has no gap record: {:?}",
        observer.stream().broken()
    );
    let end = stop(observer);
    assert_sums(&end);
    assert!(sum(&end, "dropped") > 0, "nothing was dropped, so nothing was tested: {}", end.text());
    let summary = end.summary().unwrap_or_default();
    assert!(!summary.contains("mended 0,"), "nothing was mended: {summary}");
}

#[test]
fn a_stopped_daemon_counts_what_it_missed_and_finds_the_truth() {
    let observer = Observer::start(&["--ring-kib", "256"]);
    let view = observer.from_now();
    let mut standing = scenario("many-threads", &["50"]);
    observer.signal(libc::SIGSTOP);
    standing.pause("all-alive");
    scenario("burst", &["5000"]).finish();
    observer.signal(libc::SIGCONT);
    let root = standing.facts().role("scenario").pid;
    until_told(&view, "forked", root);
    assert_becomes_proc(&view, root);
    standing.go();
    standing.finish();
    let end = stop(observer);
    assert_sums(&end);
    assert!(sum(&end, "dropped") > 0, "{}", end.text());
}

/// Ids of the BPF programs that a process holds.
fn programs_of(pid: u32) -> Vec<u32> {
    let directory = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("reading {directory}: {error}"));
    entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("prog_id:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .collect()
}

/// Whether the kernel still has a BPF program: asked by `BPF_PROG_GET_FD_BY_ID`.
fn exists(program: u32) -> bool {
    const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
    let attr = [program, 0, 0];
    // SAFETY: the command reads the three words that are there.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, attr.as_ptr(), size_of_val(&attr)) };
    if fd >= 0 {
        // SAFETY: a descriptor that was made just now and is nobody else's.
        unsafe { libc::close(fd as i32) };
    }
    fd >= 0
}

#[test]
fn killed_it_leaves_nothing_in_the_kernel_and_the_next_one_finds_the_truth() {
    let observer = Observer::start(&[]);
    let programs = programs_of(observer.pid());
    assert!(programs.len() >= 5, "it holds no programs: {programs:?}");
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    observer.signal(libc::SIGKILL);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), None, "it was not killed: {}", end.text());
    until("a program outlives the daemon", || !programs.iter().any(|&program| exists(program)));
    // What happened before its time is known to the next one, with how long at least.
    let next = Observer::start(&["--zombie-after", "500ms"]);
    let child = zombie.facts().role("child");
    let began = next
        .stream()
        .expect(event("zombie_began").pid(child.pid).field("task.provenance", "snapshot"), 0, next.log())
        .soon();
    assert_eq!(began.number("process.parent_pid"), Some(zombie.facts().role("scenario").pid), "{began}");
    zombie.go();
    zombie.finish();
    let reaped = next.stream().expect(event("reaped").pid(child.pid), 0, next.log()).soon();
    assert!(reaped.get("task.zombie_duration_ns").is_some(), "{reaped}");
    next.stop();
}

/// Zombies and dead leaders that were there before, by the iterator or by /proc alone.
#[track_caller]
fn knows_who_was_there_before(args: &[&str]) {
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let mut leader = scenario("leader-exits-first", &[]);
    leader.pause("dead-leader");
    let observer = Observer::start(args);
    let told = |action: &str, pid| {
        let wanted = event(action).pid(pid).tid(pid).field("task.provenance", "snapshot");
        observer.stream().expect(wanted, 0, observer.log()).soon()
    };
    let child = zombie.facts().role("child").pid;
    let parent = zombie.facts().role("scenario").pid;
    assert_eq!(told("zombie_began", child).number("process.parent_pid"), Some(parent));
    told("leader_died", leader.facts().role("group").pid);
    zombie.go();
    zombie.finish();
    observer.stream().expect(event("reaped").pid(child), 0, observer.log()).soon();
    observer.stream().expect(event("released").pid(child), 0, observer.log()).soon();
    leader.go();
    leader.finish();
    let group = leader.facts().role("group").pid;
    observer.stream().expect(event("released").pid(group).tid(group), 0, observer.log()).soon();
    let once = observer.stream().since(0);
    let births = once.iter().filter(|seen| seen.action == "released" && seen.tid == child).count();
    assert_eq!(births, 1, "the child of the start and the one of its records were taken for two");
    observer.stop();
}

#[test]
fn zombies_and_dead_leaders_of_before_are_known_by_the_iterator() {
    knows_who_was_there_before(&[]);
}

#[test]
fn zombies_and_dead_leaders_of_before_are_known_by_proc_alone() {
    knows_who_was_there_before(&["--no-iterator"]);
}

#[test]
fn an_audit_of_a_quiet_tree_finds_no_drift() {
    let observer = Observer::start(&["--audit-every", "1s", "--verbose"]);
    let mut standing = scenario("many-threads", &["100"]);
    standing.pause("all-alive");
    scenario("burst", &["2000"]).finish();
    let audits = times_said(&observer, "tasks (Audit)");
    until("audits do not come", || times_said(&observer, "tasks (Audit)") >= audits + 2);
    let born_late: Vec<String> = observer
        .stream()
        .since(standing.started_ns())
        .iter()
        .filter(|seen| seen.action == "forked" && seen.text("task.provenance") == Some("repaired"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(born_late, Vec::<String>::new(), "births that were only under way were taken for missed");
    standing.go();
    standing.finish();
    let end = observer.stop();
    assert_sums(&end);
}

#[test]
fn canaries_come_through_and_are_not_shown() {
    let observer = Observer::start(&["--canary-every", "500ms", "--verbose"]);
    let me = i64::from(observer.pid());
    until("canaries do not come through", || times_said(&observer, "canary: a whole life") >= 3);
    observer.from_now().fence();
    let shown = observer.stream().since(0);
    let canaries: Vec<String> = shown
        .iter()
        .filter(|seen| seen.number("process.parent_pid") == Some(me))
        .map(ToString::to_string)
        .collect();
    assert_eq!(canaries, Vec::<String>::new(), "canaries are shown");
    let end = observer.stop();
    let summary = end.summary().unwrap_or_default();
    let whole =
        summary.split("canaries ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(whole >= Some(3), "{summary}");
}

/// A pipe that stands for a reader of stdout.
fn pipe_reader(args: &[&str]) -> (Observer, PipeReader) {
    let (reader, writer) = io::pipe().unwrap_or_else(|error| panic!("making a pipe: {error}"));
    (Observer::start_silent(events(args), Stdio::from(writer)), reader)
}

#[test]
fn a_reader_that_never_reads_loses_lines_and_nothing_else() {
    let (observer, reader) = pipe_reader(&[]);
    scenario("burst", &["1000"]).finish();
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    drop(reader);
    assert_eq!(sum(&end, "dropped"), 0, "records were lost to a reader: {}", end.text());
    assert!(sum(&end, "not written") > 0, "all fit into the pipe, so nothing was tested: {}", end.text());
    assert_eq!(sum(&end, "lines"), sum(&end, "written") + sum(&end, "not written"), "{}", end.text());
    assert!(
        end.text().contains("standard output"),
        "it does not say what became of the rest: {}",
        end.text()
    );
}

#[test]
fn a_reader_that_leaves_in_the_middle_of_a_line_ends_it_well() {
    let (observer, mut reader) = pipe_reader(&[]);
    spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    let mut start = [0; 10];
    reader.read_exact(&mut start).unwrap_or_else(|error| panic!("reading from taskscope: {error}"));
    drop(reader);
    spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

/// The wall clock, and setting it. In a guest only: this clock is everybody's.
fn set_wall_clock(by_seconds: i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer, and then a valid value.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        time.tv_sec += by_seconds;
        assert_eq!(libc::clock_settime(libc::CLOCK_REALTIME, &raw const time), 0, "setting the clock");
    }
}

/// `@timestamp` of a birth that happens now, up to the hour.
#[track_caller]
fn hour_of_a_birth(observer: &Observer) -> String {
    let view = observer.from_now();
    let pid = spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    let born = view.expect(event("forked").pid(i64::from(pid))).soon();
    born.text("@timestamp").unwrap_or_default()[..13].to_owned()
}

#[test]
fn a_wall_clock_that_is_set_moves_the_time_stamps() {
    if !setting::in_vm() {
        eprintln!("skipped: the wall clock of this machine is not ours to set");
        return;
    }
    let observer = Observer::start(&[]);
    let before = hour_of_a_birth(&observer);
    set_wall_clock(2 * 86_400);
    let after = hour_of_a_birth(&observer);
    set_wall_clock(-2 * 86_400);
    assert_ne!(before, after, "events go on with the old clock");
    assert_eq!(hour_of_a_birth(&observer)[..10], before[..10]);
    observer.stop();
}

#[test]
fn kprobes_disarmed_under_it_are_noticed() {
    const SWITCH: &str = "/sys/kernel/debug/kprobes/enabled";
    if !setting::in_vm() || setting::attach() != "kprobe" {
        eprintln!("skipped: needs a guest and kprobes");
        return;
    }
    // SAFETY: strings that end with NUL. Mounted already is as good.
    unsafe {
        libc::mount(
            c"debugfs".as_ptr(),
            c"/sys/kernel/debug".as_ptr(),
            c"debugfs".as_ptr(),
            0,
            std::ptr::null(),
        );
    }
    if !fs::exists(SWITCH).unwrap_or(false) {
        eprintln!("skipped: this kernel has no {SWITCH}");
        return;
    }
    let observer = Observer::start(&["--canary-every", "1s"]);
    fs::write(SWITCH, "0").unwrap_or_else(|error| panic!("writing {SWITCH}: {error}"));
    let complaint = observer.log().line("taskscope: warning: canary:", SOON);
    fs::write(SWITCH, "1").unwrap_or_else(|error| panic!("writing {SWITCH}: {error}"));
    assert!(complaint.is_some(), "nobody noticed:\n{}", observer.log());
    let well = observer.log().line("taskscope: warning: canary: whole lives", SOON);
    assert!(well.is_some(), "it did not come back:\n{}", observer.log());
    stop(observer);
}
