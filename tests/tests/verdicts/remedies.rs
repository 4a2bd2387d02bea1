//! Remedies that taskscope prints, run literally: what they promise must happen, as /proc and wait(2) show.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use common::scenario;
use taskscope_tests::{cgroup::Cgroup, proc, remedy, scenario::Scenario, service::Service, setting, wait};

/// Forks are counted for a sixtieth of the window.
const BOMBS: [&str; 4] = ["--leak-window", "60s", "--fork-storm", "50"];

/// Lets one bomb run at a time, because the bombs of two tests have this process as their common ancestor.
static BURNING: Mutex<()> = Mutex::new(());

/// Starts a daemon that has had its first polls.
fn watching() -> Service {
    let service = Service::start(&BOMBS);
    wait::until("the daemon has observed for 3 s", || {
        service.json("/v1/leaks")["observed_ns"].as_u64() >= Some(3_000_000_000)
    });
    service
}

/// Waits until a fork bomb is reported, and returns its remedy.
#[track_caller]
fn remedy_of_the_bomb(service: &Service) -> String {
    wait::until_ok(|| {
        let leaks = service.json("/v1/leaks")["leaks"].clone();
        let bombs = leaks.as_array().into_iter().flatten();
        let mut bombs = bombs.filter(|leak| leak["verdict"]["evidence"].to_string().contains("fork bomb"));
        let remedy = bombs.next().and_then(|leak| leak["verdict"]["remedy"].as_str());
        remedy.map(str::to_owned).ok_or_else(|| format!("no fork bomb is reported: {leaks:#}"))
    })
}

/// Returns the living processes of a process group, as /proc shows them.
fn group(of: i64) -> Vec<i64> {
    let of = of.to_string();
    let is_in = |fields: Vec<String>| fields.get(2) == Some(&of) && fields[0] != "Z";
    proc::pids().filter(|pid| proc::stat(pid).is_some_and(is_in)).collect()
}

