//! Adds the defaults and checks the settings. Each error names its key.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{ConfigError, DEFAULT_SOCKET, OutputTable, Partial, Settings};
use crate::{
    duration,
    kernel::object::default_ring_kib,
    lineage::leaks::Thresholds,
    outputs::{MOST_OUTPUTS, OutputSettings},
    size,
};

/// The most ended processes that can be kept: they take 3 GB of memory.
const MOST_LIVES: usize = 1 << 24;

/// Defaults of the history's size and age, and the least size: sixteen segments of one frame.
const HISTORY_SIZE: u64 = 1 << 30;
const HISTORY_AGE: Duration = Duration::from_secs(7 * 86_400);
const LEAST_HISTORY: u64 = 1 << 20;

/// The times in which leaks can be looked for.
const LEAK_WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

impl Partial {
    /// Adds the defaults and checks all settings.
    pub fn settle(self) -> Result<Settings, ConfigError> {
        let wrong = |key, what: String| ConfigError::Setting { key, what };
        let listen = self.listen.unwrap_or_else(|| "127.0.0.1:9753".into());
        let listen = match listen.as_str() {
            "" => None,
            address => Some(address.parse().map_err(|_| {
                wrong("listen", format!("`{address}` is not an address and port such as 127.0.0.1:9753"))
            })?),
        };
        let socket = self.socket.unwrap_or_else(|| DEFAULT_SOCKET.into());
        let leaks = Thresholds::default();
        let settings = Settings {
            listen,
            socket: (!socket.is_empty()).then(|| PathBuf::from(socket)),
            socket_group: self.socket_group.unwrap_or_else(|| "taskscope".into()),
            api_on_tcp: self.api_on_tcp.unwrap_or(false),
            allowed_hosts: self.allowed_hosts.unwrap_or_default(),
            web_config_file: self.web_config_file.filter(|path| !path.is_empty()).map(PathBuf::from),
            attach: self.attach.unwrap_or_else(|| "auto".into()),
            ring_kib: self.ring_kib.unwrap_or_else(default_ring_kib),
            zombie_after: self.zombie_after.unwrap_or(Duration::from_secs(10)),
            blocked_after: self.blocked_after.unwrap_or(Duration::from_secs(10)),
            leak_window: self.leak_window.unwrap_or(leaks.window),
            thread_leak: self.thread_leak.unwrap_or(leaks.threads),
            respawn_loop: self.respawn_loop.unwrap_or(leaks.respawns),
            fork_storm: self.fork_storm.unwrap_or(leaks.forks_per_second),
            living_orphans: self.living_orphans.unwrap_or(leaks.orphans),
            audit_every: self.audit_every.unwrap_or(Duration::from_secs(300)),
            canary_every: self.canary_every.unwrap_or(Duration::from_secs(15)),
            dead_lives: self.dead_lives.unwrap_or(16 * 1024),
            dead_lives_age: self.dead_lives_age.unwrap_or(Duration::from_secs(15 * 60)),
            backlog: self.backlog.unwrap_or(8192),
            memory_max: match self.memory_max.as_deref() {
                None | Some("") => None,
                Some(size) => Some(size::parse(size).map_err(|what| wrong("memory_max", what))?),
            },
            top: self.top.unwrap_or(20),
            history: self.history.filter(|path| !path.is_empty()).map(PathBuf::from),
            history_size: match self.history_size.as_deref() {
                None => HISTORY_SIZE,
                Some(size) => size::parse(size).map_err(|what| wrong("history_size", what))?,
            },
            history_age: self.history_age.unwrap_or(HISTORY_AGE),
            args: self.args.unwrap_or(false),
            sched: self.sched.unwrap_or(false),
            sandbox: self.sandbox.unwrap_or(true),
            journald: self.journald.unwrap_or(true),
            outputs: settle_outputs(self.outputs.unwrap_or_default())?,
        };
        if !["auto", "kprobe", "fentry", "tracepoint"].contains(&settings.attach.as_str()) {
            let what = format!("`{}` is not one of auto, kprobe, fentry, tracepoint", settings.attach);
            return Err(wrong("attach", what));
        }
        if let Some(name) = settings.allowed_hosts.iter().find(|name| !is_host_name(name)) {
            return Err(wrong(
                "allowed_hosts",
                format!("`{name}` is not the name of a host, without a port"),
            ));
        }
        if settings.web_config_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            let what = "it is not an absolute path such as /etc/taskscope/web.yml";
            return Err(wrong("web_config_file", what.into()));
        }
        if settings.web_config_file.is_some() && settings.listen.is_none() {
            return Err(wrong("web_config_file", "it is for `listen`, which is off".into()));
        }
        if !(4..=1_048_576).contains(&settings.ring_kib) {
            return Err(wrong("ring_kib", format!("{} is not between 4 and 1048576", settings.ring_kib)));
        }
        if !LEAK_WINDOWS.contains(&settings.leak_window) {
            let what = format!("{} is not between 1s and 7d", duration::text(settings.leak_window));
            return Err(wrong("leak_window", what));
        }
        if settings.respawn_loop == 1 {
            return Err(wrong("respawn_loop", "1 is no loop: use 2 or more, or 0 for never".into()));
        }
        if settings.top > 1000 {
            return Err(wrong("top", format!("{} is more than 1000", settings.top)));
        }
        if settings.dead_lives > MOST_LIVES {
            let what = format!("{} is more than {MOST_LIVES}", settings.dead_lives);
            return Err(wrong("dead_lives", what));
        }
        if settings.backlog > 1 << 20 {
            return Err(wrong("backlog", format!("{} is more than {}", settings.backlog, 1 << 20)));
        }
        if settings.history.as_ref().is_some_and(|path| !path.is_absolute()) {
            let what = "it is not an absolute path such as /var/lib/taskscope";
            return Err(wrong("history", what.into()));
        }
        if settings.history_size < LEAST_HISTORY {
            let what = format!("{} is less than {}", settings.history_size, size::text(LEAST_HISTORY));
            return Err(wrong("history_size", what));
        }
        if settings.listen.is_none() && settings.socket.is_none() {
            return Err(wrong(
                "listen and socket",
                "both are off, so that no client could connect; set one of them".into(),
            ));
        }
        Ok(settings)
    }
}

