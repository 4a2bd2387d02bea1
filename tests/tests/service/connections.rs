//! Connections: which ones are closed or refused; a scrape waits for none of them.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream},
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::net::UnixStream,
    },
    time::Duration,
};

use common::scenario;
use taskscope_tests::{
    service::{self, Answer, Service},
    setting, wait,
};

/// Returns how long a scrape may take, whatever other clients do. In a guest everything takes longer.
fn scrape_time() -> Duration {
    if setting::in_vm() { setting::deadline() } else { Duration::from_secs(1) }
}

/// Asks for a path over TCP; each step must finish within the time of a scrape.
fn try_scrape(address: &str, path: &str) -> std::io::Result<TcpStream> {
    let address = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, scrape_time())?;
    stream.set_read_timeout(Some(scrape_time()))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

#[track_caller]
fn scrape(service: &Service, path: &str) -> Answer {
    let stream = try_scrape(service.address(), path);
    service::answer(stream.unwrap_or_else(|error| panic!("asking for {path}: {error}")))
}

#[track_caller]
fn all_probes_answer(service: &Service, when: &str) {
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = scrape(service, path);
        assert_eq!(answer.status, 200, "{when}: {path}: {answer:?}");
    }
}

/// Raises this process's limit on descriptors, for many sockets.
fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers of both calls are to a value that outlives them.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(8192);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

