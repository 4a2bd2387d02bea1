//! Settings of the daemon: flags, then a TOML file, then defaults. The flags win.
//!
//! One table of keys feeds the file's reader, the hints for unknown keys, and the manual.

mod file;
mod output;
mod show;

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{file::ConfigError, output::OutputTable};
use crate::{
    duration,
    kernel::object::default_ring_kib,
    lineage::leaks::Thresholds,
    outputs::{self, DEFAULT_JOURNAL_SOCKET, MOST_OUTPUTS, OutputSettings, TargetSettings},
    size,
};

/// The configuration file that is read if no flag names one. The file need not exist.
pub const DEFAULT_FILE: &str = "/etc/taskscope/taskscope.toml";

/// The path of the API's socket.
pub const DEFAULT_SOCKET: &str = "/run/taskscope/taskscope.sock";

/// Settings from the flags or from the file; `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// Address of /metrics; empty: no address.
    pub listen: Option<String>,
    /// Path of the API's Unix socket; empty: no socket.
    pub socket: Option<String>,
    /// Group that may use the socket.
    pub socket_group: Option<String>,
    /// Whether the whole API is served on `listen` too.
    pub api_on_tcp: Option<bool>,
    /// Host names that requests on `listen` may use, besides addresses and localhost.
    pub allowed_hosts: Option<Vec<String>>,
    /// The web configuration file of `listen`: TLS and basic authentication; empty for none.
    pub web_config_file: Option<String>,
    /// The family of hooks: `auto`, `fentry`, `kprobe` or `tracepoint`.
    pub attach: Option<String>,
    /// Size of the ring, KiB.
    pub ring_kib: Option<u32>,
    /// Age at which a zombie is flagged.
    pub zombie_after: Option<Duration>,
    /// Age at which an uninterruptible sleep is flagged.
    pub blocked_after: Option<Duration>,
    /// The time over which to look for leaks other than zombies.
    pub leak_window: Option<Duration>,
    /// Growth by this many threads in that time is a leak; 0 is never.
    pub thread_leak: Option<u32>,
    /// This many quick ends of one program are a respawn loop; 0 is never.
    pub respawn_loop: Option<u32>,
    /// This many forks a second are a storm; 0 is never.
    pub fork_storm: Option<u32>,
    /// Whether processes that have outlived their session are flagged.
    pub living_orphans: Option<bool>,
    /// Interval of comparisons with the kernel while no loss is known.
    pub audit_every: Option<Duration>,
    /// Interval of canaries.
    pub canary_every: Option<Duration>,
    /// The most ended processes that are kept in memory.
    pub dead_lives: Option<usize>,
    /// How long ended processes are kept in memory.
    pub dead_lives_age: Option<Duration>,
    /// The number of events that are kept for readers that resume.
    pub backlog: Option<usize>,
    /// Memory that the daemon may use, such as `256M`; empty: the limit of its cgroup; `0`: no limit.
    pub memory_max: Option<String>,
    /// Number of parents that metrics name.
    pub top: Option<usize>,
    /// The directory of the history on disk; empty for no history.
    pub history: Option<String>,
    /// The most bytes of the history, such as `1G`.
    pub history_size: Option<String>,
    /// How long the history is kept.
    pub history_age: Option<Duration>,
    /// Whether argument vectors of execs are read.
    pub args: Option<bool>,
    /// Whether to count how tasks are scheduled.
    pub sched: Option<bool>,
    /// Whether the daemon restricts its own system calls and files.
    pub sandbox: Option<bool>,
    /// Whether flagged zombies and kills go to the journal if no output says what goes there.
    pub journald: Option<bool>,
    /// Where events are sent.
    pub outputs: Option<Vec<OutputTable>>,
}

/// Settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, clippy::struct_excessive_bools, reason = "as in `Partial`; each is a key of the file")]
pub struct Settings {
    pub listen: Option<SocketAddr>,
    pub socket: Option<PathBuf>,
    pub socket_group: String,
    pub api_on_tcp: bool,
    pub allowed_hosts: Vec<String>,
    pub web_config_file: Option<PathBuf>,
    pub attach: String,
    pub ring_kib: u32,
    pub zombie_after: Duration,
    pub blocked_after: Duration,
    pub leak_window: Duration,
    pub thread_leak: u32,
    pub respawn_loop: u32,
    pub fork_storm: u32,
    pub living_orphans: bool,
    pub audit_every: Duration,
    pub canary_every: Duration,
    pub dead_lives: usize,
    pub dead_lives_age: Duration,
    pub backlog: usize,
    pub memory_max: Option<u64>,
    pub top: usize,
    pub history: Option<PathBuf>,
    pub history_size: u64,
    pub history_age: Duration,
    pub args: bool,
    pub sched: bool,
    pub sandbox: bool,
    pub journald: bool,
    pub outputs: Vec<OutputSettings>,
}

/// The most ended processes that can be kept: they take 3 GB of memory.
const MOST_LIVES: usize = 1 << 24;

/// Defaults of the history's size and age, and the least size: sixteen segments of one frame.
const HISTORY_SIZE: u64 = 1 << 30;
const HISTORY_AGE: Duration = Duration::from_secs(7 * 86_400);
const LEAST_HISTORY: u64 = 1 << 20;

