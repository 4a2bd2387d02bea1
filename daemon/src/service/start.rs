//! The daemon from its start to its end.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sd_notify::NotifyState;
use thiserror::Error;
use tokio::{
    net::TcpSocket,
    select,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    Service, budget,
    config::{ConfigError, Settings},
    housekeeping::{housekeeping, read_limits},
    http::{
        Api, HttpThread, Listeners, ThreadError, WebError, Workers, WorkersError,
        web::{self, Web},
    },
    notify::{self, say},
    privileges,
    reload::reload_on,
    sandbox::{Paths, Sandbox},
    socket::{self, SocketError},
    status::Status,
    vital::vital,
};
use crate::{
    fd::spare,
    history::History,
    kernel::{
        ladder::{Choice, in_words},
        object::Options,
        observer::ObserveError,
        sched::Sched,
    },
    lineage::Config,
    runtime::{Pipeline, RunError, Trust},
};

/// The most questions that wait for the owner of the lineage.
const QUESTIONS: usize = 64;

/// The most connections that the kernel keeps until they are accepted.
const LISTEN_BACKLOG: u32 = 4096;

/// Why the service ended, or did not start.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The kernel cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The address is in use, or not one of this host's.
    #[error("listening on {address}: {source}; use another --listen, or --listen '' for none")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS or authentication cannot be set up.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The socket cannot be created.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A metric is defined twice, or wrongly.
    #[error("defining the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Capabilities cannot be read or dropped.
    #[error("giving up capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// Signal handlers cannot be installed.
    #[error("preparing for signals: {0}")]
    Signals(io::Error),
    /// The threads that answer could not be started.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// Answers could not be completed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// A part that the daemon cannot do without is gone.
    #[error("{part} ended by a panic, see the log; start taskscope again")]
    Panicked {
        /// The part.
        part: &'static str,
    },
    /// No descriptors are left to hold in reserve.
    #[error(
        "holding file descriptors in reserve: {0}; raise RLIMIT_NOFILE (LimitNOFILE= of the unit, ulimit -n)"
    )]
    Descriptors(io::Error),
    /// Observing ended with an error.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The parameters of the daemon.
pub struct Start {
    /// Settings in force.
    pub settings: Settings,
    /// The file that `reload` reads.
    pub config: PathBuf,
    /// Reads the settings again, for SIGHUP.
    pub reload: Box<dyn Fn() -> Result<Settings, ConfigError> + Send>,
    /// Family of rungs.
    pub choice: Choice,
    /// Another eBPF object than the embedded one.
    pub object: Option<PathBuf>,
    /// Keep every capability.
    pub keep_capabilities: bool,
}

