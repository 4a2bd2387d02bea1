//! Makes a silent guest print its state, through QEMU's monitor.
//!
//! Protocol: <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fmt::Write as _, fs, process};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Limit for an answer of QEMU, which answers at once unless it hangs.
const DEADLINE: Duration = Duration::from_secs(10);
/// After this time without a message, the kernel's answer is complete, or there is none.
const QUIET: Duration = Duration::from_secs(3);
/// Magic system request keys: all messages, blocked tasks, all tasks, the state of each CPU.
///
/// See <https://docs.kernel.org/admin-guide/sysrq.html>.
const KEYS: [u8; 4] = *b"8wtl";
/// QEMU's name of the console.
const CONSOLE: &str = "console";

/// The sockets of one QEMU's monitor and of its guest's console, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Monitor {
    path: PathBuf,
    console: PathBuf,
}

impl Monitor {
    /// Makes the paths in the directory for temporary files, because the path of a socket has about a hundred bytes only.
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let place = |kind| env::temp_dir().join(format!("taskscope-vm-{}-{count}.{kind}", process::id()));
        Self { path: place("qmp"), console: place("console") }
    }

    /// Returns QEMU's options for the monitor, and for a console on the first serial port that is written to `log`.
    pub(super) fn options(&self, log: &Path) -> [String; 6] {
        let server = "server=on,wait=off";
        [
            "-qmp".to_owned(),
            format!("unix:{},{server}", self.path.display()),
            "-chardev".to_owned(),
            format!("socket,id={CONSOLE},path={},{server},logfile={}", self.console.display(), log.display()),
            "-serial".to_owned(),
            format!("chardev:{CONSOLE}"),
        ]
    }

    /// Writes the registers of each CPU several times, makes the kernel print the stacks of its tasks (`SysRq`), and then
    /// injects an NMI, on which the kernel panics and prints its state. The NMI works even if interrupts are disabled.
    ///
    /// Returns whether the kernel printed anything before the NMI: if so, the kernel runs, and a program hangs.
    /// The kernel's command line has `sysrq_always_enabled` and `unknown_nmi_panic`.
    pub(super) fn interrogate(&self, into: &Path) -> anyhow::Result<bool> {
        let mut session = Session::open(&self.path)?;
        let mut text = String::new();
        for look in 1..=3 {
            for command in ["info status", "info cpus", "info registers -a"] {
                let answer = session.ask("human-monitor-command", &json!({ "command-line": command }))?;
                let _ = writeln!(text, "--- look {look}: {command}\n{}", answer.as_str().unwrap_or_default());
            }
        }
        fs::write(into, text).with_context(|| format!("writing {}", into.display()))?;
        let mut console = UnixStream::connect(&self.console)
            .with_context(|| format!("connecting to the console {}", self.console.display()))?;
        console.set_read_timeout(Some(QUIET)).context("limiting a wait for the console")?;
        let mut answered = false;
        for key in KEYS {
            session.ask("chardev-send-break", &json!({ "id": CONSOLE }))?;
            console.write_all(&[key]).context("writing to the console")?;
            // QEMU also writes the console to its log. This only shows whether the kernel printed anything.
            let mut taken = [0; 4096];
            while console.read(&mut taken).is_ok_and(|count| count > 0) {
                answered = true;
            }
        }
        // Emulated arm64 machines have no NMI; what the kernel answered to the keys holds without one.
        if let Err(error) = session.ask("inject-nmi", &json!({})) {
            eprintln!("vm: interrupting the silent guest: {error:#}");
        }
        Ok(answered)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        for path in [&self.path, &self.console] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    eprintln!("vm: removing {}: {error}", path.display());
                }
                _ => {}
            }
        }
    }
}

/// A connection to the monitor, after its greeting.
struct Session {
    reader: BufReader<UnixStream>,
}

impl Session {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("connecting to QEMU's monitor {}", path.display()))?;
        stream.set_read_timeout(Some(DEADLINE)).context("limiting a wait for QEMU's monitor")?;
        let mut session = Self { reader: BufReader::new(stream) };
        // QEMU sends the greeting without a request.
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
                // This message is an event.
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

    /// Sends an event, and then answers each command with the command's name.
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
    fn a_silent_guest_is_examined_and_then_interrupted() {
        let monitor = Monitor::new();
        let into = monitor.path.with_extension("cpus");
        let listener = UnixListener::bind(&monitor.path).unwrap();
        let console = UnixListener::bind(&monitor.console).unwrap();
        let server = thread::spawn(move || serve(&listener));
        let typed = thread::spawn(move || {
            let (mut stream, _) = console.accept().unwrap();
            let mut keys = [0; KEYS.len()];
            stream.read_exact(&mut keys).unwrap();
            stream.write_all(b"sysrq: Show State").unwrap();
            keys
        });
        assert!(monitor.interrogate(&into).unwrap());
        let asked = server.join().unwrap();
        assert_eq!(typed.join().unwrap(), KEYS);
        assert_eq!(asked.iter().filter(|command| *command == "chardev-send-break").count(), KEYS.len());
        assert_eq!(asked.first().unwrap(), "qmp_capabilities");
        assert_eq!(asked.last().unwrap(), "inject-nmi");
        assert!(fs::read_to_string(&into).unwrap().contains("answer to human-monitor-command"));
        fs::remove_file(into).unwrap();
        let (path, console) = (monitor.path.clone(), monitor.console.clone());
        drop(monitor);
        assert!(!path.exists() && !console.exists());
    }
}