/// The times in which leaks can be looked for.
const LEAK_WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// The keys of the file.
pub const KEYS: [&str; 30] = [
    "listen",
    "socket",
    "socket_group",
    "api_on_tcp",
    "allowed_hosts",
    "web_config_file",
    "attach",
    "ring_kib",
    "zombie_after",
    "blocked_after",
    "leak_window",
    "thread_leak",
    "respawn_loop",
    "fork_storm",
    "living_orphans",
    "audit_every",
    "canary_every",
    "dead_lives",
    "dead_lives_age",
    "backlog",
    "memory_max",
    "top",
    "history",
    "history_size",
    "history_age",
    "args",
    "sched",
    "sandbox",
    "journald",
    "output",
];

/// The keys that SIGHUP can change; the others need a restart.
pub const RELOADABLE: [&str; 8] = [
    "zombie_after",
    "blocked_after",
    "leak_window",
    "thread_leak",
    "respawn_loop",
    "fork_storm",
    "living_orphans",
    "top",
];

impl Partial {
    /// Returns these settings where they are given, else `other`'s.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            socket: self.socket.or(other.socket),
            socket_group: self.socket_group.or(other.socket_group),
            api_on_tcp: self.api_on_tcp.or(other.api_on_tcp),
            allowed_hosts: self.allowed_hosts.or(other.allowed_hosts),
            web_config_file: self.web_config_file.or(other.web_config_file),
            attach: self.attach.or(other.attach),
            ring_kib: self.ring_kib.or(other.ring_kib),
            zombie_after: self.zombie_after.or(other.zombie_after),
            blocked_after: self.blocked_after.or(other.blocked_after),
            leak_window: self.leak_window.or(other.leak_window),
            thread_leak: self.thread_leak.or(other.thread_leak),
            respawn_loop: self.respawn_loop.or(other.respawn_loop),
            fork_storm: self.fork_storm.or(other.fork_storm),
            living_orphans: self.living_orphans.or(other.living_orphans),
            audit_every: self.audit_every.or(other.audit_every),
            canary_every: self.canary_every.or(other.canary_every),
            dead_lives: self.dead_lives.or(other.dead_lives),
            dead_lives_age: self.dead_lives_age.or(other.dead_lives_age),
            backlog: self.backlog.or(other.backlog),
            memory_max: self.memory_max.or(other.memory_max),
            top: self.top.or(other.top),
            history: self.history.or(other.history),
            history_size: self.history_size.or(other.history_size),
            history_age: self.history_age.or(other.history_age),
            args: self.args.or(other.args),
            sched: self.sched.or(other.sched),
            sandbox: self.sandbox.or(other.sandbox),
            journald: self.journald.or(other.journald),
            outputs: self.outputs.or(other.outputs),
        }
    }

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

impl Settings {
    /// Returns when something is a leak.
    #[must_use]
    pub const fn leaks(&self) -> Thresholds {
        Thresholds {
            window: self.leak_window,
            threads: self.thread_leak,
            respawns: self.respawn_loop,
            forks_per_second: self.fork_storm,
            orphans: self.living_orphans,
        }
    }

    /// Returns the outputs in force: those of the configuration and, if none of them is the journal, the default one where journald is
    /// there.
    #[must_use]
    pub fn all_outputs(&self) -> Vec<OutputSettings> {
        let is_journal = |output: &OutputSettings| matches!(output.target, TargetSettings::Journald { .. });
        let mut all = self.outputs.clone();
        if self.journald && !all.iter().any(is_journal) && Path::new(DEFAULT_JOURNAL_SOCKET).exists() {
            let mut journal = outputs::journal();
            if all.iter().any(|output| output.name == journal.name) {
                journal.name = "default-journald".into();
            }
            all.push(journal);
        }
        all
    }

    /// The keys whose values differ.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            self.listen != other.listen,
            self.socket != other.socket,
            self.socket_group != other.socket_group,
            self.api_on_tcp != other.api_on_tcp,
            self.allowed_hosts != other.allowed_hosts,
            self.web_config_file != other.web_config_file,
            self.attach != other.attach,
            self.ring_kib != other.ring_kib,
            self.zombie_after != other.zombie_after,
            self.blocked_after != other.blocked_after,
            self.leak_window != other.leak_window,
            self.thread_leak != other.thread_leak,
            self.respawn_loop != other.respawn_loop,
            self.fork_storm != other.fork_storm,
            self.living_orphans != other.living_orphans,
            self.audit_every != other.audit_every,
            self.canary_every != other.canary_every,
            self.dead_lives != other.dead_lives,
            self.dead_lives_age != other.dead_lives_age,
            self.backlog != other.backlog,
            self.memory_max != other.memory_max,
            self.top != other.top,
            self.history != other.history,
            self.history_size != other.history_size,
            self.history_age != other.history_age,
            self.args != other.args,
            self.sched != other.sched,
            self.sandbox != other.sandbox,
            self.journald != other.journald,
            self.outputs != other.outputs,
        ];
        KEYS.into_iter().zip(differs).filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
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