/// Runs the daemon until SIGTERM or Ctrl-C.
pub async fn serve(start: Start) -> Result<(), ServiceError> {
    let Start { settings, config, reload, choice, object, keep_capabilities } = start;
    // Begin with steps that can fail early: another daemon on the socket, a port in use.
    let web_files = match &settings.web_config_file {
        Some(file) => web::files(file)?,
        None => Vec::new(),
    };
    let unix = match &settings.socket {
        Some(path) => Some(socket::bind(path, &settings.socket_group)?),
        None => None,
    };
    let tcp = match settings.listen {
        Some(address) => Some(listen(address).map_err(|source| ServiceError::Listen { address, source })?),
        None => None,
    };
    notify::prepare();
    let mut terminate = signal(SignalKind::terminate()).map_err(ServiceError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServiceError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(ServiceError::Signals)?;

    let mut pipeline = observe(&settings, choice, object.as_deref())?;
    if keep_capabilities {
        log::warn!("all capabilities are kept (--keep-capabilities)");
    } else {
        let dropped = privileges::give_up(&mut pipeline)?;
        log::info!("capabilities: had {}; keeps {}", list(&dropped.before), list(&dropped.after));
    }
    spare::hold().map_err(ServiceError::Descriptors)?;
    let mut service = Service::new(settings.clone(), &pipeline.lineage)?;
    service.follow_hooks(&pipeline)?;
    // Landlock applies to a thread and those that it makes, as capabilities do. So restrict before there is a second thread.
    let paths = paths(&service, config, settings.socket.clone(), web_files);
    service.sandbox.restrict_files(&paths);
    // Start it with the remaining privileges, and before the threads are listed for the filter.
    if let Some(history) = &mut service.history {
        history.start();
    }
    service.outputs.start();
    service.poll_life_readers(&mut pipeline);
    let (sender, mut questions) = mpsc::channel(QUESTIONS);
    let (ended, mut has_ended) = mpsc::channel(1);
    let (unix, socket_file) = unix.unzip();
    let (names, api_on_tcp) = (settings.allowed_hosts.clone(), settings.api_on_tcp);
    // Start it after capabilities are dropped, because each thread drops its own.
    let workers = Workers::start()?;
    // Read the files with the privileges that a reload has.
    let web = settings.web_config_file.as_deref();
    let web =
        web.map(|file| Web::new(file, workers.clone(), Arc::clone(&service.connections))).transpose()?;
    let web = web.map(Arc::new);
    if let Some(address) = tcp.as_ref().and_then(|listener| listener.local_addr().ok()) {
        let scheme = if web.as_ref().is_some_and(|web| web.has_tls()) { "https" } else { "http" };
        log::info!("serving {scheme}://{address}/metrics");
    }
    let http = HttpThread::start(
        Listeners { tcp, unix, names, api_on_tcp, web: web.clone() },
        |connections| Api::new(sender.clone(), workers.clone(), &service.instance, connections),
        service.readers.attendant(),
        &service.connections,
        ended.clone(),
    )?;
    let cgroup_mounts = service.cgroups.mounts().clone();
    let reading = read_limits(sender.clone(), workers.clone(), cgroup_mounts.clone());
    tokio::spawn(vital("reading limits on pids", reading, ended.clone()));
    tokio::spawn(vital(
        "housekeeping",
        housekeeping(sender.clone(), service.memory.is_limited()),
        ended.clone(),
    ));
    let reloading = reload_on(hangup, reload, settings, web, sender.clone());
    tokio::spawn(vital("reloading", reloading, ended.clone()));
    drop(sender);
    // Install the filter last, so that it covers every thread.
    let history = service.history.as_ref().and_then(History::directory);
    let reach = service.outputs.reach().clone();
    service.sandbox.restrict_system_calls(history, &reach);
    log_sandbox(&service.sandbox);
    service.take_limits(&pipeline, budget::PidLimits::of(&cgroup_mounts));
    let observer = &pipeline.observer;
    log::info!("ready: {}", in_words(observer.hooks.iter().chain(&observer.sched_hooks)));
    let line = Status::of(&pipeline, &service).line();
    say(&[NotifyState::Ready, NotifyState::Status(&line)]);

    let mut broken = None;
    let stop = async {
        select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            // Keep `ended` here, so that it is never closed.
            part = has_ended.recv() => broken = part,
        }
        say(&[NotifyState::Stopping]);
    };
    let outcome = pipeline.serve(&mut service, &mut questions, stop).await;
    drop(socket_file);
    log::info!("summary: {}; {}", Status::of(&pipeline, &service).line(), pipeline.sums());
    // Readers get the events up to the end.
    drop(service);
    http.stop();
    drop(ended);
    outcome?;
    broken.map_or(Ok(()), |part| Err(ServiceError::Panicked { part }))
}

/// Returns what the daemon needs of the file system from now on.
fn paths(service: &Service, config: PathBuf, socket: Option<PathBuf>, web: Vec<PathBuf>) -> Paths {
    let history = service.history.as_ref().filter(|history| history.directory().is_some());
    Paths {
        config,
        socket,
        cgroups: service.cgroups.root().map(Path::to_owned),
        names: service.cgroups.directories_of_names(),
        web,
        history: history.map(|history| history.path().to_owned()),
        outputs: service.outputs.reach().clone(),
    }
}

fn log_sandbox(sandbox: &Sandbox) {
    match sandbox.missing() {
        missing if missing.is_empty() => log::info!("sandbox: {sandbox}"),
        missing => {
            // An old kernel, or a capability that was kept on purpose, is not an error.
            let level = if sandbox.is_refused() { log::Level::Warn } else { log::Level::Info };
            log::log!(level, "sandbox: {sandbox}; without {}", missing.join(", without "));
        }
    }
}

/// Returns a listener with a long backlog.
fn listen(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)?.into_std()
}

fn observe(
    settings: &Settings,
    choice: Choice,
    object: Option<&std::path::Path>,
) -> Result<Pipeline, ServiceError> {
    let config = Config {
        zombie_after: settings.zombie_after,
        blocked_after: settings.blocked_after,
        leaks: settings.leaks(),
        exec_args: settings.args,
        dead_lives: settings.dead_lives,
        dead_lives_age: settings.dead_lives_age,
        ..Config::default()
    };
    let options = Options {
        ring_bytes: settings.ring_kib.saturating_mul(1024),
        args: settings.args,
        sched: if settings.sched { Sched::Histograms } else { Sched::No },
    };
    let trust =
        Trust { audit_every: settings.audit_every, canary_every: settings.canary_every, iterator: true };
    Ok(Pipeline::start_with(object, options, choice, config, trust)?)
}

fn list(names: &[String]) -> String {
    match names.len() {
        0 => "none".into(),
        1..=8 => names.join(", "),
        more => format!("{more}, {} among them", names.first().map_or("", String::as_str)),
    }
}
