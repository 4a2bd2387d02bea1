//! Outputs against the real things: an OpenTelemetry collector that is restarted, and an Alertmanager.
#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use common::scenario;
use taskscope_tests::{
    service::{self, Service},
    setting, wait,
};

/// A server of another project; killed when it is dropped.
struct Server(Child);

impl Server {
    fn start(variable: &str, name: &str, args: &[&str], log: &Path) -> Self {
        let log = fs::File::options().append(true).create(true).open(log).expect("its log");
        let mut command = Command::new(std::env::var_os(variable).unwrap_or_else(|| name.into()));
        command.args(args).stdout(log.try_clone().expect("its log")).stderr(log).stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}: cargo xtask test fetches it")))
    }

    /// Ends it in order.
    fn stop(mut self) {
        // SAFETY: the child was not waited for, so its pid is its own.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGTERM) };
        self.0.wait().expect("its end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that was free just before.
fn free() -> String {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.expect("a free port").to_string()
}

/// Starts a daemon whose configuration has these lines.
fn start(directory: PathBuf, lines: &str, args: &[&str]) -> Service {
    let file = directory.join("taskscope.toml");
    fs::write(&file, lines).expect("the configuration");
    let file = file.to_string_lossy().into_owned();
    Service::start_in(directory, &[&["--config", file.as_str()], args].concat())
}

fn rotel(grpc: &str, http: &str, log: &Path) -> Server {
    let args =
        ["start", "--exporter", "blackhole", "--otlp-grpc-endpoint", grpc, "--otlp-http-endpoint", http];
    let shown = ["--debug-log", "logs", "--debug-log-verbosity", "detailed"];
    Server::start("TASKSCOPE_ROTEL", "rotel-agent", &[&args[..], &shown].concat(), log)
}

/// The values of an attribute in the log of the collector.
fn values(log: &str, attribute: &str) -> Vec<u64> {
    let start = format!("-> {attribute}: Int(");
    let found = log.lines().filter_map(|line| line.trim().strip_prefix(start.as_str())?.strip_suffix(')'));
    found.map(|value| value.parse().expect("a number")).collect()
}

#[test]
fn a_collector_that_is_restarted_gets_all_that_it_acknowledged_and_every_gap() {
    if setting::skip_in_vm("a guest has no collector") {
        return;
    }
    let (directory, grpc, http) = (service::directory(), free(), free());
    let log = directory.join("rotel.log");
    let lines = format!(
        "[[output]]\ntype = \"otlp\"\nurl = \"http://{http}\"\nactions = [\"group_exited\", \"zombie_flagged\"]\ncomms = [\"scenario\"]\nqueue = 150\n"
    );
    let mut collector = Some(rotel(&grpc, &http, &log));
    let service = start(directory, &lines, &["--zombie-after", "200ms"]);
    let get = |name: &str| {
        let value = service.metrics()[&format!("taskscope_output_{name}{{output=\"otlp\"}}")];
        value.to_string().parse::<u64>().unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let mut wanted = 0;
    let mut burst = |count: u64| {
        scenario("burst", &[&count.to_string()]).finish();
        wanted += count;
        wanted
    };
    for round in 0..10 {
        burst(40);
        if let Some(running) = collector.take() {
            running.stop();
        }
        // In some rounds the collector is away for so long that more events happen than the queue holds.
        let wanted = burst(if round % 4 == 3 { 300 } else { 40 });
        collector = Some(rotel(&grpc, &http, &log));
        wait::until("the queue is empty", || {
            get("queue_records") == 0 && get("events_total") + get("dropped_events_total") >= wanted
        });
    }
    let text = || fs::read_to_string(&log).expect("the collector's log");
    wait::until("the collector has the last record", || {
        let lost: u64 = values(&text(), "taskscope.gap.lost").into_iter().sum();
        let events: BTreeSet<_> = values(&text(), "taskscope.event.sequence").into_iter().collect();
        events.len() as u64 == get("events_total") && lost == get("dropped_events_total")
    });
    let text = text();
    let events: BTreeSet<_> = values(&text, "taskscope.event.sequence").into_iter().collect();
    let lost: u64 = values(&text, "taskscope.gap.lost").into_iter().sum();
    assert!(get("dropped_events_total") > 0, "the queue was large enough for everything");
    assert_eq!((events.len() as u64, lost), (get("events_total"), get("dropped_events_total")));
    for part in [
        "EventName: taskscope.group_exited",
        "EventName: taskscope.gap",
        "-> host.name: Str(",
        "-> os.type: Str(linux)",
        "-> service.name: Str(taskscope)",
        "-> process.executable.name: Str(scenario)",
        "-> process.exit.code: Int(",
    ] {
        assert!(text.contains(part), "the collector has no {part}");
    }
    setting::report(
        "otlp",
        format!("{} events, {lost} in gaps, {} retries", events.len(), get("retries_total")),
    );
    service.stop_clean();
}

#[test]
fn an_alertmanager_has_an_alert_while_there_is_a_zombie() {
    if setting::skip_in_vm("a guest has no Alertmanager") {
        return;
    }
    let (directory, address) = (service::directory(), free());
    let config = directory.join("alertmanager.yml");
    fs::write(&config, "route: { receiver: none }\nreceivers: [ { name: none } ]\n")
        .expect("its configuration");
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.path={}", directory.join("data").display()),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".into(),
    ];
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let log = directory.join("alertmanager.log");
    let server = Server::start("TASKSCOPE_ALERTMANAGER", "prometheus-alertmanager", &args, &log);
    let lines =
        format!("[[output]]\ntype = \"alertmanager\"\nurl = \"http://{address}\"\ncomms = [\"scenario\"]\n");
    let service = start(directory, &lines, &["--zombie-after", "200ms"]);
    let alerts = || -> serde_json::Value {
        if TcpStream::connect(&address).is_err() {
            return serde_json::Value::Null;
        }
        let answer = service::get(&address, "/api/v2/alerts");
        // The body can be in chunks.
        let (from, to) = (answer.body.find('[').unwrap_or(0), answer.body.rfind(']').map_or(0, |at| at + 1));
        serde_json::from_str(answer.body.get(from..to).unwrap_or_default()).unwrap_or_default()
    };
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let find = |alerts: &serde_json::Value| {
        alerts.as_array().and_then(|list| {
            // Other processes of this machine may have zombies too.
            let is_ours = |alert: &&serde_json::Value| {
                alert["labels"]["alertname"] == "TaskscopeZombie"
                    && alert["labels"]["parent_comm"] == "scenario"
            };
            list.iter().find(is_ours).cloned()
        })
    };
    wait::until("the alert is active", || find(&alerts()).is_some());
    let alert = find(&alerts()).expect("the alert");
    assert_eq!(alert["status"]["state"], "active", "{alert}");
    assert_eq!(
        (&alert["labels"]["parent_comm"], &alert["labels"]["severity"]),
        (&"scenario".into(), &"warning".into())
    );
    assert!(alert["annotations"]["summary"].as_str().is_some_and(|text| text.contains("zombie")), "{alert}");
    zombie.go();
    zombie.finish();
    // Alertmanager lists only alerts that have not ended.
    wait::until("the alert is resolved", || alerts().is_array() && find(&alerts()).is_none());
    drop(server);
    service.stop_clean();
}
