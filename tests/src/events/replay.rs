//! Builds the tree that the events alone describe. If it equals /proc, no event is missing or wrong.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use crate::{
    event::Event,
    stream::Stream,
    tree::{self, Group, State, Tree},
    view::View,
    wait,
};

/// Applies events in order to an empty tree. Only groups whose birth is among the events are in it.
#[must_use]
pub fn replay(events: &[Arc<Event>]) -> Tree {
    let mut tree = Tree::new();
    for event in events {
        apply(&mut tree, event);
    }
    tree
}

/// Applies one event.
pub fn apply(tree: &mut Tree, event: &Event) {
    let is_leader = event.tid == event.pid;
    if event.action == "forked" && is_leader {
        let parent = event.number("process.parent_pid").unwrap_or(0);
        // A fork whose record was lost is reported late, perhaps after the death; this holds for threads too.
        let is_dead = event.text("task.exit_state") == Some("EXIT_ZOMBIE");
        let state = if is_dead { State::Zombie } else { State::Alive };
        let group = tree.entry(event.pid).or_insert(Group { parent, state, threads: BTreeSet::new() });
        (group.parent, group.state) = (parent, state);
        group.threads.insert(event.tid);
    }
    if event.action == "released" && is_leader {
        tree.remove(&event.pid);
        return;
    }
    if event.action == "forked" && !is_leader {
        // The thread may belong to a group whose own fork is not reported yet.
        let parent = event.number("process.parent_pid").unwrap_or(0);
        let group = Group { parent, state: State::Alive, threads: BTreeSet::from([event.pid]) };
        tree.entry(event.pid).or_insert(group).threads.insert(event.tid);
    }
    let Some(group) = tree.get_mut(&event.pid) else { return };
    match event.action.as_str() {
        "exited" if is_leader && event.text("task.exit_state") == Some("EXIT_ZOMBIE") => {
            group.state = State::Zombie;
        }
        // A thread that is not the leader is released without a wait.
        "exited" | "released" => drop(group.threads.remove(&event.tid)),
        "reparented" => group.parent = event.number("task.new_parent_pid").unwrap_or(group.parent),
        "exec_takeover" => {
            group.threads = BTreeSet::from([event.pid]);
            group.state = State::Alive;
        }
        _ => {}
    }
    if group.state != State::Alive {
        group.state = if group.threads.len() > 1 { State::DeadLeader } else { State::Zombie };
    }
}

/// Waits until each process with a fork and no release among the events is in /proc, with the same parent and state.
#[track_caller]
pub fn assert_repaired(stream: &Stream) {
    wait::until_ok(|| {
        let proc = tree::from_proc(Path::new("/proc")).unwrap_or_else(|error| panic!("{error:#}"));
        let events = stream.since(0);
        let is_birth = |event: &&Arc<Event>| event.action == "forked" && event.tid == event.pid;
        let born: BTreeSet<i64> = events.iter().filter(is_birth).map(|event| event.pid).collect();
        let mut ours = replay(&events);
        // A group whose first event is the creation of a thread may have earlier threads.
        ours.retain(|pid, _| born.contains(pid));
        let of_both = proc.into_iter().filter(|(pid, _)| ours.contains_key(pid)).collect();
        let differences = tree::differences(&of_both, &ours);
        if differences.is_empty() {
            Ok(())
        } else {
            Err(format!("not repaired:\n{}", differences.join("\n")))
        }
    });
}

/// Waits until the processes below `root` according to the events are those of /proc.
#[track_caller]
pub fn assert_equals_proc(view: &View<'_>, root: i64) {
    // A release can be reported an RCU grace period late.
    wait::until_ok(|| {
        view.fence();
        let proc = tree::from_proc(Path::new("/proc")).unwrap_or_else(|error| panic!("{error:#}"));
        let ours = tree::below(&replay(&view.events()), root);
        let differences = tree::differences(&tree::below(&proc, root), &ours);
        if differences.is_empty() {
            assert!(ours.contains_key(&root), "{root} is in neither tree");
            return Ok(());
        }
        Err(format!("the tree of the events is not that of /proc:\n{}", differences.join("\n")))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, pid: i64, tid: i64, process: &str, task: &str) -> Arc<Event> {
        let text = format!(
            r#"{{"@timestamp":"t","event":{{"action":"{action}","sequence":1}},"boottime_ns":1,
            "process":{{"pid":{pid}{process}}},"thread":{{"id":{tid}}},"task":{{"kind":"process"{task}}}}}"#
        );
        Arc::new(Event::parse(&text).unwrap())
    }

    #[test]
    fn a_dead_leader_becomes_a_zombie_with_its_last_thread() {
        let zombie = r#","exit_state":"EXIT_ZOMBIE""#;
        let mut events = vec![
            event("forked", 5, 5, r#","parent_pid":1"#, ""),
            event("forked", 5, 6, "", ""),
            event("exited", 5, 5, "", zombie),
        ];
        assert_eq!(replay(&events)[&5].state, State::DeadLeader);
        events.push(event("exited", 5, 6, "", r#","exit_state":"EXIT_DEAD""#));
        assert_eq!(replay(&events)[&5].state, State::Zombie);
        events.push(event("reparented", 5, 5, "", r#","new_parent_pid":9"#));
        assert_eq!(replay(&events)[&5].parent, 9);
        events.push(event("released", 5, 5, "", ""));
        assert!(replay(&events).is_empty());
    }

    #[test]
    fn forks_that_are_reported_late_have_their_present_state_in_the_tree() {
        let mut events = vec![event("forked", 5, 6, "", "")];
        events.push(event("forked", 5, 5, r#","parent_pid":1"#, r#","exit_state":"EXIT_ZOMBIE""#));
        let tree = replay(&events);
        assert_eq!((tree[&5].state, tree[&5].parent, tree[&5].threads.len()), (State::DeadLeader, 1, 2));
        events.remove(0);
        assert_eq!(replay(&events)[&5].state, State::Zombie);
        events.push(event("forked", 5, 6, "", ""));
        assert_eq!(replay(&events)[&5].state, State::DeadLeader);
    }

    #[test]
    fn an_exec_by_a_thread_leaves_one_living_task() {
        let events = [
            event("forked", 5, 5, r#","parent_pid":1"#, ""),
            event("forked", 5, 6, "", ""),
            event("exited", 5, 5, "", r#","exit_state":"EXIT_ZOMBIE""#),
            event("exec_takeover", 5, 5, "", r#","old_tid":6"#),
        ];
        let group = &replay(&events)[&5];
        assert_eq!((group.state, group.threads.len()), (State::Alive, 1));
    }
}
