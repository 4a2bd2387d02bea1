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

/// Starts with the fork of a process by glibc.
pub fn forked_by(parent: &str) -> Life {
    cloned_by(parent, "SIGCHLD", FORK_FLAGS)
}

/// Starts with a process made by clone(2) with this exit signal and these flags, sorted and joined by `|`.
pub fn cloned_by(parent: &str, signal: &str, flags: &str) -> Life {
    Life::default().does(&format!("forked parent={parent} kind=process signal={signal} flags={flags}"))
}

/// Starts with a thread that `pthread_create` made in a process with this parent.
pub fn thread_below(parent: &str) -> Life {
    Life::default().does(&format!("forked parent={parent} kind=thread signal=-1 flags={THREAD_FLAGS}"))
}

impl Life {
    /// Adds an event.
    pub fn does(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Adds an exec of the scenario program by its name in /proc; the comm becomes the last part of that name.
    pub fn execs(self) -> Self {
        self.does("renamed name=exe").does("execed name=exe")
    }

    /// Adds the death of the last task of its group, which becomes a zombie.
    pub fn dies(self) -> Self {
        self.does("exiting")
            .does("exited state=EXIT_ZOMBIE")
            .does("group_exited exit=waited")
            .does("zombie_began")
    }

    /// Adds what [`Self::dies`] adds, without a status, because no wait(2) of the scenario returns it.
    pub fn dies_without_a_wait(self) -> Self {
        self.does("exiting")
            .does("exited state=EXIT_ZOMBIE")
            .does("group_exited exit=unasked")
            .does("zombie_began")
    }

    /// Adds the death of the only task of its group, which is autoreaped.
    pub fn dies_autoreaped(self) -> Self {
        self.does("exiting")
            .does("exited state=EXIT_DEAD")
            .does("group_exited exit=unasked")
            .does("autoreaped")
            .does("released")
    }

    /// Adds that another task reaps and releases it.
    pub fn reaped_by(self, who: &str, kind: &str) -> Self {
        self.does(&format!("reaped by={who} kind={kind}")).does(&format!("released by={who}"))
    }

    /// Adds the death as a zombie, and the wait of its parent.
    pub fn waited_for_by(self, parent: &str) -> Self {
        self.dies().reaped_by(parent, "parent")
    }

    /// Adds the end of a thread, for which no wait is needed.
    pub fn ends(self) -> Self {
        self.does("exiting").does("exited state=EXIT_DEAD").does("autoreaped").does("released")
    }

    /// Returns the lines.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.lines.iter().map(String::as_str).collect()
    }
}
