//! `taskscope fleet top` in a real terminal.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    process::Stdio,
    time::{Duration, Instant},
};

use taskscope_tests::{
    directory::Directory,
    hosts::{Hosts, Reply, http},
    service::{self, Service},
    setting,
    tmux::{self, Tmux},
    top,
};

use super::{API, command, common::scenario, fleet, stderr, stdout};

/// Runs `fleet top` in a terminal of this size; `None` if there is no tmux.
fn start(files: &Directory, (columns, rows): (u16, u16), args: &str, environment: &str) -> Option<Tmux> {
    if !tmux::is_there() {
        setting::skip("no tmux; cargo xtask test installs it");
        return None;
    }
    let tmux = Tmux::start(columns, rows);
    let program = setting::taskscope();
    let program = program.canonicalize().unwrap_or(program);
    tmux.types(&format!(
        "stty -a > {0}/stty; {environment} {1} fleet top --hosts-file {0}/nodes {args}; echo code=$?",
        files.0.display(),
        program.display()
    ));
    tmux.presses("Enter");
    Some(tmux)
}

#[track_caller]
fn assert_fits(screen: &str, columns: usize, rows: usize) {
    assert_eq!(screen.lines().count(), rows, "{screen}");
    for line in screen.lines() {
        assert!(line.chars().count() <= columns, "longer than {columns}: {line}\n{screen}");
    }
}