/// All processes of the bomb were killed, and none is left.
#[track_caller]
fn is_over(mut burning: Scenario, service: Service) {
    let bomb = burning.facts().role("bomb").pid;
    burning.go();
    let facts = burning.finish();
    let burnt = facts.all("burnt").next().cloned().unwrap_or_default();
    assert!(burnt["killed"].as_i64() > Some(50), "{burnt:#}");
    wait::until(format_args!("no process of the bomb is left: {burnt:#}"), || group(bomb).is_empty());
    // In such a storm the kernel may skip programs, and the ring may be full.
    let (end, directory) = service.stop();
    assert_eq!(end.code(), Some(0), "{}", end.text());
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn one_kill_of_its_process_group_ends_a_fork_bomb() {
    if setting::skip_in_vm("an emulated CPU on a busy host forks too slowly for a storm") {
        return;
    }
    let _alone = BURNING.lock().unwrap_or_else(PoisonError::into_inner);
    let service = watching();
    let mut burning = scenario("fork-bomb-burns", &["200"]);
    burning.pause("burning");
    let bomb = burning.facts().role("bomb").pid;
    let text = remedy_of_the_bomb(&service);
    let command = remedy::between(&text, "one by one: ", " (this ends every process of their process group");
    assert_eq!(command, format!("kill -s KILL -- -{bomb}"), "{text}");
    remedy::run(command);
    is_over(burning, service);
}

#[test]
fn one_write_to_its_cgroup_ends_a_fork_bomb() {
    if setting::skip_in_vm("an emulated CPU on a busy host forks too slowly for a storm") {
        return;
    }
    let Some(own) = Cgroup::make(&[&format!("taskscope-bomb-{}", std::process::id())]) else {
        return setting::skip(format_args!("no cgroup of the v2 hierarchy can be made"));
    };
    let file = own.path().join("cgroup.kill");
    if !file.exists() {
        return setting::skip(format_args!("this kernel has no cgroup.kill"));
    }
    let _alone = BURNING.lock().unwrap_or_else(PoisonError::into_inner);
    let service = watching();
    let mut burning = scenario("fork-bomb-burns", &["200", &own.path().display().to_string()]);
    burning.pause("burning");
    let text = remedy_of_the_bomb(&service);
    let command = remedy::between(&text, "one by one: ", " (this ends every process of the cgroup ");
    assert_eq!(command, format!("echo 1 > {}", file.display()), "{text}");
    remedy::run(command);
    is_over(burning, service);
}

/// Until rates are known, the answer says that it is inconclusive. No process outside the bomb is reported.
#[test]
fn a_bomb_that_is_older_than_the_daemon_accuses_nobody_else() {
    if setting::skip_in_vm("an emulated CPU on a busy host forks too slowly for a storm") {
        return;
    }
    let _alone = BURNING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut burning = scenario("fork-bomb-burns", &["200"]);
    burning.pause("burning");
    let service = Service::start(&BOMBS);
    let bomb = burning.facts().role("bomb").pid;
    let parent = burning.facts().role("scenario").pid;
    wait::until("the daemon has observed for 5 s", || {
        let answer = service.json("/v1/leaks");
        for leak in answer["leaks"].as_array().into_iter().flatten() {
            let pid = leak["process"]["pid"].as_i64().unwrap_or(0);
            let is_it = pid == parent || pid == bomb || group(bomb).contains(&pid);
            // It may have ended since.
            assert!(is_it || !fs::exists(format!("/proc/{pid}")).unwrap_or(false), "{leak:#}");
        }
        let is_conclusive = answer["observed_ns"].as_u64() >= Some(5_000_000_000);
        assert!(is_conclusive || answer["inconclusive"].to_string().contains("not found yet"), "{answer:#}");
        is_conclusive
    });
    remedy::run(&format!("kill -s KILL -- -{bomb}"));
    is_over(burning, service);
}

/// Ends a process group however the test ends.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: two integers.
        unsafe { libc::kill(-self.0.id().cast_signed(), libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

/// The bomb of a shell, as it is usually written, with a neighbour in its process group that the remedy must name.
#[test]
fn the_remedy_for_the_bomb_of_a_shell_names_what_else_it_ends() {
    if setting::skip_in_vm("a guest has no shell") {
        return;
    }
    let name = format!("taskscope-bomb-shell-{}", std::process::id());
    let Some(bound) = Cgroup::with_pids_limit(&name, 120) else {
        return setting::skip(format_args!("no cgroup can limit pids"));
    };
    let _alone = BURNING.lock().unwrap_or_else(PoisonError::into_inner);
    let service = watching();
    let mut command = Command::new("bash");
    // The neighbour is a child of the shell that was there before.
    command.args([
        "-c",
        "sleep 1000 & echo $!; b() { b | b & }; bash -c 'b() { b | b & }; b; sleep 1000'; wait",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    bound.begin(&mut command);
    let Ok(shell) = command.spawn() else {
        return setting::skip(format_args!("there is no bash"));
    };
    let shell = Group(shell);
    let id = i64::from(shell.0.id());
    let text = remedy_of_the_bomb(&service);
    let command = remedy::between(&text, "one by one: ", " (this ends every process of their process group");
    assert_eq!(command, format!("kill -s KILL -- -{id}"), "{text}");
    assert!(text.contains("among them") && text.contains(&format!("bash (pid {id})")), "{text}");
    remedy::run(command);
    drop(shell);
    wait::until(format_args!("no process of the group is left: {text}"), || group(id).is_empty());
    let left = fs::read_to_string(bound.path().join("cgroup.procs")).unwrap_or_default();
    assert_eq!(left, "", "{text}");
    let (end, directory) = service.stop();
    assert_eq!(end.code(), Some(0), "{}", end.text());
    let _ = fs::remove_dir_all(directory);
}
