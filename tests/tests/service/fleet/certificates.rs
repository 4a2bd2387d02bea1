//! Certificates and passwords, of both sides.

use std::fs;

use taskscope_tests::{
    certificates::{authority, certificate},
    service::{self, Service},
    setting,
};

use super::{API, error, fleet, json, stderr};

/// The bcrypt hash of `correct horse`, cost 10, by libxcrypt.
const HASH: &str = "$2b$10$EBhvFr1CCfI7jzjc6hQTMOcCRXCosquxjyLiaBE.i.Z49aNpEZRSS";

#[test]
fn certificates_and_passwords_are_checked_on_both_sides() {
    if setting::skip_in_vm("a guest has no openssl") {
        return;
    }
    let directory = service::directory();
    for name in ["ca", "other-ca"] {
        authority(&directory, name);
    }
    certificate(&directory, "ca", "server", "DNS:localhost");
    certificate(&directory, "ca", "client", "DNS:operator.example");
    certificate(&directory, "other-ca", "stranger", "DNS:operator.example");
    let web = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: ca.crt\n  \
               client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  scraper: ";
    fs::write(directory.join("web.yml"), format!("{web}{HASH}\n")).unwrap();
    fs::write(directory.join("password"), "scraper:correct horse\n").unwrap();
    fs::write(directory.join("wrong"), "scraper:battery staple\n").unwrap();
    let file = |name: &str| directory.join(name).display().to_string();
    let secure =
        Service::start_in(directory.clone(), &[&API[..], &["--web-config-file", &file("web.yml")]].concat());
    let plain = Service::start(&API);
    let port = secure.address().rsplit_once(':').unwrap().1.to_owned();
    let name = format!("localhost:{port}");
    let (ca, other) = (file("ca.crt"), file("other-ca.crt"));
    let (cert, key) = (file("client.crt"), file("client.key"));
    let (password, wrong) = (file("password"), file("wrong"));
    let mine = ["--cert", &cert, "--key", &key, "--basic-auth-file", &password];
    let ask = |host: &str, more: &[&str]| error(&[&["status", "--hosts", host], more].concat());

    // One list may have both.
    let both = format!("{name},http://{}", plain.address());
    let (answer, code) = json(&[&["status", "--hosts", &both, "--ca", &ca], &mine[..]].concat());
    assert_eq!((code, answer["hosts_answered"].as_u64()), (0, Some(2)), "{answer:#}");

    let (kind, message) = ask(&name, &[&["--ca", &other], &mine[..]].concat());
    assert!(
        kind == "certificate" && message.contains("its certificate is not accepted"),
        "{kind}: {message}"
    );
    let (kind, message) = ask(secure.address(), &[&["--ca", &ca], &mine[..]].concat());
    assert!(kind == "certificate" && message.contains("not valid for name"), "{kind}: {message}");
    let (kind, message) = ask(&name, &["--ca", &ca, "--basic-auth-file", &password]);
    assert!(kind == "certificate" && message.contains("--cert"), "{kind}: {message}");
    let (stranger, its_key) = (file("stranger.crt"), file("stranger.key"));
    let (kind, message) =
        ask(&name, &["--ca", &ca, "--cert", &stranger, "--key", &its_key, "--basic-auth-file", &password]);
    assert!(kind == "certificate" && message.contains("does not accept the client's"), "{kind}: {message}");
    let (kind, message) = ask(&name, &["--ca", &ca, "--cert", &cert, "--key", &key]);
    assert!(kind == "unauthorized" && message.contains("--basic-auth-file"), "{kind}: {message}");
    let with_wrong = ["--ca", &ca, "--cert", &cert, "--key", &key, "--basic-auth-file", &wrong];
    assert_eq!(ask(&name, &with_wrong).0, "unauthorized");
    let (kind, message) = ask(&name, &[]);
    assert!(kind == "tls" && message.contains("--ca FILE"), "{kind}: {message}");
    let (kind, message) = ask(plain.address(), &["--ca", &ca]);
    assert!(kind == "tls" && message.contains("http://"), "{kind}: {message}");

    // Wrong files are reported before any host is asked.
    for (args, why) in [
        (vec!["--hosts", "https://a"], "needs --ca FILE"),
        (vec!["--hosts", "a", "--ca", "/nonexistent"], "/nonexistent"),
        (vec!["--hosts", "a", "--ca", &key], "no certificate in PEM"),
        (vec!["--hosts", "a", "--ca", &ca, "--cert", &cert, "--key", &cert], "no private key"),
        (vec!["--hosts", "a", "--ca", &ca, "--cert", &cert, "--key", &its_key], "does not go with"),
        (vec!["--hosts", "a", "--cert", &cert, "--key", &key], "--cert needs --ca"),
        (vec!["--hosts", "a", "--basic-auth-file", &ca], "USER:PASSWORD"),
    ] {
        let output = fleet(&[&["status"], &args[..]].concat());
        assert!(
            output.status.code() == Some(2) && stderr(&output).contains(why),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    let output = fleet(&[&["status", "--hosts", &name, "--ca", &ca], &mine[..]].concat());
    assert!(stderr(&output).contains("every user may open it"), "{}", stderr(&output));
    plain.stop_clean();
    secure.stop_clean();
}
