//! The table of keys. Flags and the file give a value for some of them, and the code here is the same for each key.

use std::time::Duration;

use super::{Settings, output::OutputTable};

/// Generates, from one line `field: type = "key of the file"` for each key, the code that is the same for every key.
macro_rules! keys {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $key:literal,)*) => {
        /// The keys of the file.
        pub const KEYS: &[&str] = &[$($key),*];

        /// Settings from the flags or from the file; `None` is the default.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Partial {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl Partial {
            /// Returns these settings, with those of `other` for keys that are not given here.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field)),* }
            }
        }

        impl Settings {
            /// Returns the keys whose values differ.
            #[must_use]
            pub fn changes(&self, other: &Self) -> Vec<&'static str> {
                let differs = [$(self.$field != other.$field),*];
                KEYS.iter().zip(differs).filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
            }
        }
    };
}

keys! {
    /// Address of /metrics; empty: no address.
    listen: String = "listen",
    /// Path of the API's Unix socket; empty: no socket.
    socket: String = "socket",
    /// Group that may use the socket.
    socket_group: String = "socket_group",
    /// Whether the whole API is served on `listen` too.
    api_on_tcp: bool = "api_on_tcp",
    /// Host names that requests on `listen` may use, besides addresses and localhost.
    allowed_hosts: Vec<String> = "allowed_hosts",
    /// The web configuration file of `listen`: TLS and basic authentication; empty for none.
    web_config_file: String = "web_config_file",
    /// The family of hooks: `auto`, `fentry`, `kprobe` or `tracepoint`.
    attach: String = "attach",
    /// Size of the ring, KiB.
    ring_kib: u32 = "ring_kib",
    /// Age at which a zombie is flagged.
    zombie_after: Duration = "zombie_after",
    /// Age at which an uninterruptible sleep is flagged.
    blocked_after: Duration = "blocked_after",
    /// The time over which to look for leaks other than zombies.
    leak_window: Duration = "leak_window",
    /// Growth by this many threads in that time is a leak; 0 is never.
    thread_leak: u32 = "thread_leak",
    /// This many quick ends of one program are a respawn loop; 0 is never.
    respawn_loop: u32 = "respawn_loop",
    /// This many forks a second are a storm; 0 is never.
    fork_storm: u32 = "fork_storm",
    /// Whether processes that have outlived their session are flagged.
    living_orphans: bool = "living_orphans",
    /// Interval of comparisons with the kernel while no loss is known.
    audit_every: Duration = "audit_every",
    /// Interval of canaries.
    canary_every: Duration = "canary_every",
    /// The most ended processes that are kept in memory.
    dead_lives: usize = "dead_lives",
    /// How long ended processes are kept in memory.
    dead_lives_age: Duration = "dead_lives_age",
    /// The number of events that are kept for readers that resume.
    backlog: usize = "backlog",
    /// Memory that the daemon may use, such as `256M`; empty: the limit of its cgroup; `0`: no limit.
    memory_max: String = "memory_max",
    /// Number of parents, and of units, that metrics name.
    top: usize = "top",
    /// The directory of the history on disk; empty for no history.
    history: String = "history",
    /// The most bytes of the history, such as `1G`.
    history_size: String = "history_size",
    /// How long the history is kept.
    history_age: Duration = "history_age",
    /// Whether argument vectors of execs are read.
    args: bool = "args",
    /// Whether to count how tasks are scheduled.
    sched: bool = "sched",
    /// Whether the daemon restricts its own system calls and files.
    sandbox: bool = "sandbox",
    /// Whether flagged zombies and kills go to the journal if no output says what goes there.
    journald: bool = "journald",
    /// Where events are sent.
    outputs: Vec<OutputTable> = "output",
}

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
