//! The thread that serves connections. It starts with the daemon and is separate from the owner of the lineage, so that readers
//! and scrapers cannot delay draining the ring.

use std::{io, net, os::unix, sync::Arc, thread, time::Duration};

use thiserror::Error;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Api, ConnectionCounts, Limits,
    access::Access,
    connections::{
        places::Places,
        reserving::Reserving,
        server::{Answers, serve},
    },
    full, public,
    web::Web,
};
use crate::{
    event_loop,
    fd::spare::Lane,
    service::{descriptors, readers::Attendant, vital::vital},
};

/// How long readers may read the remaining events when the daemon ends.
const FINAL_READ: Duration = Duration::from_millis(500);

/// The thread cannot be started.
#[derive(Debug, Error)]
#[error("starting the thread that serves connections: {0}; raise pids.max or RLIMIT_NPROC")]
pub struct ThreadError(#[from] io::Error);

/// The listeners.
pub(in crate::service) struct Listeners {
    pub(in crate::service) tcp: Option<net::TcpListener>,
    pub(in crate::service) unix: Option<unix::net::UnixListener>,
    /// Host names that requests over TCP may use.
    pub(in crate::service) names: Vec<String>,
    /// Whether TCP serves everything.
    pub(in crate::service) api_on_tcp: bool,
    /// TLS and authentication on TCP.
    pub(in crate::service) web: Option<Arc<Web>>,
}

/// The running thread.
pub(in crate::service) struct HttpThread {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl HttpThread {
    /// `api` makes the handlers' state for an address with this many connections.
    pub(in crate::service) fn start(
        listeners: Listeners,
        api: impl Fn(usize) -> Api,
        attendant: Attendant,
        counts: &Arc<ConnectionCounts>,
        ended: mpsc::Sender<&'static str>,
    ) -> Result<Self, ThreadError> {
        let runtime = event_loop::start().map_err(|error| error.0)?;
        let guard = runtime.enter();
        let Listeners { tcp, unix, names, api_on_tcp, web } = listeners;
        let descriptors = descriptors::for_connections();
        let (for_tcp, for_unix) = (Limits::TCP.within(descriptors), Limits::UNIX.within(descriptors));
        if for_tcp.connections < Limits::TCP.connections {
            log::warn!(
                "RLIMIT_NOFILE leaves room for {} connections on TCP and {} on the socket; raise it (LimitNOFILE= of the unit)",
                for_tcp.connections,
                for_unix.connections
            );
        }
        if let Some(listener) = tcp {
            listener.set_nonblocking(true)?;
            let api = api(for_tcp.connections);
            let answers = Answers {
                router: if api_on_tcp { full(api) } else { public(api) },
                access: Arc::new(Access::Names(names)),
                web,
                is_short: |path| !path.starts_with("/v1/"),
            };
            let places = Places::new(for_tcp, Arc::clone(counts));
            let serving =
                serve(Reserving::new(TcpListener::from_std(listener)?, Lane::Tcp)?, answers, places);
            runtime.spawn(vital("serving TCP", serving, ended.clone()));
        }
        if let Some(listener) = unix {
            listener.set_nonblocking(true)?;
            let answers = Answers {
                router: full(api(for_unix.connections)),
                access: Arc::new(Access::Socket),
                web: None,
                is_short: |path| path != "/v1/events",
            };
            let places = Places::new(for_unix, Arc::clone(counts));
            let serving =
                serve(Reserving::new(UnixListener::from_std(listener)?, Lane::Socket)?, answers, places);
            runtime.spawn(vital("serving the Unix socket", serving, ended.clone()));
        }
        drop(guard);
        let (stop, stopped) = oneshot::channel();
        let left = attendant.clone();
        let thread = thread::Builder::new().name("taskscope-http".into()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(vital("serving readers of events", attendant.attend(), ended));
                // If the owner of the lineage is gone, this thread ends as well.
                let _ = stopped.await;
                let _ = timeout(FINAL_READ, left.all_left()).await;
            });
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread after readers have read all events, or after a time limit.
    pub(in crate::service) fn stop(self) {
        // If this fails, the thread is gone already.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}
