//! Outputs over TLS: to a real collector behind nginx, with certificates that are right, wrong, expired, for another name and renewed.

#[path = "../common/mod.rs"]
mod common;

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use common::scenario;
use taskscope_tests::{
    certificates::{authority, certificate, certificate_for_days},
    delivery,
    nginx::{Nginx, TlsPort},
    servers::{self, Rotel, Server, free, wait_listening},
    service::{self, Service},
    setting, wait,
};

/// Events of each output.
const EVENTS: u64 = 20;

/// Makes the certificates of both sides.
fn certificates(directory: &Path) {
    for name in ["ca", "other-ca"] {
        authority(directory, name);
    }
    // First, so that it has expired when it is used.
    certificate_for_days(directory, "ca", "expired", "DNS:localhost", 0);
    certificate(directory, "ca", "right", "DNS:localhost");
    certificate(directory, "ca", "misnamed", "DNS:other.example");
    certificate(directory, "ca", "client", "DNS:client.example");
    certificate(directory, "other-ca", "stranger", "DNS:client.example");
}

/// Returns an output of type `otlp`; `more` are further lines.
fn otlp(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[output]]\ntype = \"otlp\"\nname = {name:?}\nurl = {url:?}\nactions = [\"group_exited\"]\ncomms = [\"scenario\"]\n{more}"
    )
}

/// Returns an output in the status.
fn status(service: &Service, name: &str) -> serde_json::Value {
    let all = service.json("/v1/status")["outputs"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("no output {name}"))
}

#[track_caller]
fn fails_with(service: &Service, name: &str, parts: &[&str]) {
    wait::until_ok(|| {
        let now = status(service, name);
        let error = now["error"].as_str().unwrap_or_default();
        let is_it = parts.iter().all(|part| error.contains(part)) && now["dropped"] == 0;
        if is_it { Ok(()) } else { Err(format!("{name} should fail with {parts:?}: {now:#}")) }
    });
}

#[track_caller]
fn sends_all(service: &Service, name: &str) {
    wait::until_ok(|| {
        let now = status(service, name);
        let is_done = now["events"].as_u64().is_some_and(|events| events >= EVENTS) && now["dropped"] == 0;
        if is_done { Ok(()) } else { Err(format!("{name} should send {EVENTS} events: {now:#}")) }
    });
}

#[test]
fn a_collector_behind_tls_gets_events_if_the_certificates_are_right() {
    if setting::skip_in_vm("a guest has no collector") {
        return;
    }
    let directory = service::directory();
    certificates(&directory);
    let collector = Rotel::start(&directory);
    let port = |certificate, client_ca| TlsPort { certificate, client_ca };
    let ports =
        [port("right", None), port("expired", None), port("misnamed", None), port("right", Some("ca"))];
    let proxy = Nginx::start(&directory, &collector, &ports);
    let [right, expired, misnamed, verifying] =
        [0, 1, 2, 3].map(|at| proxy.addresses[at].replace("127.0.0.1", "localhost"));
    let file = |key: &str, name: &str| format!("{key} = {:?}\n", directory.join(name).to_string_lossy());
    // A file that is renewed later.
    fs::copy(directory.join("other-ca.crt"), directory.join("renewed.crt")).expect("a copy");
    let ca = file("ca", "ca.crt");
    let client = format!("{ca}{}{}", file("cert", "client.crt"), file("key", "client.key"));
    let stranger = format!("{ca}{}{}", file("cert", "stranger.crt"), file("key", "stranger.key"));
    let mut lines = String::new();
    for (name, scheme, address, more) in [
        ("http", "https", &right, ca.clone()),
        ("grpc", "https", &right, format!("{ca}protocol = \"grpc\"\n")),
        ("client", "https", &verifying, client.clone()),
        ("client-grpc", "https", &verifying, format!("{client}protocol = \"grpc\"\n")),
        ("other-ca", "https", &right, file("ca", "renewed.crt")),
        ("system", "https", &right, String::new()),
        ("expired", "https", &expired, ca.clone()),
        ("misnamed", "https", &misnamed, ca.clone()),
        ("misnamed-grpc", "https", &misnamed, format!("{ca}protocol = \"grpc\"\n")),
        ("no-certificate", "https", &verifying, ca.clone()),
        ("stranger", "https", &verifying, stranger),
        ("no-tls", "https", &collector.http, ca.clone()),
        ("tls-only", "http", &right, String::new()),
    ] {
        write!(lines, "{}", otlp(name, &format!("{scheme}://{address}"), &more)).expect("a text");
    }
    let service = servers::daemon(directory.clone(), &lines, &[]);
    let count = EVENTS.to_string();
    scenario("burst", &[&count]).finish();
    for name in ["http", "grpc", "client", "client-grpc"] {
        sends_all(&service, name);
    }
    let renewed = directory.join("renewed.crt").display().to_string();
    fails_with(
        &service,
        "other-ca",
        &["the certificate of localhost is not accepted", "UnknownIssuer", &renewed],
    );
    fails_with(&service, "system", &["UnknownIssuer", "/etc/"]);
    fails_with(&service, "expired", &["the certificate of localhost is not accepted", "expired"]);
    for name in ["misnamed", "misnamed-grpc"] {
        fails_with(&service, name, &["not valid for name", "other.example"]);
    }
    fails_with(&service, "no-certificate", &["400", "No required SSL certificate"]);
    fails_with(&service, "stranger", &["400", "SSL certificate error"]);
    fails_with(&service, "no-tls", &["does not use TLS on port"]);
    fails_with(&service, "tls-only", &["400", "plain HTTP request"]);
    let text = service.process().log().text();
    assert!(text.contains("output expired: https://localhost"), "the log has the first failure:\n{text}");
    // The file is renewed: the next connection uses it.
    fs::copy(directory.join("ca.crt"), directory.join("renewed.crt")).expect("a copy");
    sends_all(&service, "other-ca");
    // Five outputs have sent the same events.
    wait::until_ok(|| {
        let events = collector.text().matches("-> taskscope.event.sequence: Int(").count();
        let delivered = delivery::check(&collector.got(), &BTreeSet::new()).map(|found| found.events.len());
        let is_whole = events as u64 >= 5 * EVENTS;
        if is_whole { Ok(()) } else { Err(format!("{events} records, {delivered:?} events")) }
    });
    service.stop_clean();
}

