//! Thirty daemons in network namespaces, some with TLS. They observe the same kernel; this is about the network and the merged answers.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    process::{Command, Output, Stdio},
    time::Instant,
};

use serde_json::Value;
use taskscope_tests::{
    certificates::{authority, certificate},
    directory::Directory,
    network::Network,
    proc,
    service::{self, Service},
    setting, spawner, wait,
};

use super::{API, command, common::scenario, errors, parsed, stderr, stdout};

const NODES: usize = 30;

/// Every sixth host requires client certificates.
const fn has_tls(number: usize) -> bool {
    number.is_multiple_of(6)
}

fn name(number: usize) -> String {
    format!("node{number}")
}

/// Daemons on hosts of their own, and the file that lists them.
struct Nodes {
    // Stopped before their network is removed.
    services: Vec<Option<Service>>,
    network: Network,
    files: Directory,
}

impl Nodes {
    fn start(network: Network) -> Self {
        let files = Directory::new("fleet-namespaces");
        authority(&files.0, "ca");
        certificate(&files.0, "ca", "client", "DNS:operator.example");
        let mut list = String::new();
        let mut services = Vec::new();
        for number in 0..NODES {
            let address = Network::address(number);
            let listen = format!("{address}:9753");
            let mut args = [&API[..], &["--ring-kib", "1024", "--listen", &listen]].concat();
            let web = files.file(&format!("web{number}.yml")).display().to_string();
            let scheme = if has_tls(number) {
                let server = format!("server{number}");
                certificate(&files.0, "ca", &server, &format!("IP:{address}"));
                let text = format!(
                    "tls_server_config:\n  cert_file: {server}.crt\n  key_file: {server}.key\n  client_ca_file: ca.crt\n  \
                     client_auth_type: RequireAndVerifyClientCert\n"
                );
                fs::write(&web, text).unwrap();
                args.extend(["--web-config-file", &web]);
                "https"
            } else {
                "http"
            };
            // Writing to a String does not fail.
            let _ = writeln!(list, "{}={scheme}://{address}", name(number));
            let directory = service::directory();
            let inner = service::command(&directory, &args);
            let service = Service::start_with(directory, &[], |outer| *outer = network.on(number, &inner));
            assert_eq!(service.address(), listen);
            services.push(Some(service));
        }
        fs::write(files.file("nodes"), list).unwrap();
        Self { services, network, files }
    }

    /// Runs `fleet` beside the hosts.
    fn fleet(&self, args: &[&str]) -> Output {
        let file = |name: &str| self.files.file(name).display().to_string();
        let mut command = command(args);
        command.args(["--hosts-file", &file("nodes"), "--ca", &file("ca.crt"), "--timeout", "4s"]);
        command.args(["--cert", &file("client.crt"), "--key", &file("client.key")]);
        command.env("COLUMNS", "200").env("LINES", "50").env("LC_ALL", "C.UTF-8");
        self.network.beside(&command).stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> (Value, i32) {
        parsed(&self.fleet(&[args, &["--format", "json"]].concat()))
    }

    fn stop(&mut self, number: usize) {
        self.services[number].take().unwrap().stop_clean();
    }
}

/// Returns the names of the hosts in rows.
fn hosts<'a>(rows: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    rows.map(|row| row["host"].as_str().unwrap().to_owned()).collect()
}

fn all_but(missing: &[usize]) -> BTreeSet<String> {
    (0..NODES).filter(|number| !missing.contains(number)).map(name).collect()
}

/// Kills a process, and waits until all hosts report it.
fn every_host_reports_a_kill(nodes: &Nodes) {
    let mut sleep = Command::new("sleep");
    sleep.arg("1000").stdin(Stdio::null());
    let mut victim = spawner::spawn(sleep).unwrap();
    spawner::signal(&victim, libc::SIGKILL);
    let _ = victim.wait();
    wait::until_ok(|| {
        let (answer, code) =
            nodes.json(&["deaths", "--comm", "sleep", "--cause", "killed", "--limit", "4096"]);
        assert_eq!(code, 0, "{answer:#}");
        let rows = answer["deaths"].as_array().unwrap().iter();
        let ours = hosts(rows.filter(|row| row["process"]["pid"] == victim.id()));
        if ours == all_but(&[]) { Ok(()) } else { Err(format!("only these report it: {ours:?}")) }
    });
}

