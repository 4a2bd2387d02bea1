//! Expected lives in normal form, written in a readable way.

/// The expected events of one role, in order.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Life {
    lines: Vec<String>,
}

const FORK_FLAGS: &str = "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID";
const THREAD_FLAGS: &str = "CLONE_CHILD_CLEARTID|CLONE_FILES|CLONE_FS|CLONE_PARENT_SETTID|CLONE_SETTLS|\
                            CLONE_SIGHAND|CLONE_SYSVSEM|CLONE_THREAD|CLONE_VM";

/// A process that glibc's fork made.
pub fn forked_by(parent: &str) -> Life {
    cloned_by(parent, "SIGCHLD", FORK_FLAGS)
}

/// A process made by clone with this exit signal and these flags, sorted and joined by `|`.
pub fn cloned_by(parent: &str, signal: &str, flags: &str) -> Life {
    Life::default().does(&format!("forked parent={parent} kind=process signal={signal} flags={flags}"))
}

/// A thread that `pthread_create` made in a process with this parent.
pub fn thread_below(parent: &str) -> Life {
    Life::default().does(&format!("forked parent={parent} kind=thread signal=-1 flags={THREAD_FLAGS}"))
}

impl Life {
    /// Adds an event.
    pub fn does(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Execs the scenario program by its name in /proc: the comm becomes the last part of that name.
    pub fn execs(self) -> Self {
        self.does("renamed name=exe").does("execed name=exe")
    }

    /// The last task of its group dies: a zombie.
    pub fn dies(self) -> Self {
        self.does("exiting")
            .does("exited state=EXIT_ZOMBIE")
            .does("group_exited exit=waited")
            .does("zombie_began")
    }

    /// As [`Self::dies`], but no wait(2) of the scenario returns its status.
    pub fn dies_unasked(self) -> Self {
        self.does("exiting")
            .does("exited state=EXIT_ZOMBIE")
            .does("group_exited exit=unasked")
            .does("zombie_began")
    }

    /// The only task of its group dies and is no zombie at any time.
    pub fn dies_autoreaped(self) -> Self {
        self.does("exiting")
            .does("exited state=EXIT_DEAD")
            .does("group_exited exit=unasked")
            .does("autoreaped")
            .does("released")
    }

    /// Reaped by another task, and released by that.
    pub fn reaped_by(self, who: &str, kind: &str) -> Self {
        self.does(&format!("reaped by={who} kind={kind}")).does(&format!("released by={who}"))
    }

    /// Dies as a zombie for which its parent waits.
    pub fn waited_for_by(self, parent: &str) -> Self {
        self.dies().reaped_by(parent, "parent")
    }

    /// A thread ends; no wait is needed.
    pub fn ends(self) -> Self {
        self.does("exiting").does("exited state=EXIT_DEAD").does("autoreaped").does("released")
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.lines.iter().map(String::as_str).collect()
    }
}
