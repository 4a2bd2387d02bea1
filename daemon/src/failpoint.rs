//! Calls that a test can make fail: fault injection with the crate `fail`.
//!
//! This needs the feature `failpoints`, which no package has. Without the feature [`check`] is always `Ok`, and compiles to no
//! code.
//!
//! `TASKSCOPE_FAILPOINTS` names a file whose lines are `POINT=ACTION`, such as `proc.read=1*return(5)`: reading a file of
//! /proc fails once, with errno 5. The file is read at the start, and again a few times a second if it has changed ([`follow`]), so
//! that a test can end the failure, as tests/tests/faults/failpoints.rs does.

#[cfg(not(feature = "failpoints"))]
use std::io;

/// A kind of call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Accepting a connection.
    Accept,
    /// Reading the kernel's types.
    BtfRead,
    /// Making a buffer of known size.
    Buffer,
    /// Listing a directory of the cgroup hierarchy.
    CgroupList,
    /// Making a canary process.
    Clone,
    /// Writing a segment of the history.
    HistoryWrite,
    /// Reading a file of the host that belongs to no process, or listing a directory.
    HostRead,
    /// Opening one of the kernel's iterators.
    IteratorOpen,
    /// Reading from one.
    IteratorRead,
    /// Reading the programs' counters.
    MapCounters,
    /// Setting which tasks an iterator's program returns.
    MapWanted,
    /// Sending a notification to systemd.
    Notify,
    /// Listing a directory of /proc.
    ProcList,
    /// Reading a file of /proc.
    ProcRead,
    /// Waiting for the ring.
    RingWait,
    /// Writing to a connection.
    SocketWrite,
    /// Writing to standard output.
    StdoutWrite,
    /// Making a thread.
    ThreadSpawn,
    /// Waiting for a timer.
    TimerWait,
}

#[cfg(feature = "failpoints")]
mod injected {
    use std::{env, fs, io, sync::Mutex, sync::PoisonError};

    use super::Point;

    /// The last content of the file, and the points that were hit since.
    static ASKED: Mutex<(String, Vec<Point>)> = Mutex::new((String::new(), Vec::new()));

    impl Point {
        const fn name(self) -> &'static str {
            match self {
                Self::Accept => "accept",
                Self::BtfRead => "btf.read",
                Self::Buffer => "buffer",
                Self::CgroupList => "cgroup.list",
                Self::Clone => "clone",
                Self::HistoryWrite => "history.write",
                Self::HostRead => "host.read",
                Self::IteratorOpen => "iterator.open",
                Self::IteratorRead => "iterator.read",
                Self::MapCounters => "map.counters",
                Self::MapWanted => "map.wanted",
                Self::Notify => "notify",
                Self::ProcList => "proc.list",
                Self::ProcRead => "proc.read",
                Self::RingWait => "ring.wait",
                Self::SocketWrite => "socket.write",
                Self::StdoutWrite => "stdout.write",
                Self::ThreadSpawn => "thread.spawn",
                Self::TimerWait => "timer.wait",
            }
        }
    }

    pub(crate) fn follow() {
        let Some(path) = env::var_os("TASKSCOPE_FAILPOINTS") else { return };
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.0 == text {
            return;
        }
        for (name, _) in fail::list() {
            fail::remove(name);
        }
        for (name, action) in text.lines().filter_map(|line| line.split_once('=')) {
            if let Err(error) = fail::cfg(name, action) {
                log::error!("failpoint {name}: {error}");
            }
        }
        *asked = (text, Vec::new());
        drop(asked);
        log::info!("failpoints: taken");
    }

    pub(crate) fn check(point: Point) -> io::Result<()> {
        fail::fail_point!(point.name(), |errno| Err(refuse(point, errno.as_deref())));
        Ok(())
    }

    /// Returns the error, and logs the first failure at each point, so that a test knows that the call was made.
    fn refuse(point: Point, errno: Option<&str>) -> io::Error {
        let errno = errno.and_then(|errno| errno.parse().ok()).unwrap_or(libc::EIO);
        let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.1.contains(&point) {
            asked.1.push(point);
            drop(asked);
            log::info!("failpoint {}: fails as a test asked", point.name());
        }
        io::Error::from_raw_os_error(errno)
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use injected::{check, follow};

/// Fails if a test asked for it.
#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "it fails with the feature")]
pub(crate) const fn check(_: Point) -> io::Result<()> {
    Ok(())
}

/// Reads what a test asks for now.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn follow() {}