#[test]
fn thirty_daemons_in_network_namespaces_answer_as_one() {
    if setting::skip_in_vm("a guest has no ip(8), nsenter(1) and openssl") {
        return;
    }
    let network = match Network::start(NODES) {
        Ok(network) => network,
        Err(why) => return setting::skip(format!("no network namespaces with veth: {why}")),
    };
    let began = Instant::now();
    let mut nodes = Nodes::start(network);
    println!("{NODES} daemons are ready after {:?}", began.elapsed());

    let began = Instant::now();
    let (answer, code) = nodes.json(&["status"]);
    println!("status of all in {:?}", began.elapsed());
    assert_eq!((code, &answer["hosts_answered"]), (0, &NODES.into()), "{answer:#}");
    assert_eq!(hosts(answer["daemons"].as_array().unwrap().iter()), all_but(&[]));

    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let owed = proc::zombies_of(parent).len();
    wait::until_ok(|| {
        let (answer, code) = nodes.json(&["zombies", "--min-age", "200ms"]);
        let rows = answer["parents"].as_array().unwrap().iter();
        let ours = rows.filter(|row| row["process"]["pid"] == parent && row["children"]["zombies"] == owed);
        let ours = hosts(ours.filter(|row| row["verdict"]["code"] == "never_waits"));
        if ours != all_but(&[]) {
            return Err(format!("only these name the parent: {ours:?}"));
        }
        assert_eq!(code, 9, "{answer:#}");
        Ok(())
    });
    // Through TLS and without.
    for number in [6, 7] {
        let (answer, code) = nodes.json(&["explain", &format!("{}/{parent}", name(number))]);
        assert_eq!((code, answer["host"].as_str()), (0, Some(&*name(number))), "{answer:#}");
        assert_eq!(answer["process"]["pid"], parent);
    }
    let output = nodes.fleet(&["top", "--once"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.contains(&format!("{NODES} of {NODES} answered")), "{text}");
    for number in 0..NODES {
        let row = format!("! {} ", name(number));
        assert!(
            text.lines().any(|line| line.starts_with(&row)),
            "{} has a flagged zombie:\n{text}",
            name(number)
        );
    }
    scenario.go();
    scenario.finish();

    every_host_reports_a_kill(&nodes);

    // Three stop, one of them with TLS; two others are cut off, one of them silently and with TLS.
    let (stopped, silent, cut) = ([3, 11, 18], 24, 25);
    for number in stopped {
        nodes.stop(number);
    }
    nodes.network.partition(silent);
    nodes.network.cut(cut);
    let missing = [3, 11, 18, silent, cut];
    let kinds = ["node3 refused", "node11 refused", "node18 refused", "node24 timeout", "node25 unreachable"];
    for question in [&["status"][..], &["zombies"], &["deaths"]] {
        let (answer, code) = nodes.json(question);
        assert!(code == 10 || (question == ["zombies"] && code == 9), "{question:?}: {code}");
        assert_eq!(errors(&answer), kinds, "{question:?}");
        assert_eq!(answer["hosts_answered"], NODES - missing.len());
    }
    let (answer, _) = nodes.json(&["status"]);
    assert_eq!(hosts(answer["daemons"].as_array().unwrap().iter()), all_but(&missing));
    for (number, kind) in [(3, "refused"), (silent, "timeout"), (cut, "unreachable")] {
        let (answer, code) = nodes.json(&["explain", &format!("{}/1", name(number))]);
        assert_eq!((code, answer["errors"][0]["kind"].as_str()), (1, Some(kind)), "{answer:#}");
    }
    let output = nodes.fleet(&["top", "--once"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(10), "{text}{}", stderr(&output));
    assert!(text.contains("25 of 30 answered"), "{text}");
    assert!(text.contains("no answer: refused 3, "), "{text}");
    for (number, words) in [
        (3, "refused: "),
        (11, "refused: "),
        (18, "refused: "),
        (silent, "timeout: "),
        (cut, "unreachable: "),
    ] {
        let start = format!("! {} ", name(number));
        let row = text.lines().find(|line| line.starts_with(&start));
        assert!(row.is_some_and(|row| row.contains(words)), "{number}: {text}");
    }

    nodes.network.heal(silent);
    nodes.network.heal(cut);
    wait::until_ok(|| {
        let (answer, code) = nodes.json(&["status"]);
        let errors = errors(&answer);
        if code == 10 && errors == kinds[..3] { Ok(()) } else { Err(format!("{errors:?}")) }
    });
    for number in (0..NODES).filter(|number| !stopped.contains(number)) {
        nodes.stop(number);
    }
}
