//! Servers of other projects to which outputs send, and what they got.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    delivery::Got,
    service::{self, Service},
    wait,
};

/// A server of another project; killed when it is dropped.
pub struct Server(Child);

impl Server {
    /// Starts the program that an environment variable names, else `name`. Its output goes to the end of `log`.
    #[track_caller]
    pub fn start(variable: &str, name: &str, args: &[&str], log: &Path) -> Self {
        let log = fs::File::options().append(true).create(true).open(log);
        let log = log.unwrap_or_else(|error| panic!("the log of {name}: {error}"));
        let copy = log.try_clone().unwrap_or_else(|error| panic!("the log of {name}: {error}"));
        let mut command = Command::new(std::env::var_os(variable).unwrap_or_else(|| name.into()));
        command.args(args).stdout(copy).stderr(log).stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}: cargo xtask test fetches it")))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for, so its pid is its own.
        unsafe { libc::kill(self.0.id().cast_signed(), signal) };
    }

    /// Ends it with SIGTERM.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(libc::SIGTERM);
        self.0.wait().unwrap_or_else(|error| panic!("waiting for a server: {error}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns an address that was free just before.
#[track_caller]
pub fn free() -> String {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.unwrap_or_else(|error| panic!("no free port: {error}")).to_string()
}

/// Waits until a server accepts connections.
#[track_caller]
pub fn wait_listening(address: &str) {
    wait::until(format_args!("a server listens on {address}"), || TcpStream::connect(address).is_ok());
}

/// Starts a daemon whose configuration has these lines.
#[track_caller]
pub fn daemon(directory: PathBuf, lines: &str, args: &[&str]) -> Service {
    let file = directory.join("taskscope.toml");
    fs::write(&file, lines).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let file = file.to_string_lossy().into_owned();
    Service::start_in(directory, &[&["--config", file.as_str()], args].concat())
}

/// rotel, an OpenTelemetry collector, which prints what it gets to its log.
pub struct Rotel {
    /// Where it takes OTLP by gRPC.
    pub grpc: String,
    /// Where it takes OTLP over HTTP.
    pub http: String,
    log: PathBuf,
    running: Option<Server>,
}

impl Rotel {
    /// Starts it on free ports.
    #[track_caller]
    pub fn start(directory: &Path) -> Self {
        let log = directory.join(format!("rotel-{}.log", service::unique()));
        let mut rotel = Self { grpc: free(), http: free(), log, running: None };
        rotel.start_again();
        rotel
    }

    /// Starts it again, on the same ports and with the same log.
    #[track_caller]
    pub fn start_again(&mut self) {
        let args = ["start", "--exporter", "blackhole"];
        let ports = ["--otlp-grpc-endpoint", &self.grpc, "--otlp-http-endpoint", &self.http];
        let shown = ["--debug-log", "logs", "--debug-log-verbosity", "detailed"];
        let args = [&args[..], &ports, &shown].concat();
        self.running = Some(Server::start("TASKSCOPE_ROTEL", "rotel-agent", &args, &self.log));
    }

    /// Ends it with SIGTERM, so that its log has everything that it has acknowledged.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        if let Some(running) = &self.running {
            running.signal(signal);
        }
    }

    /// Returns its log.
    #[track_caller]
    pub fn text(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_else(|error| panic!("{}: {error}", self.log.display()));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns the records that it got, in order.
    #[track_caller]
    pub fn got(&self) -> Vec<Got> {
        got(&self.text())
    }
}

/// Returns the records of taskscope in the log of rotel.
fn got(log: &str) -> Vec<Got> {
    let mut found = Vec::new();
    // A record begins with a line `LogRecord #0`. The last one can be incomplete.
    for record in log.split("\nLogRecord #").skip(1) {
        let field = |start: &str| record.lines().find_map(|line| line.trim().strip_prefix(start));
        let number = |name: &str| field(&format!("-> {name}: Int("))?.strip_suffix(')')?.parse::<u64>().ok();
        if let Some(sequence) = number("taskscope.event.sequence") {
            found.push(Got::Event(sequence));
        } else if let Some(lost) = number("taskscope.gap.lost") {
            let place = field("-> taskscope.gap.place: Str(").and_then(|text| text.strip_suffix(')'));
            let id = field("Timestamp: ").unwrap_or_default().to_owned();
            found.push(Got::Gap { place: place.unwrap_or_default().to_owned(), lost, id });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_the_collector_is_understood() {
        let log = "ScopeLogs #0\nLogRecord #0\nObservedTimestamp: 15\nTimestamp: 15\nEventName: taskscope.gap\nAttributes:\n     \
                   -> taskscope.gap.place: Str(output)\n     -> taskscope.gap.lost: Int(7)\nFlags: 0\nLogRecord #1\n\
                   Timestamp: 16\n     -> taskscope.event.sequence: Int(9)\nFlags: 0\n";
        let gap = Got::Gap { place: "output".into(), lost: 7, id: "15".into() };
        assert_eq!(got(log), [gap, Got::Event(9)]);
    }
}
