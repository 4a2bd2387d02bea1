//! Outputs against the real things: an OpenTelemetry collector that is restarted, and an Alertmanager.

#[path = "../common/mod.rs"]
mod common;

use std::{collections::BTreeSet, fs, net::TcpStream};

use common::scenario;
use taskscope_tests::{
    delivery,
    servers::{self, Rotel, Server, free},
    service, setting, wait,
};

#[test]
fn a_collector_that_is_restarted_gets_all_that_it_acknowledged_and_every_gap_over_http() {
    restarts("http/protobuf");
}

#[test]
fn a_collector_that_is_restarted_gets_all_that_it_acknowledged_and_every_gap_by_grpc() {
    restarts("grpc");
}

fn restarts(protocol: &str) {
    if setting::skip_in_vm("a guest has no collector") {
        return;
    }
    let directory = service::directory();
    let mut collector = Rotel::start(&directory);
    let address = if protocol == "grpc" { &collector.grpc } else { &collector.http };
    let lines = format!(
        "[[output]]\ntype = \"otlp\"\nprotocol = \"{protocol}\"\nurl = \"http://{address}\"\nactions = [\"group_exited\", \
         \"zombie_flagged\"]\ncomms = [\"scenario\"]\nqueue = 150\n"
    );
    let service = servers::daemon(directory, &lines, &["--zombie-after", "200ms"]);
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
        collector.stop();
        // In some rounds the collector is away for so long that more events happen than the queue holds.
        let wanted = burst(if round % 4 == 3 { 300 } else { 40 });
        collector.start_again();
        wait::until("the queue is empty", || {
            get("queue_records") == 0 && get("events_total") + get("dropped_events_total") >= wanted
        });
    }
    let delivery = wait::until_ok(|| {
        let delivery = delivery::check(&collector.got(), &BTreeSet::new())?;
        let counted = (get("events_total"), get("dropped_events_total"));
        let found = (delivery.events.len() as u64, delivery.lost);
        if counted == found {
            Ok(delivery)
        } else {
            Err(format!("sent and dropped {counted:?}, found {found:?}"))
        }
    });
    assert!(delivery.lost > 0, "the queue was large enough for everything");
    let text = collector.text();
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
        format!(
            "{protocol}: {} events, {} in gaps, {} retries",
            delivery.events.len(),
            delivery.lost,
            get("retries_total")
        ),
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
    let service = servers::daemon(directory, &lines, &["--zombie-after", "200ms"]);
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
