//! Child processes that cannot outlive the test process.
//!
//! The kernel sends the parent-death signal when the *thread* that made the child ends, and libtest ends a
//! thread with each test: so one thread, which never ends, makes all children.

use std::{
    io,
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    sync::{
        OnceLock,
        mpsc::{self, Sender},
    },
};

/// A child process that is killed and waited for when this is dropped.
#[derive(Debug)]
pub struct Spawned(Child);

impl Spawned {
    /// Starts a command.
    #[must_use]
    #[track_caller]
    pub fn new(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}")))
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) {
        self.0.wait().unwrap_or_else(|error| panic!("waiting for a child: {error}"));
    }
}

impl Deref for Spawned {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Spawned {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command`; the kernel kills it when the test process ends, however it ends.
pub fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The test that waits for this may have panicked.
                let _ = reply.send(bound(&mut command).spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).map_err(|_| io::Error::other("the spawner thread is gone"))?;
    answer.recv().map_err(|_| io::Error::other("the spawner thread is gone"))?
}

fn bound(command: &mut Command) -> &mut Command {
    // SAFETY: prctl takes integers and is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        })
    }
}

/// Lets a command run as user and group 65534, which have no capabilities.
pub fn without_privileges(command: &mut Command) {
    // SAFETY: two system calls with integers; both are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            if libc::setgid(65_534) == 0 && libc::setuid(65_534) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
}

/// Runs a process that ends at once; returns its pid after waiting for it.
pub fn blink() -> io::Result<u32> {
    let mut command = Command::new("/proc/self/exe");
    // SAFETY: _exit is async-signal-safe. The child ends before its exec, which `spawn` takes for success.
    unsafe { command.pre_exec(|| libc::_exit(0)) };
    let mut child = spawn(command)?;
    child.wait()?;
    Ok(child.id())
}

/// Sends a signal to a child that was not reaped yet.
pub fn signal(child: &Child, signal: i32) {
    // SAFETY: kill takes integers; the pid of an unreaped child cannot belong to another process.
    unsafe { libc::kill(child.id().cast_signed(), signal) };
}

/// Kills a process group whose leader was not reaped yet.
pub fn kill_group(leader: &Child) {
    // SAFETY: kill takes integers; the group exists at least as long as its unreaped leader.
    unsafe { libc::kill(-leader.id().cast_signed(), libc::SIGKILL) };
}
