//! Audits and canaries.

use std::fs;

use taskscope_tests::{observer::Observer, setting, skipped::attempts, wait};

use crate::{
    common::scenario,
    help::{SOON, assert_becomes_proc, assert_sums, lines_with, stop, until_reported},
};

#[test]
fn an_audit_of_a_quiet_tree_finds_no_drift() {
    // If the kernel skipped a program, a fork was really missed.
    attempts(|| {
        let observer = Observer::start(&["--audit-every", "1s", "--verbose"]);
        let mut standing = scenario("many-threads", &["100"]);
        standing.pause("all-alive");
        scenario("burst", &["2000"]).finish();
        let audits = lines_with(&observer, "tasks (Audit)");
        wait::until("there were two more audits", || lines_with(&observer, "tasks (Audit)") >= audits + 2);
        let born_late: Vec<String> = observer
            .stream()
            .since(standing.started_ns())
            .iter()
            .filter(|seen| seen.action == "forked" && seen.text("task.provenance") == Some("repaired"))
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            born_late,
            Vec::<String>::new(),
            "forks whose records were not read yet were taken for missed"
        );
        standing.go();
        standing.finish();
        let end = observer.stop();
        assert_sums(&end);
    });
}

#[test]
fn canaries_are_seen_whole_and_are_not_shown() {
    let observer = Observer::start(&["--canary-every", "500ms", "--verbose"]);
    let me = i64::from(observer.pid());
    wait::until("there were three whole lives of canaries", || {
        lines_with(&observer, "canary: a whole life") >= 3
    });
    observer.from_now().fence();
    let shown = observer.stream().since(0);
    let canaries: Vec<String> = shown
        .iter()
        .filter(|seen| seen.number("process.parent_pid") == Some(me))
        .map(ToString::to_string)
        .collect();
    assert_eq!(canaries, Vec::<String>::new(), "canaries are shown");
    let end = observer.stop();
    let summary = end.summary().unwrap_or_default();
    let whole =
        summary.split("canaries ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(whole >= Some(3), "{summary}");
}

#[test]
fn disarmed_kprobes_are_noticed() {
    const SWITCH: &str = "/sys/kernel/debug/kprobes/enabled";
    if !setting::in_vm() || setting::attach() != "kprobe" {
        setting::skip(format_args!("needs a guest and kprobes"));
        return;
    }
    // SAFETY: the strings end with NUL and outlive the call. If it fails because the hierarchy is mounted already, that is as good.
    unsafe {
        libc::mount(
            c"debugfs".as_ptr(),
            c"/sys/kernel/debug".as_ptr(),
            c"debugfs".as_ptr(),
            0,
            std::ptr::null(),
        );
    }
    if !fs::exists(SWITCH).unwrap_or(false) {
        setting::skip(format_args!("this kernel has no {SWITCH}"));
        return;
    }
    let observer = Observer::start(&["--canary-every", "1s"]);
    fs::write(SWITCH, "0").unwrap_or_else(|error| panic!("writing {SWITCH}: {error}"));
    let complaint = observer.log().line("taskscope: warning: canary:", SOON);
    fs::write(SWITCH, "1").unwrap_or_else(|error| panic!("writing {SWITCH}: {error}"));
    assert!(complaint.is_some(), "the loss was not noticed:\n{}", observer.log());
    let well = observer.log().line("taskscope: warning: canary: whole lives", SOON);
    assert!(well.is_some(), "it does not observe again:\n{}", observer.log());
    stop(observer);
}

/// Returns the ids of the links that a process holds.
#[cfg(target_arch = "x86_64")]
fn link_ids(pid: u32) -> Vec<u32> {
    let entries =
        fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap_or_else(|error| panic!("fdinfo: {error}"));
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    texts
        .filter_map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("link_id:"))?.to_owned();
            line.trim().parse().ok()
        })
        .collect()
}

/// Detaches a link as `bpftool link detach` does. Returns the errno if that fails.
#[cfg(target_arch = "x86_64")]
fn detach_by_id(link: u32) -> Option<i32> {
    const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
    const BPF_LINK_DETACH: libc::c_long = 34;
    let ask = |command: libc::c_long, word: u32| {
        let attr = [word, 0, 0, 0];
        // SAFETY: the commands read no more words than the array has.
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(&attr)) }
    };
    let fd = ask(BPF_LINK_GET_FD_BY_ID, link);
    assert!(fd >= 0, "link {link}: {}", std::io::Error::last_os_error());
    let answer = ask(BPF_LINK_DETACH, u32::try_from(fd).unwrap_or_default());
    let errno = (answer != 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    // SAFETY: the call has just created this descriptor, and nothing else owns it.
    unsafe { libc::close(i32::try_from(fd).unwrap_or(-1)) };
    errno
}

#[cfg(target_arch = "x86_64")]
#[test]
fn cut_links_are_noticed_and_attached_again() {
    let observer = Observer::start(&["--canary-every", "500ms"]);
    let view = observer.from_now();
    for link in link_ids(observer.pid()) {
        assert_eq!(
            detach_by_id(link),
            Some(libc::EOPNOTSUPP),
            "the kernel allows BPF_LINK_DETACH for links of this kind"
        );
    }
    view.fence();
    let cut =
        crate::sabotage::cut_links(observer.pid()).unwrap_or_else(|error| panic!("cutting links: {error}"));
    assert!(cut >= 5, "it has {cut} links only");
    // The fork of this process was not reported.
    let mut standing = scenario("many-threads", &["50"]);
    standing.pause("all-alive");
    for reported in ["canary:", "all hooks were attached again", "canary: whole lives"] {
        let line = observer.log().line(&format!("taskscope: warning: {reported}"), SOON);
        assert!(line.is_some(), "`{reported}` is not reported:\n{}", observer.log());
    }
    let root = standing.facts().role("scenario").pid;
    until_reported(&view, "forked", root);
    assert_becomes_proc(&view, root);
    standing.go();
    standing.finish();
    until_reported(&view, "released", root);
    assert_sums(&stop(observer));
}
