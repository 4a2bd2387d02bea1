//! TLS, client certificates and basic authentication by the web configuration file, tested with curl, openssl and a real
//! Prometheus.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::scenario;
use taskscope_tests::{
    certificates::{authority, certificate, run},
    service::{self, Service},
    setting, wait,
};

/// The bcrypt hash of `correct horse`, cost 10, by libxcrypt.
const HASH: &str = "$2b$10$EBhvFr1CCfI7jzjc6hQTMOcCRXCosquxjyLiaBE.i.Z49aNpEZRSS";
const PASSWORD: &str = "scraper:correct horse";

/// Whether this machine has the programs that the tests need; says why not.
fn has_programs() -> bool {
    !setting::skip_in_vm("a guest has no openssl, curl and Prometheus")
}

/// Creates a directory with certificates of a server, a client and a stranger.
fn certificates() -> PathBuf {
    let directory = service::directory();
    authority(&directory, "ca");
    authority(&directory, "other-ca");
    certificate(&directory, "ca", "server", "DNS:localhost,IP:127.0.0.1");
    certificate(&directory, "ca", "client", "DNS:prometheus.example");
    certificate(&directory, "ca", "guest", "DNS:guest.example");
    certificate(&directory, "other-ca", "stranger", "DNS:prometheus.example");
    directory
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: ca.crt\n  \
                   client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus.example]\n";

/// Starts a daemon with a web configuration.
fn start(directory: PathBuf, web: &str) -> Service {
    let file = directory.join("web.yml");
    fs::write(&file, web).unwrap();
    Service::start_in(directory, &["--zombie-after", "200ms", "--web-config-file", file.to_str().unwrap()])
}

/// Runs curl; returns the status of the answer (000 without one) and its body.
fn curl(directory: &Path, url: &str, args: &[&str]) -> (String, String) {
    let mut all = vec!["-s", "--max-time", "10", "-w", "\n%{http_code}", url];
    all.extend(args);
    let output = run(directory, "curl", &all);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "000"));
    (status.to_owned(), body.to_owned())
}

const AS_CLIENT: [&str; 6] = ["--cacert", "ca.crt", "--cert", "client.crt", "--key", "client.key"];

fn as_client<'a>(more: &[&'a str]) -> Vec<&'a str> {
    AS_CLIENT.into_iter().chain(more.iter().copied()).collect()
}

/// Calls until the outcome is as wanted.
fn until<T: std::fmt::Debug>(what: &str, mut get: impl FnMut() -> T, come: impl Fn(&T) -> bool) -> T {
    wait::until_ok(|| {
        let now = get();
        if come(&now) { Ok(now) } else { Err(format!("{what}: {now:?}")) }
    })
}

