//! A running `taskscope run`, and a minimal client for it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    observer::{End, Observer},
    setting, wait,
};

/// How the line begins that has the address, with http or https.
const SERVING: &str = "taskscope: serving http";

/// A daemon with a directory, a socket and a port of its own.
pub struct Service {
    observer: Observer,
    directory: PathBuf,
    address: String,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header lines, lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// A response that is a stream.
pub struct Lines(BufReader<Box<dyn Read + Send>>);

/// Returns a number that no other call in this process gets.
pub(crate) fn unique() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Creates a new directory for a daemon.
#[must_use]
#[track_caller]
pub fn directory() -> PathBuf {
    let name = format!("taskscope-service-{}-{}", std::process::id(), unique());
    let path = env::temp_dir().join(name);
    fs::create_dir_all(&path).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
    path
}

/// Returns the command of `taskscope run` in a directory.
#[must_use]
pub fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.arg("run").arg("--socket").arg(directory.join("socket"));
    command.args(["--attach", &setting::attach()]).args(args);
    command
}

impl Service {
    /// Starts a daemon and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::start_in(directory(), args)
    }

    /// Starts a daemon in a directory that may have a configuration, or files of an earlier daemon.
    #[must_use]
    #[track_caller]
    pub fn start_in(directory: PathBuf, args: &[&str]) -> Self {
        Self::start_with(directory, args, |_| {})
    }

    /// Starts a daemon by a command that `prepare` changes, for example to start in a cgroup or under a limit.
    #[must_use]
    #[track_caller]
    pub fn start_with(directory: PathBuf, args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(&directory, args);
        command.args(["--listen", "127.0.0.1:0"]);
        change(&mut command);
        let observer = Observer::start_command(command);
        let line = observer.log().line(SERVING, setting::deadline());
        let line = line.unwrap_or_else(|| panic!("its log has no address:\n{}", observer.log().text()));
        let address = line.split('/').nth(2).unwrap_or_default().to_owned();
        observer.answers_on(&directory.join("socket"));
        Self { observer, directory, address }
    }

    /// Returns the daemon's process.
    #[must_use]
    pub fn process(&self) -> &Observer {
        &self.observer
    }

    /// Returns host and port of /metrics.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Sends a GET request over TCP.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        get(&self.address, path)
    }

    /// Sends any request over TCP, and returns the response.
    #[track_caller]
    pub fn ask(&self, request: &str) -> Answer {
        let mut stream =
            TcpStream::connect(&self.address).unwrap_or_else(|error| panic!("connecting: {error}"));
        // The daemon answers headers that are too long, and does not read the rest of them.
        let _ = stream.write_all(request.as_bytes());
        read(stream, setting::deadline())
    }

    /// Sends a GET request over the socket.
    #[track_caller]
    pub fn get_local(&self, path: &str) -> Answer {
        read(self.request_local(path, ""), setting::deadline())
    }

    /// Returns the JSON of a response over the socket, which must have the status 200.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let answer = self.get_local(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
    }

    /// Opens a stream of events over the socket.
    #[track_caller]
    pub fn events(&self, query: &str, headers: &str) -> Lines {
        let stream = self.request_local(&format!("/v1/events{query}"), headers);
        let mut lines = Lines(BufReader::new(Box::new(stream)));
        let mut head = String::new();
        while lines.0.read_line(&mut head).is_ok_and(|read| read > 2) {}
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
        lines
    }

    /// Opens a TCP connection and sends `request`, without reading the response.
    #[track_caller]
    pub fn open(&self, request: &str) -> TcpStream {
        let mut stream =
            TcpStream::connect(&self.address).unwrap_or_else(|error| panic!("connecting: {error}"));
        stream.write_all(request.as_bytes()).unwrap_or_else(|error| panic!("asking: {error}"));
        let time = Some(setting::deadline());
        stream.set_read_timeout(time).unwrap_or_else(|error| panic!("setting a timeout: {error}"));
        stream
    }

    /// Opens a stream of events over the socket that is never read.
    #[track_caller]
    pub fn silent_reader(&self, query: &str) -> UnixStream {
        self.request_local(&format!("/v1/events{query}"), "")
    }

    /// Returns a figure of the daemon's `/proc/PID/status`, such as `VmRSS`, KiB.
    #[track_caller]
    pub fn kib(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.observer.pid());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
        let line = text.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {figure} in {path}"))
    }

    #[track_caller]
    fn request_local(&self, path: &str, headers: &str) -> UnixStream {
        let mut stream =
            UnixStream::connect(self.socket()).unwrap_or_else(|error| panic!("connecting: {error}"));
        let request = format!("GET {path} HTTP/1.0\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap_or_else(|error| panic!("asking: {error}"));
        let time = Some(setting::deadline());
        stream.set_read_timeout(time).unwrap_or_else(|error| panic!("setting a timeout: {error}"));
        stream
    }

    /// Returns every sample of a scrape, by name with labels as written.
    #[track_caller]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        let samples = answer.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("a sample: {line}"));
                (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("a value: {line}")))
            })
            .collect()
    }

    /// Scrapes until the samples meet a condition, and returns them.
    #[track_caller]
    pub fn until(&self, what: &str, come: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
        wait::until_ok(|| {
            let samples = self.metrics();
            if come(&samples) {
                Ok(samples)
            } else {
                Err(format!("{what}: the samples never meet the condition: {samples:#?}"))
            }
        })
    }

    /// Waits for the daemon's report of the end of a process, and returns it.
    #[track_caller]
    pub fn death(&self, pid: i64) -> Value {
        wait::until_some(format_args!("the end of {pid} is reported"), || {
            self.json(&format!("/v1/deaths?all=true&pid={pid}"))["deaths"].as_array()?.first().cloned()
        })
    }

    /// Waits for a line on stderr that begins with `start`.
    #[track_caller]
    pub fn says(&self, start: &str) -> String {
        let line = self.observer.log().line(&format!("taskscope: {start}"), setting::deadline());
        line.unwrap_or_else(|| panic!("its log has no line `{start}`:\n{}", self.observer.log().text()))
    }

    /// Stops the daemon by SIGTERM; the directory stays.
    #[track_caller]
    pub fn stop(self) -> (End, PathBuf) {
        self.observer.signal(libc::SIGTERM);
        (self.observer.wait(setting::deadline()), self.directory)
    }

    /// Stops the daemon, which must exit with 0 and without losses.
    #[track_caller]
    pub fn stop_clean(self) {
        let (end, directory) = self.stop();
        end.assert_clean();
        // The directory is one for temporary files, so it may stay.
        let _ = fs::remove_dir_all(directory);
    }

    /// Kills the daemon; its files stay.
    #[track_caller]
    pub fn kill(self) -> PathBuf {
        self.observer.signal(libc::SIGKILL);
        self.observer.wait(setting::deadline());
        self.directory
    }
}

