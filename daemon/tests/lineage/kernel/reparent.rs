//! `forget_original_parent()`: the new parent, and what reparenting does to the child.

use super::{GroupNo, Kernel, SIGCHLD, State, TaskNo};

impl Kernel {
    pub(super) fn alive_thread(&self, group: GroupNo, except: TaskNo) -> Option<TaskNo> {
        self.groups[group]
            .members
            .iter()
            .copied()
            .find(|&no| no != except && self.tasks[no].state == State::Running)
    }

    pub(super) fn find_new_reaper(&self, father: TaskNo) -> TaskNo {
        let group = self.tasks[father].group;
        if let Some(thread) = self.alive_thread(group, father) {
            return thread;
        }
        let mut above = self.groups[group].parent;
        while above != 0 && self.level(above) == self.level(father) {
            let reaper = self.tasks[above].group;
            if self.groups[reaper].subreaper
                && let Some(thread) = self.alive_thread(reaper, father)
            {
                return thread;
            }
            above = self.groups[reaper].parent;
        }
        // `child_reaper`: its init's live thread, or the one that is in `zap_pid_ns_processes()`.
        let init = self.namespaces[self.groups[group].namespace].init;
        let members = &self.groups[init].members;
        let dying = || members.iter().copied().find(|&no| self.tasks[no].state == State::Exiting);
        self.alive_thread(init, father).or_else(dying).unwrap_or(self.groups[init].leader)
    }

    pub(super) fn reparent(
        &mut self,
        child: GroupNo,
        father: TaskNo,
        reaper: TaskNo,
        dead: &mut Vec<TaskNo>,
    ) {
        self.groups[child].parent = reaper;
        let leader = self.groups[child].leader;
        // `reparent_leader()` skips a task in `EXIT_DEAD`.
        if self.tasks[reaper].group == self.tasks[father].group || self.tasks[leader].state == State::Going {
            return;
        }
        self.groups[child].exit_signal = SIGCHLD;
        if self.tasks[leader].state == State::Zombie
            && self.tasks[leader].tracer.is_none()
            && self.is_sole(child)
            && self.parent_ignores(child)
        {
            dead.push(leader);
        }
        let at = self.tick(2);
        let (child, old, new) = (self.reference(leader), self.reference(father), self.reference(reaper));
        self.tape.reparented(at, child, old, new);
        self.truth.did(self.key(leader), format!("reparented {}", new.tgid));
    }
}
