//! A NATS server with `JetStream`, and a minimal client that makes streams and reads them
//! (docs.nats.io/reference/reference-protocols/nats-protocol).

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    delivery::Got,
    servers::{Server, free, wait_listening},
    setting,
};

/// A server with its own files.
pub struct NatsServer {
    /// Where it listens.
    pub address: String,
    directory: PathBuf,
    more: Vec<String>,
    running: Option<Server>,
}

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Its subject.
    pub subject: String,
    /// Its header `Nats-Msg-Id`.
    pub id: String,
    /// The document.
    pub document: Value,
}

/// A connection.
pub struct NatsClient {
    stream: BufReader<TcpStream>,
    requests: u64,
}

/// What the server sends to a client.
struct Delivered {
    subject: String,
    head: String,
    payload: Vec<u8>,
}

impl NatsServer {
    /// Starts it on a free port, with further arguments.
    #[track_caller]
    pub fn start(directory: &Path, more: &[&str]) -> Self {
        let more = more.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self { address: free(), directory: directory.to_owned(), more, running: None };
        server.start_again();
        server
    }

    /// Starts it again, on the same port and with the same files.
    #[track_caller]
    pub fn start_again(&mut self) {
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let store = self.directory.join("nats").display().to_string();
        let args = ["-a", "127.0.0.1", "-p", port, "-js", "-sd", &store];
        let more = self.more.iter().map(String::as_str);
        let args: Vec<_> = args.into_iter().chain(more).collect();
        let log = self.directory.join("nats.log");
        self.running = Some(Server::start("TASKSCOPE_NATS_SERVER", "nats-server", &args, &log));
        wait_listening(&self.address);
    }

    /// Ends it with SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        if let Some(running) = &self.running {
            running.signal(signal);
        }
    }

    /// Connects to it.
    #[track_caller]
    pub fn client(&self) -> NatsClient {
        NatsClient::connect(&self.address, None)
    }
}

impl NatsClient {
    /// Connects, as a user with a password if there is one.
    #[track_caller]
    pub fn connect(address: &str, user: Option<(&str, &str)>) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(setting::deadline())).unwrap_or_else(|error| panic!("{error}"));
        let mut client = Self { stream: BufReader::new(stream), requests: 0 };
        let info = client.line();
        assert!(info.starts_with("INFO "), "{info}");
        let (user, pass) = user.unwrap_or_default();
        let options = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "lang": "test", "version": "0",
            "user": user, "pass": pass,
        });
        client.write(format!("CONNECT {options}\r\nSUB _INBOX.test.* 1\r\nPING\r\n").as_bytes());
        assert_eq!(client.line(), "PONG");
        client
    }

    /// Makes a stream that has these subjects.
    #[track_caller]
    pub fn add_stream(&mut self, name: &str, subjects: &str) {
        let config = json!({
            "name": name, "subjects": [subjects], "retention": "limits", "storage": "file", "discard": "old",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "num_replicas": 1, "allow_direct": true,
            "duplicate_window": 600_000_000_000_u64,
        });
        let answer = self.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
        assert!(answer["error"].is_null(), "{answer:#}");
    }

    /// Returns all messages of a stream, in order.
    #[track_caller]
    pub fn messages(&mut self, name: &str) -> Vec<StoredMessage> {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{name}"), &Value::Null);
        let last = info["state"]["last_seq"].as_u64().unwrap_or_else(|| panic!("{info:#}"));
        let get = format!("$JS.API.DIRECT.GET.{name}");
        (1..=last)
            .map(|sequence| {
                let found = self.request(&get, json!({ "seq": sequence }).to_string().as_bytes());
                let field = |name: &str| {
                    let value =
                        found.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    let value = value.unwrap_or_else(|| panic!("no {name}: {}", found.head));
                    value.trim().to_owned()
                };
                let document = serde_json::from_slice(&found.payload);
                let document = document.unwrap_or_else(|error| panic!("message {sequence}: {error}"));
                StoredMessage { subject: field("Nats-Subject"), id: field("Nats-Msg-Id"), document }
            })
            .collect()
    }

    /// Subscribes to a subject and never reads what comes.
    pub fn subscribe_silently(&mut self, subject: &str) {
        self.write(format!("SUB {subject} 2\r\n").as_bytes());
    }

    #[track_caller]
    fn ask(&mut self, subject: &str, request: &Value) -> Value {
        let request = if request.is_null() { String::new() } else { request.to_string() };
        let answer = self.request(subject, request.as_bytes());
        serde_json::from_slice(&answer.payload)
            .unwrap_or_else(|error| panic!("{subject}: {error}: {}", answer.head))
    }

    /// Sends a request; returns its answer.
    #[track_caller]
    fn request(&mut self, subject: &str, payload: &[u8]) -> Delivered {
        self.requests += 1;
        let inbox = format!("_INBOX.test.{}", self.requests);
        let head = format!("PUB {subject} {inbox} {}\r\n", payload.len());
        self.write(&[head.as_bytes(), payload, b"\r\n"].concat());
        loop {
            let delivered = self.delivered();
            if delivered.subject == inbox {
                return delivered;
            }
        }
    }

    /// Returns the next message.
    #[track_caller]
    fn delivered(&mut self) -> Delivered {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["PING"] => self.write(b"PONG\r\n"),
                ["MSG" | "HMSG", subject, .., last] => {
                    let number = |word: &str| word.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
                    let total: usize = number(last);
                    let head = if words[0] == "HMSG" { number(words[words.len() - 2]) } else { 0 };
                    let mut bytes = vec![0; total + 2];
                    self.stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{line}: {error}"));
                    let payload = bytes[head..total].to_vec();
                    let head = String::from_utf8_lossy(&bytes[..head]).into_owned();
                    return Delivered { subject: subject.to_owned(), head, payload };
                }
                _ => assert!(!line.starts_with("-ERR"), "{line}"),
            }
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap_or_else(|error| panic!("reading from the server: {error}"));
        assert!(!line.is_empty(), "the server closed the connection");
        line.trim_end().to_owned()
    }

    #[track_caller]
    fn write(&mut self, bytes: &[u8]) {
        self.stream
            .get_mut()
            .write_all(bytes)
            .unwrap_or_else(|error| panic!("writing to the server: {error}"));
    }
}

/// Returns the records in the messages of a stream.
#[must_use]
pub fn got(messages: &[StoredMessage]) -> Vec<Got> {
    let got =
        |StoredMessage { id, document, .. }: &StoredMessage| match document["event"]["sequence"].as_u64() {
            Some(sequence) => Got::Event(sequence),
            None => Got::Gap {
                place: document["gap"]["place"].as_str().unwrap_or_default().to_owned(),
                lost: document["gap"]["lost"].as_u64().unwrap_or_default(),
                id: id.clone(),
            },
        };
    messages.iter().map(got).collect()
}
