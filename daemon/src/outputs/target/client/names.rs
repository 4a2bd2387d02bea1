//! Looks up names of hosts, on a thread that was created at the start.

use std::{
    fmt,
    net::{IpAddr, ToSocketAddrs as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

/// How long a look-up may take: a little less than everything until an answer.
const LOOKUP_MAX: Duration = Duration::from_secs(9);

/// A question for the thread that looks up names: the host, and where the answer goes.
type Question = (String, oneshot::Sender<Result<Vec<IpAddr>, String>>);

/// Looks up names of hosts.
#[derive(Clone)]
pub(in crate::outputs) struct Names(Option<mpsc::Sender<Question>>);

impl Names {
    /// No names are looked up.
    pub(in crate::outputs) const fn none() -> Self {
        Self(None)
    }

    /// Starts the thread. It ends when the last clone of this is dropped.
    pub(in crate::outputs) fn start() -> std::io::Result<Self> {
        let (sender, questions) = mpsc::channel::<Question>();
        own_lookups_only();
        thread::Builder::new().name("output-names".into()).spawn(move || {
            for (host, answer) in questions {
                // The asker has given up.
                if answer.is_closed() {
                    continue;
                }
                // getaddrinfo(3); it blocks for as long as resolv.conf says.
                let found = (host.as_str(), 0_u16).to_socket_addrs();
                let found = found.map(|all| all.map(|address| address.ip()).collect());
                // The receiver is gone if the daemon ends.
                let _ = answer.send(found.map_err(|error| format!("looking up {host}: {error}")));
            }
        })?;
        Ok(Self(Some(sender)))
    }

    pub(in crate::outputs) async fn find(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let Some(sender) = &self.0 else { return Err(format!("{host} is not an address")) };
        let (answer, answered) = oneshot::channel();
        sender.send((host.to_owned(), answer)).map_err(|_| "no thread looks up names".to_owned())?;
        let answered = timeout(LOOKUP_MAX, answered).await.map_err(|_| {
            format!("looking up {host}: the resolver has not answered within {} s", LOOKUP_MAX.as_secs())
        })?;
        answered.map_err(|_| format!("{host} was not looked up"))?
    }
}

/// Limits name lookups to /etc/hosts and DNS, which a static C library can do by itself. For anything else that the host's
/// nsswitch.conf names, it would load modules that are built for another C library, and crash.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
fn own_lookups_only() {
    use std::ffi::{c_char, c_int};
    // SAFETY: the declaration is that of glibc's <nss.h>.
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    // SAFETY: both strings end with NUL and live for ever; glibc takes its own lock.
    if unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) } != 0 {
        log::warn!(
            "host names are looked up by nsswitch.conf, because glibc refused another order: {}",
            std::io::Error::last_os_error()
        );
    }
}

#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
const fn own_lookups_only() {}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