#[test]
fn connections_that_never_ask_do_not_delay_a_scrape() {
    raise_descriptors();
    let service = Service::start(&[]);
    // Half of a request, nothing at all, and a request whose connection is kept.
    let kinds =
        ["GET / HTTP/1.1\r\nHost: localhost\r\n", "", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"];
    let mut open = Vec::new();
    for index in 0..1500 {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        // The daemon has closed some of them by then, because later ones took their places.
        let _ = stream.write_all(kinds[index % kinds.len()].as_bytes());
        open.push(stream);
        if index % 250 == 0 {
            all_probes_answer(&service, "while they come");
        }
    }
    for _ in 0..3 {
        all_probes_answer(&service, "with 1,500 connections");
        // These clients send slowly, so they keep their places until the time limit.
        for stream in &mut open {
            let _ = stream.write_all(b"X");
        }
    }
    let samples = service.metrics();
    assert!(samples[r#"taskscope_http_connections_closed_total{reason="evicted"}"#] > 1000.0, "{samples:?}");
    drop(open);
    service.stop_clean();
}

#[test]
fn peers_that_ask_and_never_read_do_not_turn_off_the_scrape_and_lose_their_connections() {
    let service = Service::start(&["--api-on-tcp"]);
    let pipeline = "GET /v1/tree?threads=true HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let scrapes = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400);
    let mut open = Vec::new();
    for index in 0..200 {
        let stream = TcpStream::connect(service.address()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = (&stream).write_all(if index % 2 == 0 { &pipeline } else { &scrapes }.as_bytes());
        open.push(stream);
    }
    for _ in 0..5 {
        all_probes_answer(&service, "with 200 peers that do not read");
    }
    // A reader over the Unix socket, whose place no other client needs.
    let silent = service.silent_reader("");
    service.until("the reader", |now| now["taskscope_event_readers"] > 0.0);
    scenario("burst", &["4000"]).finish();
    service.until("its connection closed", |now| {
        now[r#"taskscope_http_connections_closed_total{reason="stalled"}"#] > 0.0
            && now["taskscope_event_readers"] < 1.0
            && now["taskscope_event_readers_lost_events_total"] > 0.0
    });
    drop((open, silent));
    service.stop_clean();
}

#[test]
fn only_names_of_this_host_are_answered_over_tcp() {
    let service = Service::start(&["--allowed-host", "node1.example.org", "--api-on-tcp"]);
    let ask = |headers: &str| {
        service.ask(&format!("GET /v1/status HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"))
    };
    for (headers, status) in [
        (format!("Host: {}\r\n", service.address()), 200),
        ("Host: localhost:1\r\n".into(), 200),
        ("Host: [::1]\r\n".into(), 200),
        ("Host: Node1.Example.org:9753\r\n".into(), 200),
        ("Host: rebound.example\r\n".into(), 421),
        (String::new(), 400),
        ("Host: localhost\r\nHost: rebound.example\r\n".into(), 400),
        ("Host: localhost\r\nOrigin: https://page.example\r\n".into(), 403),
        ("Host: localhost\r\nOrigin: null\r\n".into(), 403),
        ("Host: localhost\r\nOrigin: http://localhost\r\n".into(), 200),
    ] {
        let answer = ask(&headers);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert!(answer.head.contains("cross-origin-resource-policy: same-origin"), "{answer:?}");
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{answer:?}");
    }
    // Any `Host` is allowed on the socket.
    let mut stream = UnixStream::connect(service.socket()).unwrap();
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(service::answer(stream).status, 200);
    service.stop_clean();
}

#[test]
fn every_error_has_one_shape() {
    let service = Service::start(&["--api-on-tcp"]);
    let long = "a".repeat(40_000);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for (request, status) in [
        (get("/v1/tree?threads=maybe"), 400),
        (get("/v1/tree?nothing=1"), 400),
        (get("/v1/tree?pid=-1"), 400),
        (get("/v1/tree?pid=4294967"), 404),
        (get("/v1/tree?at=never"), 400),
        (get("/v1/zombies?min_age=x"), 400),
        (get("/v1/zombies?min_age=1s&min_age=2s"), 400),
        (get("/v1/tasks/%ff"), 400),
        (get("/v1/explain/nobody"), 400),
        (get("/v1/events?limit=-1"), 400),
        (get("/v1/nothing"), 404),
        (
            "POST /v1/tree HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .into(),
            405,
        ),
        ("DELETE /metrics HTTP/1.0\r\n\r\n".into(), 405),
        ("GARBAGE\r\n\r\n".into(), 400),
        ("GET / HTTP/9.9\r\n\r\n".into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET /{long}{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
        // A request whose headers never end is refused after ten seconds.
        ("GET / HTTP/1.1\r\nHost: localhost\r\n".into(), 408),
    ] {
        let answer = service.ask(&request);
        let short = request.get(..100).unwrap_or(&request);
        // hyper answers a long path with the same status as long headers.
        let is_expected = answer.status == status || status == 414 && answer.status == 431;
        assert!(is_expected, "{short:?}: expected {status}: {answer:?}");
        assert!(answer.head.contains("content-type: application/json"), "{short:?}: {answer:?}");
        let error: serde_json::Value = serde_json::from_str(&answer.body)
            .unwrap_or_else(|error| panic!("{error}: {short:?}: {answer:?}"));
        assert_eq!(error["error"]["status"], answer.status, "{short:?}: {answer:?}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.len() > 5), "{answer:?}");
    }
    service.stop_clean();
}

#[test]
fn a_client_that_has_shut_down_its_side_gets_its_answer() {
    let service = service::shared();
    scenario("burst", &["5"]).finish();
    for path in ["/metrics", "/healthz"] {
        let stream = service.open(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(service::answer(stream).status, 200, "{path}");
    }
    // The answer takes a while, because the events come after the request.
    let mut stream = UnixStream::connect(service.socket()).unwrap();
    stream.set_read_timeout(Some(setting::deadline())).unwrap();
    stream.write_all(b"GET /v1/events?action=released&limit=3 HTTP/1.0\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    scenario("burst", &["5"]).finish();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(head.starts_with(b"HTTP/1.0 200"), "{head:?}");
    let events = rest.lines().filter(|line| line.contains(r#""action":"released""#)).count();
    assert_eq!(events, 3, "{rest}");
}

#[test]
fn an_old_daemon_that_ends_leaves_the_socket_of_a_newer_one_alone() {
    let old = Service::start(&[]);
    // Removes the socket, as systemd does when it removes and makes the directory, so that the newer daemon has the path.
    fs::remove_file(old.socket()).unwrap();
    let new = Service::start_in(old.directory().to_owned(), &[]);
    let (end, _) = old.stop();
    assert_eq!(end.code(), Some(0), "{}", end.text());
    assert_eq!(new.get_local("/healthz").status, 200);
    new.stop_clean();
}

/// Connects from an address of this host.
fn connect_from(source: Ipv4Addr, to: &str) -> io::Result<TcpStream> {
    let to: SocketAddrV4 = to.parse().map_err(io::Error::other)?;
    let raw = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    };
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the call takes integers only, and the descriptor is owned at once.
    let stream = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        TcpStream::from_raw_fd(socket)
    };
    let (source, to) = (raw(source, 0), raw(*to.ip(), to.port()));
    // SAFETY: the socket is open, and the complete addresses outlive both calls.
    let failed = unsafe {
        libc::bind(stream.as_raw_fd(), (&raw const source).cast(), length) != 0
            || libc::connect(stream.as_raw_fd(), (&raw const to).cast(), length) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(stream) }
}

/// Asks for events; returns the status line and the open connection.
#[track_caller]
fn reader_from(source: Ipv4Addr, service: &Service) -> (String, TcpStream) {
    let stream = connect_from(source, service.address());
    let mut stream = stream.unwrap_or_else(|error| panic!("connecting from {source}: {error}"));
    let asked = stream.set_read_timeout(Some(setting::deadline())).and_then(|()| {
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    });
    asked.unwrap_or_else(|error| panic!("asking from {source}: {error}"));
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap_or_else(|error| panic!("no answer to {source}: {error}"));
    (String::from_utf8_lossy(&status).into_owned(), stream)
}

#[test]
fn readers_of_one_host_leave_places_to_other_hosts_and_to_the_socket() {
    const OK: &str = "HTTP/1.1 200";
    let service = Service::start(&["--api-on-tcp"]);
    let (greedy, other) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let (mut held, mut readers) = (Vec::new(), 2.0);
    let (status, mut refused) = loop {
        let (status, stream) = reader_from(greedy, &service);
        if status != OK {
            break (status, stream);
        }
        held.push(stream);
        readers += 1.0;
        assert!(held.len() < 1000, "one host may read without a limit");
    };
    assert_eq!(status, "HTTP/1.1 503");
    let mut text = String::new();
    refused.read_to_string(&mut text).unwrap_or_else(|error| panic!("reading why: {error}"));
    assert!(text.contains("as many as one may have here"), "{text}");
    let of_other = reader_from(other, &service);
    assert_eq!(of_other.0, OK, "another host has a place beside {} readers of one", held.len());
    let over_socket = service.silent_reader("");
    all_probes_answer(&service, "beside as many readers as there may be of one host");
    service.until("the readers", |now| now["taskscope_event_readers"] >= readers);
    held.pop();
    wait::until("its place is free again", || reader_from(greedy, &service).0 == OK);
    drop((held, of_other, over_socket));
    service.stop_clean();
}
