//! Programs of processes that no exec told.

use crate::Arguments;
use crate::tests::scene::Fixture;

#[test]
fn what_a_process_was_seen_to_run_is_taken_until_an_exec_tells() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let app = scene.fork(init, 100);
    let key = scene.lineage.group(app.tgid).unwrap().key();
    assert!(scene.lineage.without_executable().any(|other| other == key));
    scene.lineage.learn_executable(key, b"/usr/bin/app");
    let runs =
        |scene: &Fixture| scene.lineage.group(app.tgid).unwrap().executable().unwrap().bytes().to_vec();
    assert_eq!(runs(&scene), b"/usr/bin/app");
    let child = scene.fork(app, 101);
    let inherited = scene.lineage.group(child.tgid).unwrap().executable().unwrap().bytes().to_vec();
    assert_eq!(inherited, b"/usr/bin/app");
    scene.exec(app, "/bin/other");
    scene.lineage.learn_executable(key, b"/usr/bin/app");
    assert_eq!(runs(&scene), b"/bin/other");
}

#[test]
fn another_life_with_the_same_pid_learns_nothing() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let app = scene.fork(init, 100);
    let mut other = scene.lineage.group(app.tgid).unwrap().key();
    other.start = other.start.map(|start| crate::model::id::Ktime(start.0 + 1));
    scene.lineage.learn_executable(other, b"/usr/bin/app");
    assert!(scene.lineage.group(app.tgid).unwrap().executable().is_none());
}

#[test]
fn the_arguments_of_an_older_process_are_told_until_it_execs() {
    let config = crate::Config { exec_args: true, ..crate::Config::default() };
    let mut scene = Fixture::with(config);
    let init = scene.init();
    let app = scene.fork(init, 100);
    let key = scene.lineage.group(app.tgid).unwrap().key();
    let arguments = Arguments::of_cmdline(b"app\0--all\0", 1024).unwrap();
    scene.lineage.learn_arguments(key, arguments.clone());
    assert_eq!(scene.lineage.older_arguments_of(key).as_deref(), Some(&arguments));
    scene.exec(app, "/bin/other");
    assert_eq!(scene.lineage.older_arguments_of(key), None);
}

#[test]
fn arguments_are_cut_and_empty_ones_are_none() {
    let of = |text: &[u8]| Arguments::of_cmdline(text, 6);
    assert_eq!(of(b""), None);
    assert_eq!(of(b"a\0\0b\0").unwrap().args, [&b"a"[..], b"", b"b"]);
    assert_eq!(
        of(b"abc\0defgh\0"),
        Some(Arguments { args: vec![b"abc".into(), b"de".into()], truncated: true })
    );
}
