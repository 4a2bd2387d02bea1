//! Asking a guest that says nothing any more what it does, through QEMU's monitor.
//!
//! Protocol: <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fmt::Write as _, fs, process};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// QEMU answers at once, or it hangs itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket of one QEMU's monitor; the file goes with the value.
#[derive(Debug)]
pub(super) struct Monitor {
    path: PathBuf,
}

impl Monitor {
    /// In the directory for temporary files: the path of a socket has room for some hundred letters only.
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { path: env::temp_dir().join(format!("taskscope-vm-{}-{count}.qmp", process::id())) }
    }

    /// The value of QEMU's `-qmp`.
    pub(super) fn option(&self) -> String {
        format!("unix:{},server=on,wait=off", self.path.display())
    }

    /// Writes where each CPU is, several times, and then interrupts the kernel so that it panics with what it knows.
    ///
    /// The command line of the guest has `unknown_nmi_panic`.
    pub(super) fn interrogate(&self, into: &Path) -> anyhow::Result<()> {
        let mut session = Session::open(&self.path)?;
        let mut text = String::new();
        for look in 1..=3 {
            for command in ["info status", "info cpus", "info registers -a"] {
                let answer = session.ask("human-monitor-command", &json!({ "command-line": command }))?;
                let _ = writeln!(text, "--- look {look}: {command}\n{}", answer.as_str().unwrap_or_default());
            }
        }
        fs::write(into, text).with_context(|| format!("writing {}", into.display()))?;
        session.ask("inject-nmi", &json!({})).map(drop)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                eprintln!("vm: removing {}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// A connection that has been greeted.
struct Session {
    reader: BufReader<UnixStream>,
}

impl Session {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("connecting to QEMU's monitor {}", path.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).context("limiting a wait for QEMU's monitor")?;
        let mut session = Self { reader: BufReader::new(stream) };
        // The greeting comes unasked.
        session.next()?;
        session.ask("qmp_capabilities", &json!({}))?;
        Ok(session)
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> anyhow::Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{line}").with_context(|| format!("asking QEMU to {command}"))?;
        loop {
            let answer = self.next().with_context(|| format!("asking QEMU to {command}"))?;
            match (answer.get("return"), answer.get("error")) {
                (Some(value), _) => return Ok(value.clone()),
                (_, Some(error)) => bail!("QEMU's monitor refuses {command}: {error}"),
                // An event.
                _ => {}
            }
        }
    }

    fn next(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("reading from QEMU's monitor")? == 0 {
            bail!("QEMU's monitor closed");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor said `{}`", line.trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Answers each command with its own name, an event first.
    fn serve(listener: &UnixListener) -> Vec<String> {
        let (stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        (&stream).write_all(b"{\"QMP\":{}}\n").unwrap();
        for line in BufReader::new(&stream).lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let command = line["execute"].as_str().unwrap().to_owned();
            let answer = format!("{{\"event\":\"X\"}}\n{{\"return\":\"answer to {command}\"}}\n");
            (&stream).write_all(answer.as_bytes()).unwrap();
            asked.push(command);
        }
        asked
    }

    #[test]
    fn a_silent_guest_is_looked_at_and_then_interrupted() {
        let monitor = Monitor::new();
        let into = monitor.path.with_extension("cpus");
        let listener = UnixListener::bind(&monitor.path).unwrap();
        let server = thread::spawn(move || serve(&listener));
        monitor.interrogate(&into).unwrap();
        let asked = server.join().unwrap();
        assert_eq!(asked.first().unwrap(), "qmp_capabilities");
        assert_eq!(asked.last().unwrap(), "inject-nmi");
        assert!(fs::read_to_string(&into).unwrap().contains("answer to human-monitor-command"));
        fs::remove_file(into).unwrap();
        let path = monitor.path.clone();
        drop(monitor);
        assert!(!path.exists());
    }
}