#[test]
fn only_clients_with_certificate_and_password_are_answered() {
    if !has_programs() {
        return;
    }
    let web = format!(
        "{TLS}basic_auth_users:\n  scraper: {HASH}\nhttp_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    );
    let service = start(certificates(), &web);
    let (directory, port) =
        (service.directory().to_owned(), service.address().rsplit_once(':').unwrap().1.to_owned());
    let url = format!("https://localhost:{port}/metrics");
    let get = |args: &[&str]| curl(&directory, &url, args).0;
    let (status, body) = curl(&directory, &url, &as_client(&["-u", PASSWORD]));
    assert_eq!(status, "200", "{body}");
    assert!(body.contains("taskscope_http_tls_handshakes_total{outcome=\"complete\"}"), "{body}");
    for tls in ["--tlsv1.3", "--tls-max=1.2"] {
        let flag: Vec<&str> = tls.split('=').collect();
        assert_eq!(get(&as_client(&[&["-u", PASSWORD], &flag[..]].concat())), "200", "{tls}");
    }
    assert_eq!(get(&as_client(&["-u", PASSWORD, "--tls-max", "1.1"])), "000");
    let (status, body) = curl(&directory, &url, &as_client(&["-i", "-u", "scraper:wrong"]));
    assert_eq!(status, "401", "{body}");
    let lower = body.to_lowercase();
    assert!(lower.contains("www-authenticate: basic") && lower.contains("x-frame-options: deny"), "{body}");
    assert_eq!(get(&as_client(&["-u", "nobody:correct horse"])), "401");
    assert_eq!(get(&as_client(&[])), "401");
    let as_other = |name: &str| {
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        get(&["--cacert", "ca.crt", "--cert", &cert, "--key", &key, "-u", PASSWORD])
    };
    for name in ["guest", "stranger"] {
        assert_eq!(as_other(name), "000", "{name}");
    }
    assert_eq!(get(&["--cacert", "ca.crt", "-u", PASSWORD]), "000", "without a certificate");
    let (status, body) = curl(&directory, &format!("http://localhost:{port}/metrics"), &[]);
    assert!(status == "400" && body.contains("speaks TLS"), "{status} {body}");
    // The Unix socket is as before.
    assert_eq!(service.get_local("/healthz").status, 200);
    service.stop_clean();
}

#[test]
fn renewed_files_come_into_force_and_broken_ones_do_not() {
    if !has_programs() {
        return;
    }
    let service =
        start(certificates(), "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n");
    let directory = service.directory().to_owned();
    let url = format!("https://{}/metrics", service.address());
    let with = |ca: &str| curl(&directory, &url, &["--cacert", ca]);
    let says = |metric: &str| service.get_local("/metrics").body.contains(metric);
    assert_eq!(with("ca.crt").0, "200");
    // A file that cannot be used changes nothing.
    fs::write(directory.join("web.yml"), "tls_server_config: {cert_file: none.crt, key_file: server.key}\n")
        .unwrap();
    until(
        "the reload fails",
        || with("ca.crt").0,
        |status| {
            assert_eq!(status, "200");
            says("taskscope_web_config_is_current 0")
        },
    );
    // Another authority signs.
    certificate(&directory, "other-ca", "renewed", "IP:127.0.0.1");
    fs::write(
        directory.join("web.yml"),
        "tls_server_config: {cert_file: renewed.crt, key_file: renewed.key}\n",
    )
    .unwrap();
    until("the new certificate", || with("other-ca.crt").0, |status| status == "200");
    assert!(says("taskscope_web_config_is_current 1"));
    assert_eq!(with("ca.crt").0, "000");
    // TLS is not turned off by an empty file, as an editor may leave for a moment.
    fs::write(directory.join("web.yml"), "").unwrap();
    until(
        "the empty file is refused",
        || with("other-ca.crt").0,
        |_| says("taskscope_web_config_is_current 0"),
    );
    assert_eq!(with("other-ca.crt").0, "200");
    service.stop_clean();
}

#[test]
fn those_who_guess_passwords_neither_burn_the_cpu_nor_lock_others_out() {
    if !has_programs() {
        return;
    }
    let service = start(service::directory(), &format!("basic_auth_users:\n  scraper: {HASH}\n"));
    let (directory, url) = (service.directory().to_owned(), format!("http://{}/metrics", service.address()));
    assert_eq!(curl(&directory, &url, &["-u", PASSWORD]).0, "200");
    let cpu = || {
        let text = service.get_local("/metrics").body;
        let line =
            text.lines().find(|line| line.starts_with("process_cpu_seconds_total ")).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let (began, before) = (Instant::now(), cpu());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut statuses = Vec::new();
    std::thread::scope(|scope| {
        let guessing: Vec<_> = (0..8)
            .map(|guesser| {
                let (stop, directory, url) = (&stop, &directory, &url);
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    for number in 0.. {
                        if stop.load(std::sync::atomic::Ordering::Relaxed) {
                            break;
                        }
                        let guess = format!("scraper:{guesser}-{number}");
                        statuses.push(curl(directory, url, &["-u", &guess]).0);
                    }
                    statuses
                })
            })
            .collect();
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(curl(&directory, &url, &["-u", PASSWORD]).0, "200");
            assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
            std::thread::sleep(Duration::from_millis(150));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        statuses = guessing.into_iter().flat_map(|guesser| guesser.join().unwrap()).collect();
    });
    let share = (cpu() - before) / began.elapsed().as_secs_f64();
    // On a slow machine curl gives up (status 000) before the server answers it.
    assert!(statuses.iter().all(|status| ["401", "429", "000"].contains(&status.as_str())), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "429"), "those who wait are limited: {statuses:?}");
    println!("{} guesses, {share:.2} of a CPU", statuses.len());
    assert!(share < 0.6, "{share:.2} of a CPU for {} guesses", statuses.len());
    service.stop_clean();
}

