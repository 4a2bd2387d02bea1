//! Writes one event as an aligned line for people. Bytes that another process chose are escaped, because a terminal acts on
//! control characters.

use probe_common::{SchedEvent, SchedValid};

use super::encode::{hex, is_unsafe, number, signed};
use super::time::time_of_day;
use super::width::columns;
use super::{Stamp, sched};
use crate::lineage::GroupUsage;
use crate::lineage::blocked::wchan;
use crate::lineage::effect::{Action, Effect, Reaper, Sleep, Span};
use crate::lineage::flags::{CLONE_FLAGS, errno_name, exit_state_name, signal_name};
use crate::lineage::id::{Ktime, TaskRef};
use crate::lineage::leak::{Leak, Leaking};
use crate::lineage::record::{Comm, ForkLimit};
use crate::lineage::scope::Scope;
use crate::lineage::status::WaitStatus;

/// An event that is out of order by this much is marked, ns. Smaller differences between CPUs are common.
const LATE_NS: u64 = 1_000_000;

/// Columns, each as wide as what is usually in it.
const ACTION: usize = 14;
const PID: usize = 8;
const NAME: usize = 16;

/// Appends an event to `line`: time of day with its zone, action, pid, tid, name, facts. `colour` highlights what needs
/// attention.
pub fn write(effect: &Effect, stamp: &Stamp, colour: bool, line: &mut Vec<u8>) {
    time_of_day(line, stamp.wall_ns(effect.at), stamp.zone());
    line.push(b' ');
    let code = if colour { colour_of(&effect.action) } else { "" };
    line.extend_from_slice(code.as_bytes());
    column(line, ACTION, |out| out.extend_from_slice(effect.action.name().as_bytes()));
    if !code.is_empty() {
        line.extend_from_slice(b"\x1b[0m");
    }
    column(line, PID, |out| number(out, u64::from(effect.process.key.tgid.0)));
    column(line, PID, |out| number(out, u64::from(effect.thread.key.tid.0)));
    column(line, NAME, |out| {
        if let Some(name) = effect.thread.name.or(effect.process.name) {
            escaped(out, name.bytes());
        }
    });
    facts(line, effect);
    if effect.late_ns >= LATE_NS {
        line.extend_from_slice(b" late=");
        number(line, effect.late_ns / 1_000_000);
        line.extend_from_slice(b"ms");
    }
    while line.last() == Some(&b' ') {
        line.pop();
    }
    line.push(b'\n');
}

/// Appends a step of the scheduler to `line`; returns false for an unknown kind.
pub fn write_sched(event: &SchedEvent, stamp: &Stamp, colour: bool, line: &mut Vec<u8>) -> bool {
    let Some(action) = sched::action(event) else { return false };
    time_of_day(line, stamp.wall_ns(Ktime(event.boottime_ns)), stamp.zone());
    line.push(b' ');
    let code = match action {
        "switched_in" if colour => "\x1b[32m",
        "woken" if colour => "\x1b[36m",
        _ => "",
    };
    line.extend_from_slice(code.as_bytes());
    column(line, ACTION, |out| out.extend_from_slice(action.as_bytes()));
    if !code.is_empty() {
        line.extend_from_slice(b"\x1b[0m");
    }
    column(line, PID, |out| number(out, u64::from(event.task.tgid)));
    column(line, PID, |out| number(out, u64::from(event.task.tid)));
    column(line, NAME, |out| escaped(out, sched::name(&event.comm)));
    line.extend_from_slice(b"cpu ");
    number(line, u64::from(event.cpu));
    let mut length = |what: &str, bit, ns: u64| {
        if sched::known(event, bit, ns).is_some() {
            line.extend_from_slice(what.as_bytes());
            number(line, ns / 1000);
            line.push(b'.');
            number(line, ns % 1000 / 100);
            line.extend_from_slice(b" us");
        }
    };
    let other = match action {
        "switched_out" => {
            let state = format!(", {}", sched::state(event));
            length(&format!("{state}, ran "), SchedValid::RAN, event.ran_ns);
            if event.valid & SchedValid::RAN == 0 {
                line.extend_from_slice(state.as_bytes());
            }
            ", then "
        }
        "woken" => {
            length(", slept ", SchedValid::OFF_CPU, event.off_cpu_ns);
            if event.valid & SchedValid::NEW != 0 { ", new, by " } else { ", by " }
        }
        _ => {
            length(", waited ", SchedValid::WAITED, event.waited_ns);
            length(", off cpu ", SchedValid::OFF_CPU, event.off_cpu_ns);
            ", after "
        }
    };
    if event.valid & SchedValid::OTHER != 0 {
        line.extend_from_slice(other.as_bytes());
        escaped(line, sched::name(&event.other_comm));
        line.extend_from_slice(b" (");
        number(line, u64::from(event.other_tid));
        line.push(b')');
    }
    line.push(b'\n');
    true
}