/// Returns the rows of the hosts.
fn rows(screen: &str) -> Vec<&str> {
    let rows = screen.lines().skip_while(|line| !line.contains("─ Hosts (")).skip(2);
    let count = screen.lines().count();
    rows.take(count.saturating_sub(7)).filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn hosts_that_need_attention_are_first_and_one_can_be_opened() {
    let services: Vec<Service> = (0..3).map(|_| Service::start(&API)).collect();
    let files = Directory::new("fleet-top");
    let mut list = String::from("gone=127.0.0.1:1\n");
    for (number, service) in services.iter().enumerate() {
        let _ = writeln!(list, "node{number}={}", service.address());
    }
    fs::write(files.file("nodes"), list).unwrap();
    let Some(tmux) = start(&files, (80, 24), "--interval 300ms", "") else { return };
    let screen = tmux.shows("3 of 4 answered");
    assert_fits(&screen, 80, 24);
    assert!(rows(&screen)[0].starts_with("! gone ") && rows(&screen)[0].contains("refused"), "{screen}");
    assert!(screen.starts_with("taskscope fleet: 4 hosts, 3 answer"), "{screen}");

    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let screen = tmux.until("the flagged zombies of three hosts", |screen| {
        rows(screen).iter().filter(|line| line.starts_with("! node")).count() == 3
    });
    assert_fits(&screen, 80, 24);

    // The lines at the end are about the chosen host.
    tmux.presses("Down");
    tmux.until("the chosen host", |screen| {
        screen.lines().rev().nth(2).is_some_and(|line| line.starts_with("node") && line.ends_with(": ready"))
    });
    tmux.types("/node2");
    tmux.presses("Enter");
    let screen = tmux.shows("filter: node2 (Esc)");
    assert_eq!(rows(&screen).len(), 1, "{screen}");
    // The host's own view, with the parent, and what explain says of it.
    tmux.presses("Enter");
    tmux.until("the view of node2", |screen| {
        screen.starts_with("node2: taskscope ") && screen.contains("1 Zombies by parent")
    });
    tmux.types("/");
    tmux.types(&parent.to_string());
    tmux.presses("Enter");
    tmux.until("the parent", |screen| screen.contains("never waits") && screen.contains("5 Tree ("));
    tmux.presses("Enter");
    tmux.shows("Story: ");
    tmux.presses("Escape");
    tmux.presses("q");
    let screen = tmux.shows("filter: node2 (Esc)");
    assert!(screen.starts_with("taskscope fleet: "), "{screen}");

    tmux.presses("Escape");
    tmux.types("ssssssss");
    tmux.until("the hosts by name", |screen| {
        screen.contains("sorted by name") && rows(screen)[0].starts_with("! gone")
    });
    tmux.types("?");
    tmux.shows("Keys: Up and Down move");
    tmux.presses("Escape");
    tmux.types(" ");
    tmux.shows("PAUSED");
    tmux.types(" ");
    tmux.until("that it goes on", |screen| !screen.contains("PAUSED"));
    scenario.go();
    scenario.finish();
    tmux.presses("q");
    top::assert_restored(&tmux, &files.0, 0);
    services.into_iter().for_each(Service::stop_clean);
}

#[test]
fn a_host_that_stops_and_comes_back_is_seen_in_a_terminal_of_any_size() {
    let stays = Service::start(&API);
    let goes = Service::start(&API);
    let address = goes.address().to_owned();
    let files = Directory::new("fleet-top-again");
    fs::write(files.file("nodes"), format!("stays={}\ngoes={address}\n", stays.address())).unwrap();
    let Some(tmux) = start(&files, (200, 50), "--interval 300ms", "NO_COLOR=1") else { return };
    let screen = tmux.shows("2 of 2 answered");
    assert_fits(&screen, 200, 50);
    assert!(screen.contains("VERSION") && screen.contains("DEATHS IN 1 MIN"), "{screen}");
    let directory = goes.kill();
    let screen = tmux.until("the host that has stopped", |screen| {
        screen.contains("1 of 2 answered") && rows(screen)[0].starts_with("! goes ")
    });
    assert!(rows(&screen)[0].contains("refused: no process listens on "), "{screen}");
    tmux.resizes(80, 24);
    let screen = tmux.until("the smaller screen", |screen| {
        !screen.contains("VERSION")
            && screen.lines().last().is_some_and(|line| line.starts_with("1 of 2 answered"))
    });
    assert_fits(&screen, 80, 24);
    let again = service::command(&directory, &[&API[..], &["--listen", &address]].concat());
    let goes = Service::start_with(directory, &[], |command| *command = again);
    tmux.until("that it answers again", |screen| screen.contains("2 of 2 answered"));
    tmux.resizes(40, 8);
    let screen = tmux.until("the smallest screen", |screen| screen.lines().count() == 8);
    assert_fits(&screen, 40, 8);
    tmux.resizes(30, 5);
    tmux.shows("the terminal is too small");
    tmux.resizes(200, 50);
    let screen = tmux.shows("DEATHS IN 1 MIN");
    assert_fits(&screen, 200, 50);
    let coloured = tmux.coloured();
    let is_colour =
        |code: &str| code.len() > 1 && ["3", "4", "9"].iter().any(|start| code.starts_with(start));
    for sequence in coloured.split("\x1b[").skip(1) {
        let codes = sequence.split('m').next().unwrap_or_default();
        assert!(
            !codes.split(';').any(|code| is_colour(code) && code != "39" && code != "49"),
            "{sequence:?}"
        );
    }
    // Ctrl-C ends it, also while a host is open.
    tmux.presses("Enter");
    tmux.shows(": taskscope ");
    tmux.presses("C-c");
    top::assert_restored(&tmux, &files.0, 0);
    goes.stop_clean();
    stays.stop_clean();
}

const SIMULATED: u32 = 1_000;

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 78, 0, 1)) + number)
}

