//! `taskscope fleet`: the answers of many daemons as one, over TCP and TLS, from hosts that answer and hosts that do not.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    certificates::{authority, certificate},
    directory::Directory,
    hosts::{Hosts, Reply, http},
    service::{self, Service},
    setting,
};

/// The bcrypt hash of `correct horse`, cost 10, by libxcrypt.
const HASH: &str = "$2b$10$EBhvFr1CCfI7jzjc6hQTMOcCRXCosquxjyLiaBE.i.Z49aNpEZRSS";

const API: [&str; 3] = ["--api-on-tcp", "--zombie-after", "200ms"];

fn fleet(args: &[&str]) -> Output {
    Command::new(setting::taskscope()).arg("fleet").args(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `fleet` with `--format json`; returns the answer and the exit code.
#[track_caller]
fn json(args: &[&str]) -> (Value, i32) {
    let output = fleet(&[args, &["--format", "json"]].concat());
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", stdout(&output), stderr(&output)));
    (answer, output.status.code().unwrap())
}

/// Returns `host kind` of each host that did not answer.
fn errors(answer: &Value) -> Vec<String> {
    let errors = answer["errors"].as_array().unwrap().iter();
    errors.map(|it| format!("{} {}", it["host"].as_str().unwrap(), it["kind"].as_str().unwrap())).collect()
}

/// Returns the only error's kind and message.
fn error(args: &[&str]) -> (String, String) {
    let (answer, code) = json(args);
    assert_eq!(code, 1, "{answer:#}");
    let text = |key: &str| answer["errors"][0][key].as_str().unwrap_or_default().to_owned();
    (text("kind"), text("message"))
}

fn zombies_of_kernel(parent: i64) -> usize {
    let is_zombie = |pid: i64| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = rest.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    };
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_zombie(*pid)).count()
}

#[test]
fn several_daemons_answer_as_one() {
    let history = Directory::new("fleet-history");
    let mut services =
        vec![Service::start(&[&API[..], &["--history", history.0.to_str().unwrap()]].concat())];
    services.extend((1..3).map(|_| Service::start(&API)));
    let metrics_only = Service::start(&[]);
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let owed = zombies_of_kernel(parent);
    let mut hosts: Vec<String> = services.iter().map(|service| service.address().to_owned()).collect();
    hosts.push(metrics_only.address().to_owned());
    // Nobody listens on port 1.
    hosts.push("127.0.0.1:1".into());
    let list = hosts.join(",");
    let end = Instant::now() + setting::deadline() * 3;
    let (answer, code) = loop {
        let (answer, code) = json(&["zombies", "--hosts", &list, "--min-age", "200ms"]);
        let rows = answer["parents"].as_array().unwrap();
        let ours = rows
            .iter()
            .filter(|row| row["process"]["pid"] == parent && row["verdict"]["code"] == "never_waits");
        let whole = ours.filter(|row| row["children"]["zombies"] == owed).count() == 3;
        if whole {
            break (answer, code);
        }
        assert!(Instant::now() < end, "{answer:#}");
        sleep(Duration::from_millis(50));
    };
    assert_eq!(code, 9, "zombies are more important than hosts that are missing");
    assert_eq!((&answer["hosts_asked"], &answer["hosts_answered"]), (&5.into(), &3.into()));
    assert_eq!(errors(&answer), [format!("{} no_api", hosts[3]), "127.0.0.1:1 refused".into()]);
    let counts: Vec<u64> = answer["parents"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["children"]["zombies"].as_u64())
        .collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    let text = stdout(&fleet(&["zombies", "--hosts", &list]));
    assert!(text.starts_with("HOST ") && text.contains("no answer from 2 of 5 hosts:\n"), "{text}");
    assert!(text.contains(&format!("taskscope fleet explain {}/{parent}", hosts[0])), "{text}");

    let of = |host: &str| format!("{host}/{parent}");
    let (answer, code) = json(&["explain", &of(&hosts[1])]);
    assert_eq!(
        (code, answer["host"].as_str(), &answer["process"]["pid"]),
        (0, Some(&*hosts[1]), &parent.into())
    );
    let (kind, message) = error(&["explain", &format!("{}/4194303", hosts[1])]);
    assert!(kind == "not_found" && message.contains("4194303"), "{kind}: {message}");

    scenario.go();
    scenario.finish();
    // The scenario's processes have ended: all three daemons say when, by the same clock.
    let end = Instant::now() + setting::deadline() * 3;
    loop {
        let (answer, code) = json(&["deaths", "--hosts", &list, "--all", "--limit", "4096"]);
        assert_eq!(code, 10, "{answer:#}");
        let rows = answer["deaths"].as_array().unwrap();
        let times: Vec<&str> = rows.iter().filter_map(|row| row["@timestamp"].as_str()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "the latest first: {times:?}");
        let ours = rows.iter().filter(|row| row["process"]["pid"] == parent);
        let by: Vec<&str> = ours.filter_map(|row| row["host"].as_str()).collect();
        if hosts[..3].iter().all(|host| by.contains(&&**host)) {
            break;
        }
        assert!(Instant::now() < end, "{by:?}");
        sleep(Duration::from_millis(50));
    }
    let (answer, _) = json(&["deaths", "--hosts", &list, "--all", "--limit", "2"]);
    assert_eq!(answer["deaths"].as_array().unwrap().len(), 2, "the limit is one for all hosts");

    let (answer, _) = json(&["deaths", "--hosts", &list, "--since", "1h"]);
    let histories = answer["histories"].as_array().unwrap();
    assert!(
        histories.len() == 1 && histories[0]["host"] == *hosts[0],
        "only one host has a history: {histories:?}"
    );

    let (answer, code) = json(&["status", "--hosts", &hosts[..3].join(",")]);
    assert_eq!(code, 0, "{answer:#}");
    for (row, service) in answer["daemons"].as_array().unwrap().iter().zip(sorted(&services)) {
        let own = service.json("/v1/status");
        assert_eq!(row["host"], service.address());
        assert_eq!((&row["version"], &row["ready"]), (&own["version"], &own["ready"]), "{row:#}");
        assert_eq!(
            row["degraded"].as_array().map_or(0, Vec::len),
            own["degraded"].as_array().map_or(0, Vec::len)
        );
    }
    services.into_iter().for_each(Service::stop_clean);
    metrics_only.stop_clean();
}