/// Returns the escape sequence for an action's colour (ECMA-48, 8.3.117).
const fn colour_of(action: &Action) -> &'static str {
    match action {
        Action::Forked { .. } => "\x1b[32m",
        Action::Execed { .. } | Action::ExecTakeover { .. } | Action::ScopeBegan(_) => "\x1b[36m",
        Action::Reparented { .. } => "\x1b[35m",
        Action::ZombieBegan { .. } | Action::LeaderDied { .. } => "\x1b[33m",
        Action::ZombieFlagged { .. }
        | Action::BlockedFlagged(_)
        | Action::LeakFlagged(_)
        | Action::ExitStuck { .. }
        | Action::CloneFailed { .. } => "\x1b[1;31m",
        Action::Renamed { .. } | Action::Exiting { .. } | Action::Released { .. } => "\x1b[2m",
        Action::ScopeEnded(_)
        | Action::BlockedCleared { .. }
        | Action::LeakCleared(_)
        | Action::Exited { .. }
        | Action::GroupExited { .. }
        | Action::Reaped { .. }
        | Action::Autoreaped => "",
    }
}

/// Appends a line that says that events are missing here: how many, if that is known, and where.
pub fn write_gap(place: &str, lost: Option<u64>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"--------------- gap: ");
    match lost {
        Some(lost) => number(line, lost),
        None => line.extend_from_slice(b"events"),
    }
    line.extend_from_slice(b" lost: ");
    line.extend_from_slice(place.as_bytes());
    line.push(b'\n');
}

/// Pads what `write` appends to a width in columns, and adds one blank.
fn column(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let from = out.len();
    write(out);
    let columns = columns(&String::from_utf8_lossy(out.get(from..).unwrap_or_default()));
    out.extend(std::iter::repeat_n(b' ', width.saturating_sub(columns) + 1));
}

/// Appends bytes so that no terminal acts on them: control characters, also those above ASCII, and bytes that are not UTF-8
/// become `\xNN`.
pub(crate) fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let encoded = c.encode_utf8(&mut utf8).as_bytes();
            if c == '\\' || is_unsafe(c) {
                encoded.iter().copied().for_each(|b| hexed(out, b));
            } else {
                out.extend_from_slice(encoded);
            }
        }
        chunk.invalid().iter().copied().for_each(|b| hexed(out, b));
    }
}

fn hexed(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\x");
    hex(out, byte);
}

/// Writes `name=value` facts, each followed by a blank.
struct Facts<'a>(&'a mut Vec<u8>);

