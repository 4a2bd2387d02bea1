//! Parents that have not waited for a child.

use crate::{
    actor::{spawn, wait},
    fact::pause,
    proc,
    sys::{self, Channel, Pid},
};

/// Runs a parent that makes a zombie and prints its pid, and pauses until `go`.
pub(crate) fn owes(act: fn(Channel)) {
    let made = Channel::new();
    let parent = spawn("parent", || {
        act(made);
        sys::sleep_for_ever()
    });
    let child = made.receive();
    proc::until_state(child, 'Z');
    // The parent prints its child's pid before it sleeps.
    proc::until_asleep(parent, parent);
    finish(parent);
}

/// Pauses until `go`, and ends the parent.
pub(crate) fn finish(parent: Pid) {
    proc::at("owing", "parent", parent);
    pause("owed");
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
}
