//! Outputs to NATS `JetStream`, with a real server that is stopped, killed and paused.
//!
//! Needs a taskscope with the feature `nats`: `TASKSCOPE_FAILPOINTS_BIN`, as `cargo xtask test` builds it.
#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::{BTreeSet, HashSet},
    env, fs,
    path::PathBuf,
    process::Command,
};

use common::scenario;
use taskscope_tests::{
    delivery::{self, Delivery},
    nats::{self, NatsClient, NatsServer},
    service::{self, Service},
    setting, wait,
};

/// Returns the program with the feature; without it these tests are skipped.
fn program() -> Option<PathBuf> {
    let program = env::var_os("TASKSCOPE_FAILPOINTS_BIN").map(PathBuf::from);
    if program.is_none() {
        setting::skip("TASKSCOPE_FAILPOINTS_BIN names no taskscope with the feature nats");
    }
    program
}

/// Starts a daemon with one output to a server; `more` are further lines of the output.
fn start(program: &PathBuf, directory: PathBuf, address: &str, more: &str) -> Service {
    let file = directory.join("taskscope.toml");
    let lines = format!(
        "[[output]]\ntype = \"nats\"\nurl = \"nats://{address}\"\nactions = [\"group_exited\"]\ncomms = [\"scenario\"]\n{more}"
    );
    fs::write(&file, lines).expect("the configuration");
    let file = file.to_string_lossy().into_owned();
    Service::start_with(directory, &["--config", &file], |command| {
        let mut other = Command::new(program);
        other.args(command.get_args());
        *command = other;
    })
}

