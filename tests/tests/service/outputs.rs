//! Outputs to a journald and to servers that misbehave, both of which the test simulates.
#![expect(clippy::expect_used, reason = "a helper of a test fails the test")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use common::scenario;
use taskscope_tests::{
    service::{self, Service},
    setting, wait,
};

/// Starts a daemon whose configuration has these lines.
fn start(directory: std::path::PathBuf, lines: &str, args: &[&str]) -> Service {
    let file = directory.join("taskscope.toml");
    fs::write(&file, lines).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let file = file.to_string_lossy().into_owned();
    Service::start_in(directory, &[&["--config", file.as_str()], args].concat())
}

/// Binds the socket of a journal.
fn journal(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    socket.set_read_timeout(Some(setting::deadline())).expect("a time limit");
    socket
}

/// Receives entries until one has these fields.
fn entry(journal: &UnixDatagram, fields: &[&str]) -> String {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length =
            journal.recv(&mut buffer).unwrap_or_else(|error| panic!("no entry with {fields:?}: {error}"));
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if fields.iter().all(|field| has(&text, field)) {
            return text;
        }
    }
}

fn has(entry: &str, line: &str) -> bool {
    entry.lines().any(|found| found == line)
}

#[test]
fn a_flagged_zombie_comes_to_the_journal_also_after_it_was_away() {
    let directory = service::directory();
    let path = directory.join("journal");
    let socket = journal(&path);
    let lines = format!(
        "[[output]]\ntype = \"journald\"\nsocket = {:?}\nactions = [\"zombie_flagged\"]\n",
        path.to_string_lossy()
    );
    let service = start(directory, &lines, &["--zombie-after", "200ms"]);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    // On a busy host, other zombies get that old too.
    let fields = ["TASKSCOPE_EVENT_ACTION=zombie_flagged", "TASKSCOPE_TASK_PARENT_NAME=scenario"];
    let entry_of = |socket: &UnixDatagram| entry(socket, &fields);
    let found = entry_of(&socket);
    for line in ["PRIORITY=4", "SYSLOG_IDENTIFIER=taskscope"] {
        assert!(has(&found, line), "{line}:\n{found}");
    }
    let id = found.lines().find_map(|line| line.strip_prefix("MESSAGE_ID="));
    assert_eq!(id.map(str::len), Some(32), "{found}");
    assert!(found.starts_with("MESSAGE=") && found.contains(" has been a zombie for "), "{found}");
    zombie.go();
    zombie.finish();
    // The journal goes away. Events in the meantime are sent when it is back.
    drop(socket);
    fs::remove_file(&path).expect("removing the socket");
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    service.until("a retry", |now| now["taskscope_output_retries_total{output=\"journald\"}"] >= 1.0);
    assert_eq!(service.json("/v1/status")["outputs"][0]["type"], "journald");
    let socket = journal(&path);
    entry_of(&socket);
    zombie.go();
    zombie.finish();
    service.until("what was sent", |now| {
        now["taskscope_output_events_total{output=\"journald\"}"] >= 2.0
            && now["taskscope_output_up{output=\"journald\"}"] >= 1.0
            && now["taskscope_output_dropped_events_total{output=\"journald\"}"] < 1.0
    });
    service.stop_clean();
}

/// How a server answers one request.
#[derive(Clone, Copy)]
enum Step {
    Answer(&'static str),
    Close,
    Hang,
}

/// A server that answers by a script, and then accepts everything.
struct Collector {
    address: String,
    accepted: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let accepted = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let (kept, script) = (Arc::clone(&accepted), Arc::new(Mutex::new(script.into_iter())));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, script) = (Arc::clone(&kept), Arc::clone(&script));
                thread::spawn(move || serve(stream, &kept, &script));
            }
        });
        Self { address, accepted }
    }

    /// The numbers of the events that it accepted, and the sums of the gaps.
    fn events(&self) -> (BTreeSet<u64>, u64) {
        let bodies = self.accepted.lock().expect("the bodies");
        let (mut events, mut lost) = (BTreeSet::new(), 0);
        for body in &*bodies {
            events.extend(numbers(body, b"taskscope.event.sequence"));
            lost += numbers(body, b"taskscope.gap.lost").into_iter().sum::<u64>();
        }
        (events, lost)
    }
}

