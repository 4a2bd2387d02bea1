//! Programs of processes that no exec told.

use crate::tests::fixture::Fixture;

#[test]
fn what_a_process_was_seen_to_run_is_taken_until_an_exec_tells() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let app = fixture.fork(init, 100);
    let key = fixture.lineage.group(app.tgid).unwrap().key();
    assert!(fixture.lineage.without_executable().any(|other| other == key));
    fixture.lineage.learn_executable(key, b"/usr/bin/app");
    let runs =
        |fixture: &Fixture| fixture.lineage.group(app.tgid).unwrap().executable().unwrap().bytes().to_vec();
    assert_eq!(runs(&fixture), b"/usr/bin/app");
    let child = fixture.fork(app, 101);
    let inherited = fixture.lineage.group(child.tgid).unwrap().executable().unwrap().bytes().to_vec();
    assert_eq!(inherited, b"/usr/bin/app");
    fixture.exec(app, "/bin/other");
    fixture.lineage.learn_executable(key, b"/usr/bin/app");
    assert_eq!(runs(&fixture), b"/bin/other");
}

#[test]
fn another_life_with_the_same_pid_learns_nothing() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let app = fixture.fork(init, 100);
    let mut other = fixture.lineage.group(app.tgid).unwrap().key();
    other.start = other.start.map(|start| crate::model::id::Ktime(start.0 + 1));
    fixture.lineage.learn_executable(other, b"/usr/bin/app");
    assert!(fixture.lineage.group(app.tgid).unwrap().executable().is_none());
}