fn sorted(services: &[Service]) -> Vec<&Service> {
    let mut all: Vec<&Service> = services.iter().collect();
    all.sort_by_key(|service| service.address().to_owned());
    all
}

#[test]
fn certificates_and_passwords_are_checked_on_both_sides() {
    if setting::skip_in_vm("a guest has no openssl") {
        return;
    }
    let directory = service::directory();
    for name in ["ca", "other-ca"] {
        authority(&directory, name);
    }
    certificate(&directory, "ca", "server", "DNS:localhost");
    certificate(&directory, "ca", "client", "DNS:operator.example");
    certificate(&directory, "other-ca", "stranger", "DNS:operator.example");
    let web = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: ca.crt\n  \
               client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  scraper: ";
    fs::write(directory.join("web.yml"), format!("{web}{HASH}\n")).unwrap();
    fs::write(directory.join("password"), "scraper:correct horse\n").unwrap();
    fs::write(directory.join("wrong"), "scraper:battery staple\n").unwrap();
    let file = |name: &str| directory.join(name).display().to_string();
    let secure =
        Service::start_in(directory.clone(), &[&API[..], &["--web-config-file", &file("web.yml")]].concat());
    let plain = Service::start(&API);
    let port = secure.address().rsplit_once(':').unwrap().1.to_owned();
    let name = format!("localhost:{port}");
    let (ca, other) = (file("ca.crt"), file("other-ca.crt"));
    let (cert, key) = (file("client.crt"), file("client.key"));
    let (password, wrong) = (file("password"), file("wrong"));
    let mine = ["--cert", &cert, "--key", &key, "--basic-auth-file", &password];
    let ask = |host: &str, more: &[&str]| error(&[&["status", "--hosts", host], more].concat());

    // One list may have both.
    let both = format!("{name},http://{}", plain.address());
    let (answer, code) = json(&[&["status", "--hosts", &both, "--ca", &ca], &mine[..]].concat());
    assert_eq!((code, answer["hosts_answered"].as_u64()), (0, Some(2)), "{answer:#}");

    let (kind, message) = ask(&name, &[&["--ca", &other], &mine[..]].concat());
    assert!(
        kind == "certificate" && message.contains("its certificate is not accepted"),
        "{kind}: {message}"
    );
    let (kind, message) = ask(secure.address(), &[&["--ca", &ca], &mine[..]].concat());
    assert!(kind == "certificate" && message.contains("not valid for name"), "{kind}: {message}");
    let (kind, message) = ask(&name, &["--ca", &ca, "--basic-auth-file", &password]);
    assert!(kind == "certificate" && message.contains("--cert"), "{kind}: {message}");
    let (stranger, its_key) = (file("stranger.crt"), file("stranger.key"));
    let (kind, message) =
        ask(&name, &["--ca", &ca, "--cert", &stranger, "--key", &its_key, "--basic-auth-file", &password]);
    assert!(kind == "certificate" && message.contains("does not accept the client's"), "{kind}: {message}");
    let (kind, message) = ask(&name, &["--ca", &ca, "--cert", &cert, "--key", &key]);
    assert!(kind == "unauthorized" && message.contains("--basic-auth-file"), "{kind}: {message}");
    let with_wrong = ["--ca", &ca, "--cert", &cert, "--key", &key, "--basic-auth-file", &wrong];
    assert_eq!(ask(&name, &with_wrong).0, "unauthorized");
    let (kind, message) = ask(&name, &[]);
    assert!(kind == "tls" && message.contains("--ca FILE"), "{kind}: {message}");
    let (kind, message) = ask(plain.address(), &["--ca", &ca]);
    assert!(kind == "tls" && message.contains("http://"), "{kind}: {message}");

    // Wrong files are told before any host is asked.
    for (args, why) in [
        (vec!["--hosts", "https://a"], "needs --ca FILE"),
        (vec!["--hosts", "a", "--ca", "/nonexistent"], "/nonexistent"),
        (vec!["--hosts", "a", "--ca", &key], "no certificate in PEM"),
        (vec!["--hosts", "a", "--ca", &ca, "--cert", &cert, "--key", &cert], "no private key"),
        (vec!["--hosts", "a", "--ca", &ca, "--cert", &cert, "--key", &its_key], "does not go with"),
        (vec!["--hosts", "a", "--cert", &cert, "--key", &key], "--cert needs --ca"),
        (vec!["--hosts", "a", "--basic-auth-file", &ca], "USER:PASSWORD"),
    ] {
        let output = fleet(&[&["status"], &args[..]].concat());
        assert!(
            output.status.code() == Some(2) && stderr(&output).contains(why),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    let output = fleet(&[&["status", "--hosts", &name, "--ca", &ca], &mine[..]].concat());
    assert!(stderr(&output).contains("every user may open it"), "{}", stderr(&output));
    plain.stop_clean();
    secure.stop_clean();
}

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
    let end = Instant::now() + setting::deadline() * 3;
    let mut answer = loop {
        let answer = service.json("/v1/zombies?min_age=200ms");
        let rows = answer["parents"].as_array().unwrap();
        if rows.iter().any(|row| row["process"]["pid"] == parent && row["verdict"]["code"] == "never_waits") {
            break answer;
        }
        assert!(Instant::now() < end, "{answer:#}");
        sleep(Duration::from_millis(50));
    };
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

#[test]
fn a_daemon_that_does_not_know_its_name_is_asked_by_address() {
    if setting::skip_in_vm("a guest has no /etc/hosts, and so no name") {
        return;
    }
    let answer = http("200 OK", "{\"@timestamp\":\"\",\"boottime_ns\":0,\"deaths\":[]}");
    let hosts = Hosts::start(move |_, request| {
        if request.to_lowercase().contains("host: 127.0.0.1:") {
            Reply::Bytes(answer.clone())
        } else {
            Reply::Bytes(http("421 Misdirected Request", "{}"))
        }
    });
    let host = format!("localhost:{}", hosts.port());
    let (answer, code) = json(&["deaths", "--hosts", &host]);
    assert_eq!((code, answer["hosts_answered"].as_u64()), (0, Some(1)), "{answer:#}");
    let text = stdout(&fleet(&["deaths", "--hosts", &host]));
    assert_eq!(text, "no such end on 1 host\n");
}

#[test]
fn a_list_with_errors_is_refused_and_doubles_are_told() {
    let directory = Directory::new("fleet-list");
    let file = directory.file("hosts");
    let listed = |text: &str| {
        fs::write(&file, text).unwrap();
        fleet(&["zombies", "--timeout", "1s", "--hosts-file", file.to_str().unwrap()])
    };
    let output = listed("node1\nnode 2\nftp://node3 # no\n");
    let log = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(
        log.contains("hosts line 2: `node 2`") && log.contains("hosts line 3") && !log.contains("line 1"),
        "{log}"
    );
    let output = listed("# none\n\n");
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("no host is listed"),
        "{}",
        stderr(&output)
    );
    let output = listed("127.0.0.1:1 # closed\nHTTP://127.0.0.1:1\n[::1]:1\n");
    let (log, text) = (stderr(&output), stdout(&output));
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("line 2: 127.0.0.1:1 is listed before"), "{log}");
    assert!(
        text.starts_with("no zombies on 0 hosts that answered\nno answer from 2 of 2 hosts:\n"),
        "{text}"
    );
    let output = fleet(&["zombies", "--hosts-file", "/nonexistent"]);
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("/nonexistent"),
        "{}",
        stderr(&output)
    );
    let output = fleet(&["zombies", "--hosts-file", "/dev/zero"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("/dev/zero"), "{}", stderr(&output));
    // A name that has no address, and standard input.
    let mut child = Command::new(setting::taskscope())
        .args(["fleet", "status", "--format", "json", "--hosts-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"127.0.0.1:1\nnode1.invalid\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = errors(&answer);
    assert_eq!(found[0], "127.0.0.1:1 refused");
    // A resolver that does not answer is a timeout.
    assert!(["node1.invalid name", "node1.invalid timeout"].contains(&&*found[1]), "{found:?}");
    assert!(Path::new(&file).exists());
}