static SHARED: OnceLock<Service> = OnceLock::new();

/// Returns the daemon of [`shared`], if a test has used it.
pub fn shared_so_far() -> Option<&'static Service> {
    SHARED.get()
}

/// Returns one daemon for all tests of a test binary that only make queries. It is stopped, and must exit with 0, when the test
/// process exits.
#[must_use]
#[track_caller]
pub fn shared() -> &'static Service {
    extern "C" fn at_exit() {
        let Some(service) = SHARED.get() else { return };
        service.observer.signal(libc::SIGTERM);
        let well = service.observer.ends_well();
        // The directory is one for temporary files, so it may stay.
        let _ = fs::remove_dir_all(&service.directory);
        if well {
            return;
        }
        eprintln!("the shared daemon failed at its end:\n{}", service.observer.log().text());
        // SAFETY: this ends the process with libtest's code for a failed test; exit(3) may not be called again from its handler.
        unsafe { libc::_exit(101) };
    }
    SHARED.get_or_init(|| {
        let service = Service::start(&[]);
        // SAFETY: the handler has no arguments and does not unwind.
        unsafe { libc::atexit(at_exit) };
        service
    })
}

impl Lines {
    /// Returns the next line; `None` at the end.
    #[track_caller]
    pub fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) => panic!("no further line: {error}"),
        }
    }

    /// Returns the next line as JSON.
    #[track_caller]
    pub fn next_json(&mut self) -> Value {
        let line = self.next_line().unwrap_or_else(|| panic!("the stream ended"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Returns all lines up to the end.
    #[track_caller]
    pub fn rest(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_line()).collect()
    }
}

/// Returns the number of lost records that the daemon on this socket reports. A failing test calls this, so it must not panic.
pub(crate) fn records_lost(socket: &Path) -> Option<u64> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(setting::deadline())).ok()?;
    stream.write_all(b"GET /v1/status HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str::<Value>(body).ok()?["records_lost"].as_u64()
}

/// Reads the rest of a response.
#[track_caller]
pub fn answer(stream: impl Read) -> Answer {
    read(stream, setting::deadline())
}

/// Sends a GET request over TCP to any address.
#[track_caller]
pub fn get(address: &str, path: &str) -> Answer {
    let mut stream =
        TcpStream::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    // The daemon answers headers that are too long, and does not read the rest of them.
    let _ = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    read(stream, setting::deadline())
}

#[track_caller]
fn read(mut stream: impl Read, deadline: Duration) -> Answer {
    let end = Instant::now() + deadline;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        assert!(Instant::now() < end, "the answer does not end: {}", String::from_utf8_lossy(&bytes));
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            // The daemon closes a connection that sent too much after the response.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("reading an answer: {error}"),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no HTTP: {text}"));
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