/// What a simulated host answers: a tenth never answers, another tenth says hostile things.
fn reply(number: u32, request: &str) -> Reply {
    let hostile = "\\u001b[2J\\u001b]0;x\\u0007";
    let (version, cause) = if number % 10 == 2 { (hostile, hostile) } else { ("0.1.0", "killed") };
    let body = match request.split(['?', ' ']).nth(1).unwrap_or_default() {
        _ if number % 10 == 1 => return Reply::Silent,
        "/v1/status" => format!(
            "{{\"version\":\"{version}\",\"uptime_ns\":1,\"ready\":true,\"tasks\":{number},\"processes\":1,\"zombies\":0}}"
        ),
        "/v1/zombies" => "{\"zombies\":0,\"parents\":[]}".into(),
        "/v1/limits" => {
            "{\"limits\":[{\"kind\":\"pid_max\",\"used\":1,\"limit\":100,\"full\":false}]}".into()
        }
        _ => format!("{{\"boottime_ns\":9,\"deaths\":[{{\"boottime_ns\":8,\"cause\":\"{cause}\"}}]}}"),
    };
    Reply::Bytes(http("200 OK", &body))
}

#[test]
fn a_thousand_hosts_of_which_some_are_silent_or_hostile_delay_no_key() {
    let first = u32::from(address(0));
    let hosts = Hosts::start(move |at, request| reply(u32::from(at) - first, request));
    let files = Directory::new("fleet-top-many");
    let mut list = String::new();
    for number in 0..SIMULATED {
        let _ = writeln!(list, "n{number:04}={}:{}", address(number), hosts.port());
    }
    fs::write(files.file("nodes"), list).unwrap();
    let args = "--timeout 3s --parallel 64";
    let Some(tmux) = start(&files, (80, 24), args, "") else { return };
    // All that answer have answered while the silent ones still wait.
    let screen = tmux.shows("900 of 1000 answered");
    assert_fits(&screen, 80, 24);
    assert!(!screen.contains('\x1b') && !screen.contains('\x07'), "{screen:?}");
    let screen =
        tmux.until("the hosts that do not answer", |screen| screen.contains("no answer: timeout 100"));
    assert!(rows(&screen).iter().all(|row| row.starts_with("! n") && row.contains("timeout")), "{screen}");
    let began = Instant::now();
    tmux.types("G");
    tmux.until("the last host", |screen| rows(screen).last().is_some_and(|row| row.starts_with("  n0999 ")));
    tmux.types("/n0502");
    let screen = tmux.until("the host that is typed", |screen| rows(screen).len() == 1);
    let took = began.elapsed();
    println!("two keys in {took:?}, {} connections at a time", hosts.most_connections());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(screen.contains("\\x1b[2J"), "{screen}");
    tmux.presses("Escape");
    // At most four times 64 polls are in flight, slow ones included. The simulated hosts close their connections late.
    assert!(hosts.most_connections() <= 4 * 64 + 64, "{}", hosts.most_connections());
    tmux.presses("C-c");
    top::assert_restored(&tmux, &files.0, 0);
}

#[test]
fn one_frame_with_once_is_text_and_the_exit_code_tells_how_many_answered() {
    let service = Service::start(&API);
    let of = |hosts: &str| {
        let mut command = command(&["top", "--once", "--hosts", hosts]);
        command.env("COLUMNS", "100").env("LINES", "30").env("LC_ALL", "C").stdin(Stdio::null());
        let output = command.output().unwrap();
        (stdout(&output), output.status.code().unwrap(), stderr(&output))
    };
    let both = format!("{},127.0.0.1:1", service.address());
    let (text, code, log) = of(&both);
    assert_eq!((code, text.lines().count()), (10, 30), "{text}{log}");
    assert!(text.is_ascii() && !text.contains('\x1b') && text.contains("1 of 2 answered"), "{text}");
    assert_eq!((of(service.address()).1, of("127.0.0.1:1").1), (0, 1));
    service.stop_clean();
    for (args, why) in [
        (&["top", "--hosts", "a"][..], "--once"),
        (&["top", "--once", "--hosts", ""], "no host is listed"),
        (&["top", "--once", "--hosts", "a", "--format", "json"], "fleet status --format json"),
    ] {
        let output = fleet(args);
        let log = stderr(&output);
        assert!(output.status.code() == Some(2) && log.contains(why), "{args:?}: {log}");
    }
}