#[test]
fn a_server_that_requires_a_certificate_ends_tls_without_it() {
    if setting::skip_in_vm("a guest has no openssl") {
        return;
    }
    let directory = service::directory();
    certificates(&directory);
    let address = free();
    let file = |name: &str| directory.join(name).display().to_string();
    let (cert, key, ca) = (file("right.crt"), file("right.key"), file("ca.crt"));
    let args = ["s_server", "-accept", &address, "-cert", &cert, "-key", &key, "-CAfile", &ca, "-quiet"];
    let verify = ["-Verify", "1", "-verify_return_error"];
    let log = directory.join("openssl.log");
    let _server = Server::start("TASKSCOPE_OPENSSL", "openssl", &[&args[..], &verify].concat(), &log);
    wait_listening(&address);
    let url = format!("https://{}", address.replace("127.0.0.1", "localhost"));
    let ca = format!("ca = {ca:?}\n");
    let pair = format!("{ca}cert = {:?}\nkey = {:?}\n", file("stranger.crt"), file("stranger.key"));
    let lines = [
        otlp("none", &url, &ca),
        otlp("stranger", &url, &pair),
        otlp("stranger-grpc", &url, &format!("{pair}protocol = \"grpc\"\n")),
    ];
    let service = servers::daemon(directory.clone(), &lines.concat(), &[]);
    scenario("burst", &["1"]).finish();
    fails_with(&service, "none", &["localhost ends TLS with the alert", "`cert`"]);
    let stranger = file("stranger.crt");
    for name in ["stranger", "stranger-grpc"] {
        fails_with(&service, name, &["localhost does not accept the client certificate", &stranger]);
    }
    service.stop_clean();
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_at_the_start() {
    if setting::skip_in_vm("a guest has no openssl") {
        return;
    }
    let directory = service::directory();
    certificates(&directory);
    let file = |name: &str| directory.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("stranger.key"));
    let config = directory.join("taskscope.toml");
    for (more, parts) in [
        ("ca = \"/nonexistent/ca.pem\"\n".to_owned(), &["ca: reading /nonexistent/ca.pem", "line 2"][..]),
        (format!("ca = {key:?}\n"), &["ca: ", "no certificate in PEM", &key]),
        (format!("ca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n"), &["does not go with", &cert, &key]),
        (format!("ca = {ca:?}\ncert = {cert:?}\nkey = {cert:?}\n"), &["no private key", &cert]),
    ] {
        let lines = format!("top = 3\n{}", otlp("otlp", "https://localhost", &more));
        fs::write(&config, lines).expect("the configuration");
        for check in [&["--check-config"][..], &[]] {
            let mut command = service::command(&directory, &["--listen", ""]);
            let output = command.args(check).arg("--config").arg(&config).output().expect("taskscope");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{check:?} {more}: {text}");
            assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
        }
    }
}
