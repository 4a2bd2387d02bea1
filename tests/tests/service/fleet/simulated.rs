//! A thousand simulated hosts, of which half misbehave.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Read as _,
    net::Ipv4Addr,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output, Stdio},
    time::Instant,
};

use serde_json::Value;
use taskscope_tests::{
    directory::Directory,
    hosts::{Hosts, Reply, http},
    service::Service,
    setting, wait,
};

use super::{common::scenario, stderr};

/// What one of the thousand simulated hosts does.
fn role(number: u32) -> &'static str {
    match number % 20 {
        0 => "timeout",
        1 => "drip",
        2 => "closed",
        3 => "html",
        4 => "endless",
        5 => "length",
        6 => "deep",
        7 => "unauthorized",
        8 => "half",
        9 => "huge row",
        _ => "answers",
    }
}

const SIMULATED: u32 = 1_000;

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 0, 1)) + number)
}

fn reply(number: u32, answer: &Value) -> Reply {
    let mut answer = answer.clone();
    let whole = |answer: &Value| http("200 OK", &answer.to_string());
    match role(number) {
        "timeout" => Reply::Silent,
        "drip" => Reply::Drip(whole(&answer)),
        "closed" => Reply::Bytes(Vec::new().into()),
        "html" => Reply::Bytes(http("200 OK", "<html>\u{1b}[2J</html>")),
        "endless" => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n{\"zombies\":".as_slice().into()),
        "length" => {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n{".as_slice().into())
        }
        "deep" => Reply::Bytes(http("200 OK", &"[".repeat(1 << 20))),
        "unauthorized" => {
            Reply::Bytes(http("401 Unauthorized", "{\"error\":{\"status\":401,\"message\":\"no\"}}"))
        }
        "half" => {
            let whole = whole(&answer);
            Reply::Bytes(whole[..whole.len() / 2].into())
        }
        "huge row" => {
            answer["parents"][0]["process"]["name"] = "x".repeat(1 << 20).into();
            Reply::Bytes(whole(&answer))
        }
        _ => {
            answer["parents"][0]["children"]["zombies"] = (number + 1).into();
            answer["zombies"] = (number + 1).into();
            Reply::Bytes(whole(&answer))
        }
    }
}

/// A real answer about one parent.
fn captured() -> Value {
    let service = Service::start(&["--zombie-after", "200ms"]);
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let is_it = |row: &Value| row["process"]["pid"] == parent && row["verdict"]["code"] == "never_waits";
    let mut answer = wait::until_answer(
        || service.json("/v1/zombies?min_age=200ms"),
        |answer| answer["parents"].as_array().unwrap().iter().any(is_it),
    );
    let ours = answer["parents"].as_array().unwrap().iter().find(|row| row["process"]["pid"] == parent);
    answer["parents"] = vec![ours.unwrap().clone()].into();
    answer["just_died"] = 0.into();
    answer.as_object_mut().unwrap().remove("parents_left_off");
    scenario.go();
    scenario.finish();
    service.stop_clean();
    answer
}

/// Runs a command; returns its output and its largest resident memory, KiB.
#[expect(clippy::zombie_processes, reason = "wait4() below waits for it")]
fn with_memory(mut command: Command) -> (Output, i64) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut log = child.stderr.take().unwrap();
    let logging = std::thread::spawn(move || {
        log.read_to_end(&mut stderr).unwrap();
        stderr
    });
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let stderr = logging.join().unwrap();
    let mut status = 0;
    // SAFETY: `rusage` is a C struct of integers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is this process's and has not been waited for; both pointers are valid for the call.
    let waited = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    assert_eq!(waited, child.id().cast_signed());
    (Output { status: std::process::ExitStatus::from_raw(status), stdout, stderr }, usage.ru_maxrss)
}

#[test]
fn a_thousand_hosts_of_which_half_misbehave_are_asked_in_bounded_time_and_memory() {
    let answer = captured();
    let first = u32::from(address(0));
    let hosts = Hosts::start(move |at, request| {
        assert!(request.starts_with("GET /v1/zombies?min_age=0ms HTTP/1.1\r\n"), "{request}");
        reply(u32::from(at) - first, &answer)
    });
    let directory = Directory::new("fleet");
    let file = directory.file("hosts");
    let mut list = String::from("# a thousand simulated hosts\n");
    for number in 0..SIMULATED {
        let _ = writeln!(list, "{}:{}", address(number), hosts.port());
    }
    fs::write(&file, list).unwrap();
    let mut command = Command::new(setting::taskscope());
    command.args([
        "fleet",
        "zombies",
        "--timeout",
        "2s",
        "--parallel",
        "64",
        "--format",
        "json",
        "--hosts-file",
    ]);
    command.arg(&file);
    let began = Instant::now();
    let (output, rss) = with_memory(command);
    let took = began.elapsed();
    println!("{SIMULATED} hosts in {took:?}, {rss} KiB, {} connections at a time", hosts.most_connections());
    let log = stderr(&output);
    assert_eq!(output.status.code(), Some(9), "{log}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    for error in answer["errors"].as_array().unwrap() {
        let ip: Ipv4Addr = error["host"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
        let number = u32::from(ip) - first;
        let expected = match role(number) {
            "timeout" | "drip" => "timeout",
            "closed" | "half" => "closed",
            "endless" | "length" => "too_large",
            "html" | "deep" | "huge row" => "nonsense",
            other => other,
        };
        // A slow machine may not get an answer in time.
        if error["kind"] != "timeout" {
            assert_eq!(error["kind"], expected, "{} {error:#}", role(number));
            assert_ne!(expected, "answers", "{error:#}");
        }
        assert!(error["message"].as_str().unwrap().len() < 2_000, "{error:#}");
        *counted.entry(error["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    println!("{counted:?}");
    let answered = answer["hosts_answered"].as_u64().unwrap();
    assert_eq!(
        answered + u64::from(counted.values().sum::<u32>()),
        u64::from(SIMULATED),
        "none is lost silently"
    );
    assert!(answered >= 450, "{answered} of 500 hosts answered: {counted:?}");
    // The rows are those with most zombies, and the rest is counted.
    let rows = answer["parents"].as_array().unwrap();
    let counts: Vec<u64> = rows.iter().filter_map(|row| row["children"]["zombies"].as_u64()).collect();
    assert_eq!(rows.len(), 100);
    assert!(counts.is_sorted_by(|a, b| a >= b) && counts[0] >= 990, "{counts:?}");
    assert_eq!(answer["parents_left_off"].as_u64(), Some(answered - 100));
    assert!(hosts.most_connections() <= 64 + 16, "{} connections", hosts.most_connections());
    // A hundred hosts that take 2 s, 64 at a time; parsing in a debug build.
    assert!(took < setting::deadline() * 6, "{took:?}");
    assert!(rss < 400 << 10, "{rss} KiB");
}
