//! A command that a remedy prints must do what it promises.

use super::*;
use crate::{EndAll, Surroundings, leak};
use lineage::flags::SIGTERM;
use lineage::leak::{Leak, Leaking, Storm};

#[test]
fn sigterm_does_not_end_the_init_of_a_pid_namespace_without_a_handler() {
    let init = ProcessFacts { namespace_pids: vec![50, 1], ..process(50) };
    assert_eq!(init.kill_command(), "kill -9");
    let handles = ProcessFacts { caught: Some(Signals(1 << (SIGTERM - 1))), ..init };
    assert_eq!(handles.kill_command(), "kill");
    assert_eq!(process(50).kill_command(), "kill");
    // The pid 1 of a container that holds its zombie by an exit signal: its end is that of the container.
    let mut facts = with(|_, process| process.namespace_pids = vec![50, 1]);
    facts.subject.known.life.exit_signal = Some(0);
    let verdict = expect(&facts, Code::ExitSignal, Certainty::Certain, 50);
    assert!(!verdict.remedy.unwrap().contains("kill"));
}

#[test]
fn sigterm_does_not_end_a_stopped_tracer() {
    for (state, command) in [(b'T', "kill -9 70"), (b'S', "kill 70")] {
        let mut facts = base_facts();
        facts.subject.tracer = Some(Named { key: key(70), name: Some("strace".into()) });
        facts.subject.tracer_state = Some(state);
        let verdict = expect(&facts, Code::HeldByTracer, Certainty::Certain, 70);
        assert!(verdict.remedy.unwrap().ends_with(command));
    }
}

#[test]
fn a_parent_that_looks_once_a_minute_is_not_certain_to_never_wait() {
    let mut facts = base_facts();
    for (seconds, certainty) in [(61, Certainty::Likely), (76, Certainty::Certain)] {
        facts.subject.known.life.zombie = Some(Span { ns: seconds * SECOND, bound: Bound::Exact });
        expect(&facts, Code::NeverWaits, certainty, 50);
    }
}

fn bomb(seen: u64) -> Leak {
    Leak {
        culprit: key(50),
        name: None,
        cgroup_id: None,
        since: Ktime(seen * SECOND - 2 * SECOND),
        seen: Ktime(seen * SECOND),
        what: Leaking::Storm(Storm { made: 400, alive: 200, spreads: true }),
    }
}

#[test]
fn the_remedy_for_a_fork_bomb_names_what_else_it_ends() {
    let end_all = EndAll {
        command: "kill -s KILL -- -50".into(),
        reach: "every process of their process group".into(),
        with_culprit: true,
        also: vec![Named { key: key(40), name: Some("sh".into()) }],
        also_count: 3,
    };
    let around = Surroundings { end_all: Some(end_all), ..Surroundings::default() };
    let verdict = leak(&bomb(999), NOW, &around);
    let text = "one by one: kill -s KILL -- -50 (this ends every process of their process group, among them pid 50, sh (pid 40), 2 more);";
    assert!(verdict.remedy.as_ref().unwrap().contains(text), "{verdict:#?}");
    assert!(verdict.summary.contains("fork too fast"), "{verdict:#?}");
    let without = leak(&bomb(999), NOW, &Surroundings::default());
    assert!(!without.remedy.unwrap().contains("kill -"));
}

#[test]
fn a_bomb_at_its_limit_is_not_said_to_fork_still() {
    let verdict = leak(&bomb(900), NOW, &Surroundings::default());
    assert!(verdict.summary.contains("forked too fast") && verdict.summary.contains("until 1 min 40 s ago"));
    assert!(verdict.summary.ends_with("200 that descend from it are alive"), "{verdict:#?}");
}

#[test]
fn the_remedy_for_one_that_ignores_sigterm_is_sigkill() {
    let storm = Leak { what: Leaking::Storm(Storm { made: 400, alive: 0, spreads: false }), ..bomb(999) };
    for (resists_sigterm, command) in [(false, "; kill 50"), (true, "; kill -9 50")] {
        let around = Surroundings { resists_sigterm, ..Surroundings::default() };
        assert!(leak(&storm, NOW, &around).remedy.unwrap().ends_with(command));
    }
}