impl Facts<'_> {
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        self.0
    }

    fn word(&mut self, word: &str) {
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b' ');
    }

    fn number(&mut self, key: &str, value: u64) {
        number(self.key(key), value);
        self.0.push(b' ');
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key).extend_from_slice(value.as_bytes());
        self.0.push(b' ');
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        escaped(self.key(key), value);
        self.0.push(b' ');
    }

    fn task(&mut self, key: &str, task: Option<TaskRef>) {
        if let Some(task) = task {
            self.number(key, u64::from(task.key.tid.0));
        }
    }

    /// A length of time with three digits or so and its unit.
    fn duration(&mut self, key: &str, ns: u64) {
        let out = self.key(key);
        let (unit, name) = match ns {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        number(out, ns / unit);
        if unit > 1 && ns / unit < 100 {
            out.push(b'.');
            number(out, ns % unit * 10 / unit);
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b' ');
    }

    fn signal(&mut self, key: &str, signal: i32) {
        let out = self.key(key);
        match signal_name(signal) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => signed(out, i64::from(signal)),
        }
        out.push(b' ');
    }

    fn cpu(&mut self, usage: Option<&GroupUsage>) {
        if let Some(usage) = usage.filter(|usage| usage.tasks > 0) {
            self.duration("cpu", usage.sum.exec_runtime_ns);
        }
    }

    fn status(&mut self, status: Option<WaitStatus>) {
        let Some(status) = status else { return };
        if let Some(code) = status.code() {
            self.number("code", u64::from(code.unsigned_abs()));
        }
        if let Some(signal) = status.signal() {
            self.signal("signal", signal);
        }
        if status.core_dumped() {
            self.word("core");
        }
    }

    fn span(&mut self, what: &str, span: Span) {
        self.duration(what, span.ns);
        if let Some(bound) = span.bound.name() {
            self.0.pop();
            self.0.extend_from_slice(b" (");
            self.0.extend_from_slice(bound.as_bytes());
            self.0.extend_from_slice(b") ");
        }
    }

    fn parent(&mut self, parent: Option<u64>) {
        if let Some(parent) = parent {
            self.number("parent", parent);
        }
    }

    fn sleep(&mut self, sleep: &Sleep) {
        self.span("blocked", sleep.blocked);
        self.word(sleep.doing().name());
        if let Some(wchan) = wchan(&sleep.stack) {
            self.bytes("wchan", wchan.as_bytes());
        }
    }

    fn leak(&mut self, leak: &Leak) {
        self.word(leak.kind().name());
        self.number("count", u64::from(leak.count()));
        self.duration("in", leak.span_ns());
        if let Leaking::Respawn(respawn) = &leak.what {
            self.number("last", u64::from(respawn.last.tgid.0));
            if let Some(name) = respawn.program {
                self.name(name);
            }
        }
        if !leak.is_certain() {
            self.word("likely");
        }
    }

    fn reaper(&mut self, reaper: Option<Reaper>) {
        let Some(reaper) = reaper else { return };
        self.number("by", u64::from(reaper.process.tgid.0));
        if let Some(name) = reaper.name {
            self.name(name);
        }
        self.word(reaper.kind.name());
    }

    fn name(&mut self, name: Comm) {
        escaped(self.0, name.bytes());
        self.0.push(b' ');
    }

    fn scope_began(&mut self, scope: &Scope) {
        self.scope_name(scope);
        if scope.starts > 1 {
            self.number("starts", u64::from(scope.starts));
        }
        if let Some(ns) = scope.empty_ns {
            self.duration("empty", ns);
        }
    }

    fn scope_ended(&mut self, scope: &Scope) {
        self.scope_name(scope);
        if let Some(ns) = scope.duration_ns() {
            self.duration("after", ns);
        }
        if let Some(end) = scope.end {
            self.text("end", end.name());
        }
        if let Some(death) = &scope.first_death {
            self.text("cause", death.cause.code());
            self.number("first_death", u64::from(death.key.tgid.0));
        }
    }

    fn scope_name(&mut self, scope: &Scope) {
        if let Some(name) = &scope.name {
            self.bytes("cgroup", name.as_bytes());
        }
    }

    fn failed_clone(&mut self, errno: i32, refused_by: Option<&ForkLimit>) {
        match errno_name(errno) {
            Some(name) => self.word(name),
            None => self.number("errno", u64::from(errno.unsigned_abs())),
        }
        if let Some(limit) = refused_by {
            self.word(limit.kind.code());
            if !limit.name.is_empty() {
                self.bytes("of", limit.name.as_bytes());
            }
            if let Some(most) = limit.limit {
                self.number("limit", most);
            }
        }
    }
}

