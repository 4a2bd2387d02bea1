//! Hosts from SRV records of a real name server in a network namespace.

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
};

use taskscope_tests::{
    directory::Directory,
    network::Network,
    service::{self, Service},
    setting, wait,
};

use super::{API, command, parsed, stderr};

/// A name server for example.org; killed when it is dropped.
struct Server(Child);

impl Server {
    fn start(network: &Network) -> std::io::Result<Self> {
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq.args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--pid-file=",
        ]);
        dnsmasq.args([
            "--listen-address=10.77.0.1",
            "--bind-interfaces",
            "--user=root",
            "--local=/example.org/",
        ]);
        dnsmasq.arg(format!("--host-record=node0.example.org,{}", Network::address(0)));
        for (target, port) in [("node0.example.org", 9464), ("node0.example.org", 1)] {
            dnsmasq.arg(format!("--srv-host=_taskscope._tcp.example.org,{target},{port}"));
        }
        dnsmasq.args(["--srv-host=_none._tcp.example.org"]);
        let mut dnsmasq = network.beside(&dnsmasq);
        dnsmasq.stdin(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn srv_records_are_a_list_of_hosts() {
    if setting::skip_in_vm("a guest has no name server") {
        return;
    }
    if Command::new("dnsmasq").arg("--version").output().is_err() {
        return setting::skip("no dnsmasq; cargo xtask test installs it");
    }
    let network = match Network::start(1) {
        Ok(network) => network,
        Err(why) => return setting::skip(format!("no network namespaces with veth: {why}")),
    };
    let server = Server::start(&network).unwrap();
    let directory = service::directory();
    let listen = format!("{}:9464", Network::address(0));
    let inner = service::command(&directory, &[&API[..], &["--listen", &listen]].concat());
    let service = Service::start_with(directory, &[], |outer| *outer = network.on(0, &inner));
    let files = Directory::new("fleet-srv");
    let resolv = files.file("resolv.conf");
    fs::write(&resolv, "nameserver 10.77.0.1\n").unwrap();
    let ask = |args: &[&str]| -> Output {
        let question = command(args);
        // A mount namespace of its own, in which /etc/resolv.conf is another file.
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
        unshare.arg(&resolv).arg(question.get_program()).args(question.get_args());
        network.beside(&unshare).stdin(Stdio::null()).output().unwrap()
    };
    let question = ["status", "--srv", "_taskscope._tcp.example.org", "--timeout", "5s", "--format", "json"];
    wait::until_ok(|| {
        let output = ask(&question);
        let log = stderr(&output);
        if output.stdout.is_empty() {
            return Err(log);
        }
        let (answer, code) = parsed(&output);
        assert_eq!((code, answer["hosts_asked"].as_u64()), (10, Some(2)), "{answer:#}{log}");
        assert_eq!(answer["daemons"][0]["host"], "node0.example.org:9464");
        assert_eq!(
            (&answer["errors"][0]["host"], &answer["errors"][0]["kind"]),
            (&"node0.example.org:1".into(), &"refused".into())
        );
        Ok(())
    });
    for (name, why) in [
        ("_other._tcp.example.org", "NXDOMAIN"),
        ("_none._tcp.example.org", "no SRV record with a host"),
        ("a..b", "it is no name"),
    ] {
        let output = ask(&["status", "--srv", name]);
        let log = stderr(&output);
        assert!(output.status.code() == Some(1) && log.contains(why) && log.contains(name), "{name}: {log}");
    }
    drop(server);
    let output = ask(&["status", "--srv", "_taskscope._tcp.example.org", "--timeout", "1s"]);
    let log = stderr(&output);
    assert!(output.status.code() == Some(1) && log.contains("name servers of /etc/resolv.conf"), "{log}");
    service.stop_clean();
}