fn serve(
    mut stream: TcpStream,
    kept: &Mutex<Vec<Vec<u8>>>,
    script: &Mutex<impl Iterator<Item = Step>>,
) -> Option<()> {
    loop {
        let mut text = Vec::new();
        let end = loop {
            if let Some(at) = text.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
            text.extend_from_slice(&buffer[..length]);
        };
        let start = String::from_utf8_lossy(&text[..end]).to_lowercase();
        let length = start.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        let mut body = text.split_off(end);
        let had = body.len();
        body.resize(length, 0);
        stream.read_exact(&mut body[had..]).ok()?;
        let step = script.lock().expect("the script").next();
        match step {
            Some(Step::Answer(answer)) => stream.write_all(answer.as_bytes()).ok()?,
            Some(Step::Close) => return None,
            Some(Step::Hang) => thread::sleep(Duration::from_secs(60)),
            None => {
                kept.lock().expect("the bodies").push(body);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
            }
        }
    }
}

/// The values of an attribute that is a number, in protobuf: the key, then field 2 with its length, in it field 3 as a varint.
fn numbers(body: &[u8], key: &[u8]) -> Vec<u64> {
    let starts = body.windows(key.len()).enumerate().filter(|(_, part)| *part == key);
    starts
        .map(|(at, _)| {
            let rest = &body[at + key.len()..];
            assert_eq!((rest[0], rest[2]), (0x12, 0x18), "an attribute that is a number");
            let varint = &rest[3..];
            let length = varint.iter().position(|byte| byte & 0x80 == 0).expect("its end") + 1;
            varint[..length].iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
        })
        .collect()
}

/// A counter's value as a whole number.
fn whole(value: f64) -> u64 {
    value.to_string().parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

const EVENTS: &str = "taskscope_output_events_total{output=\"otlp\"}";
const DROPPED: &str = "taskscope_output_dropped_events_total{output=\"otlp\"}";
const UP: &str = "taskscope_output_up{output=\"otlp\"}";
const QUEUE: &str = "taskscope_output_queue_records{output=\"otlp\"}";

#[test]
fn a_server_that_misbehaves_gets_every_event_in_the_end() {
    let collector = Collector::start(vec![
        Step::Answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        Step::Answer("HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
        Step::Answer("220 mail.example ESMTP\r\n"),
        Step::Answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html>hi!"),
        Step::Close,
        Step::Hang,
    ]);
    let lines = format!(
        "[[output]]\ntype = \"otlp\"\nurl = \"http://{}\"\nactions = [\"group_exited\"]\ncomms = [\"scenario\"]\n",
        collector.address
    );
    let service = start(service::directory(), &lines, &[]);
    scenario("burst", &["50"]).finish();
    wait::until("the collector has 50 events", || collector.events().0.len() >= 50);
    let now = service.until("an empty queue", |now| now[QUEUE] < 1.0 && now[EVENTS] >= 50.0);
    assert!(now["taskscope_output_retries_total{output=\"otlp\"}"] >= 6.0, "each fault costs one attempt");
    assert_eq!((whole(now[DROPPED]), whole(now[EVENTS])), (0, collector.events().0.len() as u64));
    service.stop_clean();
}

#[test]
fn what_a_dead_server_misses_is_bounded_and_reported_as_a_gap() {
    // A port that nobody listens on, until later.
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let lines = format!(
        "[[output]]\ntype = \"otlp\"\nurl = \"http://{address}\"\nactions = [\"group_exited\"]\ncomms = [\"scenario\"]\nqueue = 20\n"
    );
    let service = start(service::directory(), &lines, &[]);
    scenario("burst", &["100"]).finish();
    let now = service.until("dropped events", |now| now[DROPPED] >= 80.0 && now[UP] < 1.0);
    assert_eq!((whole(now[QUEUE]), whole(now[EVENTS])), (20, 0));
    let listener = TcpListener::bind(address).expect("the same port");
    let accepted = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let collector = Collector { address: address.to_string(), accepted: Arc::clone(&accepted) };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &accepted, &Mutex::new(std::iter::empty()));
        }
    });
    wait::until("the collector has a gap", || collector.events().1 > 0);
    let (events, lost) = collector.events();
    assert_eq!((events.len(), lost), (20, whole(service.metrics()[DROPPED])), "the oldest and a gap");
    service.stop_clean();
}

