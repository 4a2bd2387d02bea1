//! `taskscope run`: the daemon.

use std::{path::PathBuf, time::Duration};

use super::{Attach, exit::Exit, output};
use crate::{
    event_loop,
    kernel::privilege,
    service::{
        self, ServiceError, Start,
        config::{ConfigError, DEFAULT_FILE, Partial, Settings},
        http::web,
    },
};

/// Arguments of `run`.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
Examples:
  taskscope run                                      metrics on 127.0.0.1:9753, API on the Unix socket
  taskscope run --listen 0.0.0.0:9753 --zombie-after 1m
  taskscope run --listen 0.0.0.0:9753 --web-config-file /etc/taskscope/web.yml
  taskscope run --check-config --config ./taskscope.toml

Signals: SIGTERM and Ctrl-C end the daemon after it has handled all records; SIGHUP reloads the configuration and logs the keys that need a restart.")]
pub(super) struct Args {
    /// Configuration in TOML; flags take precedence over it [default: /etc/taskscope/taskscope.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration, print the settings in force, and exit
    #[arg(long)]
    check_config: bool,
    /// Address of /metrics, '' for none [default: 127.0.0.1:9753]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Unix socket of the API, '' for none [default: /run/taskscope/taskscope.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// Group that may use the socket [default: taskscope]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,
    /// Serve the whole API on --listen instead of only metrics and health
    #[arg(long)]
    api_on_tcp: bool,
    /// Also answer requests on --listen for this host name; IP addresses and localhost are always allowed; can be repeated
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
    /// TLS, client certificates and basic authentication for --listen: a web configuration file as for Prometheus exporters
    /// [default: none]
    #[arg(long, value_name = "FILE")]
    web_config_file: Option<String>,
    /// Attach each hook only by this kind of program
    #[arg(long, value_enum)]
    attach: Option<Attach>,
    /// Size of the ring between kernel and taskscope, in KiB; rounded up to a power of two [default: by the number of CPUs]
    #[arg(long, value_name = "KIB")]
    ring_kib: Option<u32>,
    /// Age at which a zombie is flagged [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    zombie_after: Option<Duration>,
    /// Duration at which an uninterruptible sleep (state D) is flagged; 0s is never [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    blocked_after: Option<Duration>,
    /// Time over which to look for leaks other than zombies: see docs/leaks.md [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    leak_window: Option<Duration>,
    /// Flag a process that gained this many threads in that time, if hardly any thread exited; 0 is never [default: 100]
    #[arg(long, value_name = "N")]
    thread_leak: Option<u32>,
    /// Flag a program that failed quickly this many times and was restarted each time; 0 is never [default: 5]
    #[arg(long, value_name = "N")]
    respawn_loop: Option<u32>,
    /// Flag a process, or a family of processes, that forks this many times a second; 0 is never [default: 1000]
    #[arg(long, value_name = "N")]
    fork_storm: Option<u32>,
    /// Do not flag processes that outlive their session
    #[arg(long)]
    no_living_orphans: bool,
    /// How often the tree is compared with the kernel's tasks even if no loss is known; 0s is never [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    audit_every: Option<Duration>,
    /// Interval of canaries, short-lived processes by which taskscope checks itself; 0s is never [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    canary_every: Option<Duration>,
    /// How many ended processes are remembered at most [default: 16384]
    #[arg(long, value_name = "N")]
    dead_lives: Option<usize>,
    /// How long ended processes are remembered [default: 15m]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    dead_lives_age: Option<Duration>,
    /// Number of events kept for readers that reconnect; while nobody reads events, none are kept if this number would cover less
    /// than ten seconds [default: 8192]
    #[arg(long, value_name = "N")]
    backlog: Option<usize>,
    /// Memory that taskscope may use, such as 256M; 0 is no limit. Above 80 % of it the daemon drops the backlog, then ended
    /// processes, then refuses new readers [default: 90 % of the limit of its memory cgroup]
    #[arg(long, value_name = "SIZE")]
    memory_max: Option<String>,
    /// How many parents metrics name, those with the most zombies first, and how many units and containers [default: 20]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Directory for the history of ended processes and rare events, such as /var/lib/taskscope (docs/lives.md)
    /// [default: none]
    #[arg(long, value_name = "DIR")]
    history: Option<String>,
    /// Maximum size of the history, such as 1G; the oldest segment is removed first [default: 1G]
    #[arg(long, value_name = "SIZE")]
    history_size: Option<String>,
    /// How long the history is kept [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    history_age: Option<Duration>,
    /// Read argument vectors of execs; they can hold secrets
    #[arg(long = "args")]
    argument_vectors: bool,
    #[expect(clippy::doc_markdown, reason = "the text of --help")]
    /// Measure run-queue latency and off-CPU time by unit and container: taskscope_sched_* in /metrics. Loads eBPF programs that
    /// run at each context switch and wakeup
    #[arg(long)]
    sched: bool,
    /// Do not restrict the daemon's own system calls and files. Without this flag the daemon installs seccomp and Landlock filters
    /// (if the kernel has them) as soon as its programs are attached
    #[arg(long)]
    no_sandbox: bool,
    /// Do not write flagged zombies, kills and losses to the journal. To choose what is sent where, add [[output]] to the configuration
    #[arg(long)]
    no_journald: bool,
    /// Keep all capabilities, for development of taskscope
    #[arg(long, hide_short_help = true)]
    keep_capabilities: bool,
    /// Use this eBPF object instead of the embedded one, for development of the programs
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    object: Option<PathBuf>,
}

