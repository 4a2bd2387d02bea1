//! The daemon's answers and its process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};

const ADDRESS: &str = "127.0.0.1:9753";
pub(crate) const SOCKET: &str = "/run/taskscope/taskscope.sock";
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends a GET request over TCP.
pub(crate) fn get(path: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(ADDRESS).with_context(|| format!("connecting to {ADDRESS}"))?;
    stream.set_read_timeout(Some(DEADLINE)).context("limiting a wait")?;
    ask(stream, path)
}

/// Sends a GET request over the service's socket.
pub(crate) fn get_local(path: &str) -> anyhow::Result<String> {
    get_at(SOCKET, path)
}

/// Sends a GET request over a socket.
pub(crate) fn get_at(socket: &str, path: &str) -> anyhow::Result<String> {
    let stream = UnixStream::connect(socket).with_context(|| format!("connecting to {socket}"))?;
    stream.set_read_timeout(Some(DEADLINE)).context("limiting a wait")?;
    ask(stream, path)
}

fn ask(mut stream: impl Read + Write, path: &str) -> anyhow::Result<String> {
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").with_context(|| format!("asking for {path}"))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).with_context(|| format!("reading {path}"))?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("{path}: no HTTP: {text}"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("{path}: {status}: {}", body.trim());
    }
    Ok(body.to_owned())
}

/// Scrapes; returns the value of each sample, by its name with the labels as written.
pub(crate) fn metrics() -> anyhow::Result<BTreeMap<String, f64>> {
    samples(&get("/metrics")?)
}

/// Parses a scrape: value by sample.
pub(crate) fn samples(body: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    body.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            Ok((name.to_owned(), value.parse().with_context(|| format!("no value: {line}"))?))
        })
        .collect()
}

/// Returns the value of one sample.
pub(crate) fn metric(name: &str) -> anyhow::Result<f64> {
    metrics()?.get(name).copied().with_context(|| format!("/metrics has no {name}"))
}

/// Returns a field of `/proc/PID/status`.
pub(crate) fn status(pid: i32, field: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("{path} has no {field}"))?.trim().to_owned())
}
