//! What an event is about, as `name=value` for people.

use super::escaped;
use crate::{
    export::encode::{number, signed},
    lineage::{
        GroupUsage, Provenance,
        blocked::wchan,
        effect::{Action, Effect, Reaper, Sleep, Span},
        flags::{CLONE_FLAGS, errno_name, exit_state_name, signal_name},
        id::TaskRef,
        leak::{Leak, Leaking},
        record::{Comm, ForkLimit},
        scope::Scope,
        status::WaitStatus,
    },
};

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

    /// A length of time with about three digits and its unit.
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

/// Appends what the action is about.
pub(super) fn facts(line: &mut Vec<u8>, effect: &Effect) {
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
    if effect.provenance != Provenance::Observed {
        facts.word(effect.provenance.name());
    }
}
