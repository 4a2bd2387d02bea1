//! A real Prometheus.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use taskscope_tests::{service, wait};

/// Returns the command of another project's program, whose path is in an environment variable.
pub(crate) fn tool(variable: &str, name: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| name.into()))
}

/// A Prometheus; killed when it is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
    directory: PathBuf,
}

/// Encodes a text for a query string.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl Prometheus {
    /// Starts one that scrapes one daemon every second.
    pub(crate) fn start(target: &str) -> Self {
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: taskscope\n  static_configs: [ {{ targets: [ '{target}' ] }} ]\n"
        );
        Self::start_with(&config)
    }

    /// Starts one with this configuration.
    pub(crate) fn start_with(config: &str) -> Self {
        let directory = service::directory();
        let file = directory.join("prometheus.yml");
        fs::write(&file, config).unwrap_or_else(|error| panic!("writing its configuration: {error}"));
        // A port that was free just before.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.unwrap_or_else(|error| panic!("a free port: {error}")).to_string();
        let child = tool("TASKSCOPE_PROMETHEUS", "prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus: {error}: apt-get install prometheus, or cargo xtask test")
            });
        Self { child, address, directory }
    }

    /// Returns the `data` of an answer of its API; fails if it is an error.
    pub(crate) fn ask(&self, path: &str) -> Result<Value, String> {
        // Prometheus listens only after a while.
        if TcpStream::connect(&self.address).is_err() {
            return Err(format!("nobody listens on {}", self.address));
        }
        let text = service::get(&self.address, path).body;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(format!("{path}: {text}")) }
    }

    /// Returns the series that a query results in.
    pub(crate) fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query)))?;
        // A scalar has no series.
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// Queries until a value meets the condition, and returns it.
    #[track_caller]
    pub(crate) fn until(&self, query: &str, come: impl Fn(f64) -> bool) -> f64 {
        wait::until_ok(|| {
            let series = self.query(query)?;
            let value = series.first().and_then(|it| it["value"][1].as_str()).and_then(|it| it.parse().ok());
            let missing = || format!("{query} does not meet the condition: {series:?}");
            value.filter(|value| come(*value)).ok_or_else(missing)
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