/// A counter of the output.
fn get(service: &Service, name: &str) -> u64 {
    let value = service.metrics()[&format!("taskscope_output_{name}{{output=\"nats\"}}")];
    value.to_string().parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn fails_with(service: &Service, parts: &[&str]) {
    wait::until_ok(|| {
        let error = service.json("/v1/status")["outputs"][0]["error"].clone();
        let text = error.as_str().unwrap_or_default();
        if parts.iter().all(|part| text.contains(part)) { Ok(()) } else { Err(format!("{parts:?}: {error}")) }
    });
}

/// Waits until the stream has each event that the output has sent and each gap, all of them once.
#[track_caller]
fn delivered(service: &Service, client: &mut NatsClient) -> Delivery {
    let delivery = wait::until_ok(|| {
        let messages = client.messages("TASKSCOPE");
        let ids: HashSet<_> = messages.iter().map(|message| &message.id).collect();
        assert_eq!(ids.len(), messages.len(), "each id is there once");
        let delivery = delivery::check(&nats::got(&messages), &BTreeSet::new())?;
        let counted = (get(service, "events_total"), get(service, "dropped_events_total"));
        let found = (delivery.events.len() as u64, delivery.lost);
        if counted == found {
            Ok(delivery)
        } else {
            Err(format!("sent and dropped {counted:?}, found {found:?}"))
        }
    });
    assert_eq!(delivery.repeated, 0, "the server recognises what was sent again");
    delivery
}

#[test]
fn a_stream_has_every_event_once_or_a_gap_after_its_server_was_stopped_and_killed() {
    if setting::skip_in_vm("a guest has no NATS") {
        return;
    }
    let Some(program) = program() else { return };
    let directory = service::directory();
    let mut server = NatsServer::start(&directory, &[]);
    server.client().add_stream("TASKSCOPE", "taskscope.>");
    let service = start(&program, directory, &server.address, "queue = 150\n");
    let mut wanted = 0;
    let mut burst = |count: u64| {
        scenario("burst", &[&count.to_string()]).finish();
        wanted += count;
        wanted
    };
    for round in 0..8 {
        burst(40);
        if round % 2 == 0 {
            server.stop();
        } else {
            server.kill();
        }
        // In some rounds the server is away for so long that more events happen than the queue holds.
        let wanted = burst(if round % 4 == 3 { 300 } else { 40 });
        server.start_again();
        wait::until("the queue is empty", || {
            let sent = get(&service, "events_total") + get(&service, "dropped_events_total");
            get(&service, "queue_records") == 0 && sent >= wanted
        });
    }
    let mut client = server.client();
    let delivery = delivered(&service, &mut client);
    assert!(delivery.lost > 0, "the queue was large enough for everything");
    let messages = client.messages("TASKSCOPE");
    let first = messages.first().expect("a message");
    let token = |at: usize| first.subject.split('.').nth(at).unwrap_or_default().to_owned();
    assert_eq!(
        (first.subject.split('.').count(), token(0), token(2)),
        (3, "taskscope".into(), "group_exited".into())
    );
    let instance = service.json("/v1/status")["instance"].clone();
    let of = |name: &str| first.document[name].clone();
    let id = format!(
        "{}-{}-{}",
        of("host")["boot_id"].as_str().unwrap_or_default(),
        instance.as_str().unwrap_or_default(),
        of("event")["sequence"]
    );
    assert_eq!((&first.id, &of("instance")), (&id, &instance));
    setting::report(
        "nats",
        format!(
            "{} events, {} in gaps, {} retries",
            delivery.events.len(),
            delivery.lost,
            get(&service, "retries_total")
        ),
    );
    service.stop_clean();
}

#[test]
fn a_subject_without_a_stream_is_named_with_the_remedy() {
    if setting::skip_in_vm("a guest has no NATS") {
        return;
    }
    let Some(program) = program() else { return };
    let directory = service::directory();
    let server = NatsServer::start(&directory, &[]);
    let service = start(&program, directory, &server.address, "schema = \"ecs\"\n");
    scenario("burst", &["20"]).finish();
    fails_with(
        &service,
        &["no stream of JetStream has the subject taskscope.", ".group_exited", "nats stream add"],
    );
    let mut client = server.client();
    client.add_stream("TASKSCOPE", "taskscope.>");
    service.until("all are sent", |now| now["taskscope_output_events_total{output=\"nats\"}"] >= 20.0);
    assert_eq!(get(&service, "dropped_events_total"), 0);
    let messages = client.messages("TASKSCOPE");
    assert!(messages.len() >= 20 && messages.iter().all(|one| one.document["ecs"]["version"].is_string()));
    service.stop_clean();
}

#[test]
fn a_paused_server_and_a_slow_consumer_cost_nothing() {
    if setting::skip_in_vm("a guest has no NATS") {
        return;
    }
    let Some(program) = program() else { return };
    let directory = service::directory();
    let server = NatsServer::start(&directory, &[]);
    let mut client = server.client();
    client.add_stream("TASKSCOPE", "taskscope.>");
    let mut slow = server.client();
    slow.subscribe_silently("taskscope.>");
    let service = start(&program, directory, &server.address, "");
    for round in 1..=2_u32 {
        scenario("burst", &["200"]).finish();
        service.until("all are sent", |now| {
            now["taskscope_output_events_total{output=\"nats\"}"] >= 200.0 * f64::from(2 * round - 1)
        });
        server.signal(libc::SIGSTOP);
        scenario("burst", &["200"]).finish();
        fails_with(&service, &["no answer within 10 s"]);
        server.signal(libc::SIGCONT);
        service.until("all are sent", |now| {
            now["taskscope_output_events_total{output=\"nats\"}"] >= 400.0 * f64::from(round)
                && now["taskscope_output_queue_records{output=\"nats\"}"] < 1.0
        });
    }
    let delivery = delivered(&service, &mut client);
    assert_eq!(delivery.lost, 0);
    service.stop_clean();
}

#[test]
fn credentials_can_be_corrected_while_the_daemon_runs() {
    if setting::skip_in_vm("a guest has no NATS") {
        return;
    }
    let Some(program) = program() else { return };
    let directory = service::directory();
    let server = NatsServer::start(&directory, &["--user", "me", "--pass", "right"]);
    let mut client = NatsClient::connect(&server.address, Some(("me", "right")));
    client.add_stream("TASKSCOPE", "taskscope.>");
    let file = directory.join("credentials");
    fs::write(&file, "me:wrong\n").expect("the credentials");
    let more = format!("credentials = {:?}\n", file.to_string_lossy());
    let service = start(&program, directory, &server.address, &more);
    scenario("burst", &["20"]).finish();
    fails_with(&service, &["does not accept the client (`credentials`)"]);
    fs::write(&file, "me:right\n").expect("the credentials");
    service.until("all are sent", |now| now["taskscope_output_events_total{output=\"nats\"}"] >= 20.0);
    assert_eq!(get(&service, "dropped_events_total"), 0);
    service.stop_clean();
}