impl Partial {
    /// Reads the certificates and keys of outputs, to find errors in them before the daemon starts. A reload does not call this:
    /// the outputs read changed files by themselves.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        for OutputTable { draft, place } in self.outputs.iter().flatten() {
            let wrong = |(key, what)| ConfigError::Output { place: place.clone(), key, what };
            draft.clone().settle().and_then(|output| output.check_files()).map_err(wrong)?;
        }
        Ok(())
    }
}

/// Adds the defaults of outputs and checks them.
fn settle_outputs(tables: Vec<OutputTable>) -> Result<Vec<OutputSettings>, ConfigError> {
    if tables.len() > MOST_OUTPUTS {
        let what = format!("{} are more than {MOST_OUTPUTS}", tables.len());
        return Err(ConfigError::Setting { key: "output", what });
    }
    let mut settled: Vec<OutputSettings> = Vec::new();
    for OutputTable { draft, place } in tables {
        let wrong = |key, what| ConfigError::Output { place: place.clone(), key, what };
        let output = draft.settle().map_err(|(key, what)| wrong(key, what))?;
        if settled.iter().any(|other| other.name == output.name) {
            let what = format!("`{}` is the name of another output; give each a `name`", output.name);
            return Err(wrong("name", what));
        }
        if output.spill.is_some() && settled.iter().any(|other| other.spill == output.spill) {
            return Err(wrong("spill", "another output has the same file".into()));
        }
        settled.push(output);
    }
    Ok(settled)
}

/// Whether a text is a host name: letters, digits and separators. A full stop at the end is removed before.
fn is_host_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let file = Partial { top: Some(3), backlog: Some(4), ..Partial::default() };
        let flags = Partial { top: Some(9), ..Partial::default() };
        let settings = flags.or(file).settle().unwrap();
        assert_eq!((settings.top, settings.backlog), (9, 4));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (partial, key) in [
            (Partial { listen: Some("9753".into()), ..Partial::default() }, "listen"),
            (Partial { attach: Some("uprobe".into()), ..Partial::default() }, "attach"),
            (
                Partial { allowed_hosts: Some(vec!["node1:9753".into()]), ..Partial::default() },
                "allowed_hosts: `node1:9753`",
            ),
            (Partial { web_config_file: Some("web.yml".into()), ..Partial::default() }, "web_config_file"),
            (
                Partial {
                    web_config_file: Some("/w".into()),
                    listen: Some(String::new()),
                    ..Partial::default()
                },
                "web_config_file: it is for `listen`",
            ),
            (Partial { ring_kib: Some(1), ..Partial::default() }, "ring_kib"),
            (
                Partial { leak_window: Some(Duration::from_millis(10)), ..Partial::default() },
                "leak_window: 10ms",
            ),
            (Partial { respawn_loop: Some(1), ..Partial::default() }, "respawn_loop: 1 is no loop"),
            (Partial { memory_max: Some("much".into()), ..Partial::default() }, "memory_max"),
            (Partial { dead_lives: Some(1 << 40), ..Partial::default() }, "dead_lives"),
            (
                Partial { listen: Some(String::new()), socket: Some(String::new()), ..Partial::default() },
                "both are off",
            ),
        ] {
            let error = partial.settle().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