impl Args {
    fn flags(&self) -> Partial {
        Partial {
            listen: self.listen.clone(),
            socket: self.socket.clone(),
            socket_group: self.socket_group.clone(),
            api_on_tcp: self.api_on_tcp.then_some(true),
            allowed_hosts: (!self.allowed_host.is_empty()).then(|| self.allowed_host.clone()),
            web_config_file: self.web_config_file.clone(),
            attach: self.attach.and_then(|attach| {
                use clap::ValueEnum as _;
                attach.to_possible_value().map(|value| value.get_name().to_owned())
            }),
            ring_kib: self.ring_kib,
            zombie_after: self.zombie_after,
            blocked_after: self.blocked_after,
            leak_window: self.leak_window,
            thread_leak: self.thread_leak,
            respawn_loop: self.respawn_loop,
            fork_storm: self.fork_storm,
            living_orphans: self.no_living_orphans.then_some(false),
            audit_every: self.audit_every,
            canary_every: self.canary_every,
            dead_lives: self.dead_lives,
            dead_lives_age: self.dead_lives_age,
            backlog: self.backlog,
            memory_max: self.memory_max.clone(),
            top: self.top,
            history: self.history.clone(),
            history_size: self.history_size.clone(),
            history_age: self.history_age,
            args: self.argument_vectors.then_some(true),
            sched: self.sched.then_some(true),
            sandbox: self.no_sandbox.then_some(false),
            journald: self.no_journald.then_some(false),
            outputs: None,
        }
    }

    /// Reads the settings in force.
    fn settings(&self) -> Result<Settings, ConfigError> {
        self.given()?.settle()
    }

    /// Reads the settings in force, and checks the files that they name.
    fn checked_settings(&self) -> Result<Settings, ConfigError> {
        let given = self.given()?;
        given.check_files()?;
        given.settle()
    }

    /// Reads the flags and the file, without defaults.
    fn given(&self) -> Result<Partial, ConfigError> {
        let file = match &self.config {
            Some(file) => Partial::read(file)?,
            None => match Partial::read(DEFAULT_FILE.as_ref()) {
                Err(ConfigError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    Partial::default()
                }
                other => other?,
            },
        };
        Ok(self.flags().or(file))
    }
}

/// Runs `run`.
pub(super) fn run(args: &Args) -> Exit {
    let settings = match args.checked_settings() {
        Ok(settings) => settings,
        Err(error) => {
            log::error!("{error}");
            return Exit::Usage;
        }
    };
    if args.check_config {
        if let Some(Err(error)) = settings.web_config_file.as_deref().map(web::files) {
            log::error!("{error}");
            return Exit::Usage;
        }
        return output::answer(&settings.to_string()).into();
    }
    // Before the socket is created: a daemon that cannot observe leaves nothing behind.
    let missing = privilege::missing();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|capability| capability.name).collect();
        log::error!(
            "not permitted to observe the kernel: {} missing; run the daemon as root (sudo taskscope run) or by its unit \
             (systemctl start taskscope)",
            names.join(" and ")
        );
        return Exit::Privilege;
    }
    let again = args.clone();
    let start = Start {
        choice: args.attach.or_else(|| attach_of(&settings)).unwrap_or_default().into(),
        settings,
        config: args.config.clone().unwrap_or_else(|| DEFAULT_FILE.into()),
        reload: Box::new(move || again.settings()),
        object: args.object.clone(),
        keep_capabilities: args.keep_capabilities,
    };
    // One thread, because each thread gives up capabilities only for itself.
    let runtime = match event_loop::start() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(error),
    };
    match runtime.block_on(service::serve(start)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("{error}");
            match &error {
                ServiceError::Observe(observe) => observe.into(),
                _ => Exit::Failure,
            }
        }
    }
}

fn attach_of(settings: &Settings) -> Option<Attach> {
    use clap::ValueEnum as _;
    Attach::from_str(&settings.attach, false).ok()
}
