//! What /proc shows about a task: the second oracle beside wait(2).

use std::fs;

use crate::{
    fact::{Fact, die_with},
    sys::{self, Pid},
};

/// How long to wait for a state that must come.
const DEADLINE_NS: i64 = 30_000_000_000;

/// The fields of /proc/PID/stat that the tests compare.
pub(crate) struct Stat {
    pub(crate) comm: Vec<u8>,
    pub(crate) state: char,
    fields: Vec<i64>,
}

impl Stat {
    /// Reads the fields; `None` once the task is released.
    pub(crate) fn read(pid: Pid, tid: Pid) -> Option<Self> {
        let bytes = fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
        // The name can contain any byte, so the last parenthesis ends it.
        let open = bytes.iter().position(|&b| b == b'(')?;
        let close = bytes.iter().rposition(|&b| b == b')')?;
        let rest = String::from_utf8_lossy(bytes.get(close + 1..)?).into_owned();
        let mut words = rest.split_whitespace();
        let state = words.next()?.chars().next()?;
        // Addresses and limits can exceed i64; none of these is compared.
        let fields = words.map(|word| word.parse().unwrap_or(-1)).collect();
        Some(Self { comm: bytes.get(open + 1..close)?.to_vec(), state, fields })
    }

    /// Returns a field by its number in proc(5); the first is 4.
    fn field(&self, number: usize) -> i64 {
        self.fields.get(number - 4).copied().unwrap_or(-1)
    }

    pub(crate) fn ppid(&self) -> i64 {
        self.field(4)
    }

    /// Returns the start time in ticks of 10 ms since boot.
    pub(crate) fn start_ticks(&self) -> i64 {
        self.field(22)
    }

    fn add(&self, fact: Fact) -> Fact {
        fact.text("state", &self.state.to_string())
            .number("ppid", self.ppid())
            .number("pgid", self.field(5))
            .number("flags", self.field(9))
            .number("num_threads", self.field(20))
            .number("start_ticks", self.start_ticks())
            .number("exit_signal", self.field(38))
            .number("exit_code", self.field(52))
            .bytes("comm", &self.comm)
    }
}

/// Returns a line of /proc/PID/task/TID/status by its key.
fn status(pid: Pid, tid: Pid, key: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    String::from_utf8_lossy(&bytes)
        .lines()
        .find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned()))
}

/// Returns the tids of a group, sorted.
pub(crate) fn tasks(pid: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut tids: Vec<Pid> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    tids
}

/// Returns the caller's pid in the mounted /proc: the outer one, also inside a new pid namespace.
pub(crate) fn outer_pid() -> Pid {
    fs::read_link("/proc/self")
        .ok()
        .and_then(|link| link.to_str()?.parse().ok())
        .unwrap_or_else(|| die_with("reading the link /proc/self", libc::ENOENT))
}

/// Adds what /proc says about one task to `fact`.
pub(crate) fn describe(fact: Fact, pid: Pid, tid: Pid) -> Fact {
    let fact = fact.number("pid", pid).number("tid", tid);
    let Some(stat) = Stat::read(pid, tid) else { return fact.flag("gone", true) };
    let mut fact = stat.add(fact).numbers("tasks", &tasks(pid));
    if let Some(ids) = status(pid, tid, "NSpid") {
        let ids: Vec<i32> = ids.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        fact = fact.numbers("nspid", &ids);
    }
    if let Some(tracer) = status(pid, tid, "TracerPid").and_then(|tracer| tracer.parse::<i32>().ok()) {
        fact = fact.number("tracer", tracer);
    }
    // A dead task has no executable.
    if let Ok(exe) = fs::read_link(format!("/proc/{pid}/exe")) {
        fact = fact.text("exe", &exe.to_string_lossy());
    }
    fact
}

/// Prints what /proc says about the leader of a group at a named moment.
pub(crate) fn at(when: &str, role: &str, pid: Pid) {
    describe(Fact::new("proc").text("when", when).text("role", role), pid, pid).emit();
}

/// Waits until the group's leader is in `state` and has left its CPU. The kernel has no notification for a dead leader, so this
/// polls with a deadline.
pub(crate) fn until_state(pid: Pid, state: char) {
    until(&format!("waiting for state {state} of {pid}"), || is_in(pid, pid, state));
}

/// Waits until a task sleeps.
pub(crate) fn until_asleep(pid: Pid, tid: Pid) {
    until(&format!("waiting for {tid} to sleep"), || is_in(pid, tid, 'S'));
}

fn is_in(pid: Pid, tid: Pid, state: char) -> bool {
    Stat::read(pid, tid).is_some_and(|stat| stat.state == state) && has_left_its_cpu(pid, tid)
}

/// Whether a task has left its CPU. A task that has set its state still runs until it switches, and can be preempted before. The
/// kernel waits until the task is off its CPU before it fills /proc/PID/syscall, and writes `running` there if the task continues
/// instead.
pub(crate) fn has_left_its_cpu(pid: Pid, tid: Pid) -> bool {
    let syscall = fs::read(format!("/proc/{pid}/task/{tid}/syscall"));
    // If the file cannot be read, the state alone decides.
    !syscall.is_ok_and(|text| text.starts_with(b"running"))
}

/// Returns the child with the highest pid of a process.
pub(crate) fn youngest_child(parent: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut pids: Vec<Pid> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.retain(|&pid| Stat::read(pid, pid).is_some_and(|stat| stat.state != 'Z'));
    pids.into_iter().max()
}

/// Waits until the task is released.
pub(crate) fn until_gone(pid: Pid, tid: Pid) {
    until(&format!("waiting for the release of {tid}"), || Stat::read(pid, tid).is_none());
}

/// Polls until `done`, with a deadline.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = sys::now_ns() + DEADLINE_NS;
    while !done() {
        if sys::now_ns() > end {
            die_with(what, libc::ETIMEDOUT);
        }
        sys::breathe();
    }
}