#[test]
fn documents_are_posted_as_lines_of_the_schema_that_is_asked_for() {
    let collector = Collector::start(vec![
        Step::Answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        Step::Close,
    ]);
    let schemas = ["native", "ecs", "otel"];
    let lines = schemas.map(|schema| {
        format!(
            "[[output]]\ntype = \"http\"\nname = \"{schema}\"\nschema = \"{schema}\"\nurl = \"http://{}/{schema}\"\nactions = \
             [\"group_exited\"]\ncomms = [\"scenario\"]\n",
            collector.address
        )
    });
    let service = start(service::directory(), &lines.concat(), &[]);
    scenario("burst", &["50"]).finish();
    service.until("all are sent", |now| {
        schemas.iter().all(|name| now[&format!("taskscope_output_events_total{{output=\"{name}\"}}")] >= 50.0)
    });
    let instance = service.json("/v1/status")["instance"].clone();
    let bodies = collector.accepted.lock().expect("the bodies").clone();
    let documents: Vec<serde_json::Value> = bodies
        .iter()
        .flat_map(|body| std::str::from_utf8(body).expect("text").lines())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let with = |is: &dyn Fn(&serde_json::Value) -> bool| documents.iter().filter(|found| is(found)).count();
    let native =
        |one: &serde_json::Value| one["event"]["action"] == "group_exited" && one["instance"] == instance;
    let ecs = |one: &serde_json::Value| {
        one["ecs"]["version"].is_string()
            && one["event"]["type"][0] == "end"
            && one["taskscope"]["instance"] == instance
    };
    let otel = |one: &serde_json::Value| {
        one["event.name"] == "taskscope.group_exited" && one["taskscope.instance"] == instance
    };
    for (name, count) in [("native", with(&native)), ("ecs", with(&ecs)), ("otel", with(&otel))] {
        assert!(count >= 50, "{count} documents of the schema {name}: {:#?}", documents.first());
    }
    service.stop_clean();
}

#[test]
fn a_spill_file_continues_the_queue_and_survives_the_daemon() {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let directory = service::directory();
    let lines = format!(
        "[[output]]\ntype = \"otlp\"\nurl = \"http://{address}\"\nactions = [\"group_exited\"]\ncomms = [\"scenario\"]\nqueue = 20\nspill = {:?}\n",
        directory.join("spill").to_string_lossy()
    );
    let first = start(directory, &lines, &[]);
    scenario("burst", &["100"]).finish();
    first.until("all in the queue", |now| now[QUEUE] >= 100.0);
    let (end, directory) = first.stop();
    assert_eq!(end.code(), Some(0), "{end:?}");
    let listener = TcpListener::bind(address).expect("the same port");
    let accepted = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let collector = Collector { address: address.to_string(), accepted: Arc::clone(&accepted) };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &accepted, &Mutex::new(std::iter::empty()));
        }
    });
    let second = start(directory, &lines, &[]);
    let now = second.until("all sent", |now| now[QUEUE] < 1.0 && now[EVENTS] >= 100.0);
    assert!(now[DROPPED] < 1.0, "{now:#?}");
    // In a guest, the kernel may skip programs: that is a gap of every output.
    assert!(setting::in_vm() || collector.events().1 == 0, "{} in gaps", collector.events().1);
    assert!(collector.events().0.len() >= 100);
    second.stop_clean();
}