#[test]
fn errors_in_the_files_name_the_file_before_anything_starts() {
    if !has_programs() {
        return;
    }
    let directory = certificates();
    fs::write(directory.join("empty.crt"), "").unwrap();
    for (web, expected) in [
        (
            "tls_server_config: {cert_file: server.crt, key_file: client.key}",
            "server.crt: it does not go with",
        ),
        (
            "tls_server_config: {cert_file: empty.crt, key_file: server.key}",
            "empty.crt: it has no certificate",
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: server.crt}",
            "server.crt: it has no private key",
        ),
        ("tls_server_config: {cert_file: gone.crt, key_file: server.key}", "gone.crt: No such file"),
        (
            "tls_server_config: {cert_file: server.crt, key_file: server.key, cipher_suites: [TLS_X]}",
            "`TLS_X` is not supported",
        ),
        ("basic_auth_users: {a: plain}", "web.yml: line 1: basic_auth_users.a: is not a bcrypt hash"),
        ("{", "web.yml: line "),
    ] {
        let file = directory.join("web.yml");
        fs::write(&file, web).unwrap();
        let output = Command::new(setting::taskscope())
            .args(["run", "--check-config", "--web-config-file"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(expected), "{web}: {text}");
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn compressed_metrics_are_the_same_and_smaller() {
    if !has_programs() {
        return;
    }
    let service = Service::start(&[]);
    let (directory, url) = (service.directory().to_owned(), format!("http://{}/metrics", service.address()));
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("# TYPE "));
        lines.map(str::to_owned).collect()
    };
    let plain = curl(&directory, &url, &[]).1;
    let packed = curl(&directory, &url, &["--compressed"]).1;
    assert_eq!(names(&plain), names(&packed));
    let (_, head) =
        curl(&directory, &url, &["-s", "-o", "/dev/null", "-D", "-", "-H", "Accept-Encoding: gzip"]);
    assert!(head.to_lowercase().contains("content-encoding: gzip"), "{head}");
    let size = |args: &[&str]| {
        let all = [&["-s", "-o", "/dev/null", "-w", "%{size_download}", &url], args].concat();
        String::from_utf8_lossy(&run(&directory, "curl", &all).stdout).parse::<u64>().unwrap()
    };
    let (large, small) = (size(&[]), size(&["-H", "Accept-Encoding: gzip"]));
    println!("{large} bytes, {small} compressed");
    assert!(small * 3 < large, "{small} of {large}");
    let tree = service.json("/v1/status");
    assert!(tree.is_object());
    service.stop_clean();
}

/// A Prometheus; killed when it is dropped.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    fn start(directory: &Path, config: &str) -> Self {
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.unwrap().to_string();
        let program = std::env::var_os("TASKSCOPE_PROMETHEUS").unwrap_or_else(|| "prometheus".into());
        let child = Command::new(program)
            .args([
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                "--enable-feature=exemplar-storage",
            ])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}: apt-get install prometheus"));
        Self { child, address }
    }

    fn ask(&self, directory: &Path, path: &str) -> serde_json::Value {
        let body = curl(directory, &format!("http://{}{path}", self.address), &["-g"]).1;
        serde_json::from_str(&body).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_over_tls_and_keeps_the_exemplar_of_the_oldest_zombie() {
    if !has_programs() {
        return;
    }
    let service = start(certificates(), &format!("{TLS}basic_auth_users:\n  scraper: {HASH}\n"));
    let directory = service.directory().to_owned();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: taskscope\n  scheme: https\n  \
         tls_config: {{ ca_file: ca.crt, cert_file: client.crt, key_file: client.key }}\n  \
         basic_auth: {{ username: scraper, password: correct horse }}\n  static_configs: [ {{ targets: [ '{}' ] }} ]\n",
        service.address()
    );
    let prometheus = Prometheus::start(&directory, &config);
    let value = |query: &str| {
        let answer = prometheus.ask(&directory, &format!("/api/v1/query?query={query}"));
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    until("the scrape", || value("up"), |up| up.as_deref() == Some("1"));
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let mut owing = Vec::new();
    let oldest = until(
        "the zombie is flagged",
        || {
            let answer: serde_json::Value =
                serde_json::from_str(&service.get_local("/v1/zombies").body).unwrap();
            owing = vec![answer.to_string()];
            service.get_local("/metrics").body.contains("taskscope_zombies_flagged_total 0")
        },
        |is_none| !is_none,
    );
    assert!(!oldest);
    let exemplar = until(
        "the exemplar",
        || {
            let path = "/api/v1/query_exemplars?query=taskscope_zombies_flagged_total&start=0&end=9999999999";
            let answer = prometheus.ask(&directory, path);
            answer["data"][0]["exemplars"][0]["labels"]["entity_id"].as_str().map(str::to_owned)
        },
        Option::is_some,
    );
    let id = exemplar.unwrap();
    // The daemon knows the process by that id, and it is a zombie.
    let life = service.get_local(&format!("/v1/explain/{id}"));
    assert_eq!(life.status, 200, "{id}: {}", life.body);
    assert_eq!(
        value("taskscope_build_info").as_deref(),
        Some("1"),
        "OpenMetrics is scraped: the exemplar is in no other format; {owing:?}"
    );
    zombie.go();
    zombie.finish();
    drop(prometheus);
    service.stop_clean();
}
