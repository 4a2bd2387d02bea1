//! Scrapes, as Prometheus makes them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// Returns one page of metrics.
pub(crate) fn scrape(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).with_context(|| format!("reading from {address}"))?;
    if !text.starts_with("HTTP/1.1 200") {
        bail!("{address} answered {}", text.lines().next().unwrap_or_default());
    }
    Ok(text)
}

/// Waits until the exporter listens: with many tasks some exporters read all of them first.
pub(crate) fn until_open(address: &str) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(120);
    while let Err(error) = TcpStream::connect(address) {
        if Instant::now() > end {
            return Err(error).with_context(|| format!("no program listens on {address}"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Returns the sum of all series of a metric.
pub(crate) fn sum(page: &str, metric: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.trim().parse::<f64>().ok()
    };
    page.lines().filter_map(of).sum()
}