fn facts(line: &mut Vec<u8>, effect: &Effect) {
    let mut facts = Facts(line);
    let parent = effect.process.parent.map(|parent| u64::from(parent.tgid.0));
    match &effect.action {
        Action::Forked { creation, clone_flags, creator } => {
            facts.parent(parent);
            match creation {
                Some(creation) if effect.thread.kind.name() == creation.name() => {}
                Some(creation) => facts.word(creation.name()),
                None => {}
            }
            facts.word(effect.thread.kind.name());
            if let Some(signal) = effect.thread.exit_signal.filter(|&signal| signal != 17 && signal != -1) {
                facts.signal("exit_signal", signal);
            }
            facts.task("creator", creator.filter(|creator| Some(u64::from(creator.tgid.0)) != parent));
            if let Some(flags) = clone_flags {
                for (_, name) in CLONE_FLAGS.iter().filter(|(bit, _)| flags & bit != 0) {
                    facts.word(name.trim_start_matches("CLONE_"));
                }
            }
        }
        Action::CloneFailed { errno, refused_by, .. } => {
            facts.failed_clone(*errno, refused_by.as_deref());
        }
        Action::Execed { path, args, vfork_held_ns, .. } => {
            if let Some(path) = effect.process.executable.as_ref().or(path.as_ref()) {
                facts.bytes("exe", path.bytes());
            }
            if let Some(held) = vfork_held_ns {
                facts.duration("vfork_held", *held);
            }
            if let Some((args, truncated)) = args {
                for arg in args {
                    facts.bytes("arg", arg);
                }
                if *truncated {
                    facts.word("...");
                }
            }
        }
        Action::ExecTakeover { old_tid } => facts.number("old_tid", u64::from(old_tid.0)),
        Action::Renamed { old, new } => {
            facts.bytes("old", old.bytes());
            facts.bytes("new", new.bytes());
        }
        Action::ScopeBegan(scope) => facts.scope_began(scope),
        Action::ScopeEnded(scope) => facts.scope_ended(scope),
        Action::Exiting { .. } | Action::Autoreaped => facts.status(effect.process.status),
        Action::GroupExited { usage, death, since_exec_ns: _ } => {
            facts.status(effect.process.status);
            if let Some(death) = death {
                facts.text("cause", death.cause.code());
                facts.task("by", death.by.as_ref().and_then(|by| by.sender.task));
            }
            facts.cpu(usage.as_ref());
        }
        Action::Exited { vfork_held_ns, tracer, .. } => {
            if let Some(name) = effect.thread.exit_state.and_then(exit_state_name) {
                facts.word(name);
            }
            facts.status(effect.process.status);
            facts.task("tracer", *tracer);
            if let Some(held) = vfork_held_ns {
                facts.duration("vfork_held", *held);
            }
        }
        Action::LeaderDied { threads_left } => facts.number("threads_left", u64::from(*threads_left)),
        Action::ExitStuck { stuck_ns } => facts.duration("for", *stuck_ns),
        Action::BlockedFlagged(sleep) => facts.sleep(sleep),
        Action::BlockedCleared { blocked } => facts.span("blocked", *blocked),
        Action::LeakFlagged(leak) | Action::LeakCleared(leak) => facts.leak(leak),
        Action::ZombieBegan { tracer } => {
            facts.parent(parent);
            facts.task("tracer", *tracer);
        }
        Action::ZombieFlagged { zombie, parent_name } => {
            facts.span("zombie", *zombie);
            facts.parent(parent);
            if let Some(name) = parent_name {
                facts.name(*name);
            }
        }
        Action::Reparented { old_parent, new_parent, kind } => {
            facts.task("from", *old_parent);
            facts.number("to", u64::from(new_parent.key.tid.0));
            facts.text("kind", kind.name());
        }
        Action::Reaped { reaper, zombie } => {
            facts.reaper(*reaper);
            if let Some(zombie) = zombie {
                facts.span("zombie", *zombie);
            }
            facts.status(effect.process.status);
        }
        Action::Released { reaper, .. } => facts.reaper(*reaper),
    }
    if effect.provenance != crate::lineage::Provenance::Observed {
        facts.word(effect.provenance.name());
    }
}
