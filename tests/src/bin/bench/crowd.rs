//! Tasks that sleep, in large numbers.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    process::Child,
    thread,
};

use anyhow::{Context as _, bail};

use super::workload::command;

/// The most threads of a process before its memory map is full.
const THREADS_A_PROCESS: u64 = 10_000;

/// Sleeping tasks, which end when this is dropped.
pub(crate) struct Crowd {
    child: Child,
    /// Number of tasks that could be made.
    pub(crate) made: u64,
}

impl Crowd {
    /// Makes threads in child processes.
    pub(crate) fn new(count: u64) -> anyhow::Result<Self> {
        Self::start("sleepers", count)
    }

    /// Makes processes with one thread each.
    pub(crate) fn of_processes(count: u64) -> anyhow::Result<Self> {
        Self::start("sleeping-processes", count)
    }

    fn start(kind: &str, count: u64) -> anyhow::Result<Self> {
        let mut child = command(kind, count)?.spawn().with_context(|| format!("starting {kind}"))?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("their stdout")?).read_line(&mut said)?;
        Ok(Self { child, made: said.trim().parse().with_context(|| format!("the number of {kind}"))? })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // The child may have ended already.
        let _ = self.child.wait();
    }
}

/// Creates this many sleeping threads, in more than one process if needed, and keeps them until stdin ends.
pub(crate) fn threads(count: u64) -> anyhow::Result<()> {
    let own = count.min(THREADS_A_PROCESS);
    let mut made = 0_u64;
    while made < own {
        let sleeper = thread::Builder::new().stack_size(16 << 10).spawn(|| {
            loop {
                thread::park();
            }
        });
        if sleeper.is_err() {
            break;
        }
        made += 1;
    }
    let rest = if count > own { Some(Crowd::new(count - own)?) } else { None };
    println!("{}", made + rest.as_ref().map_or(0, |rest| rest.made));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Creates this many sleeping processes and keeps them until stdin ends.
pub(crate) fn processes(count: u64) -> anyhow::Result<()> {
    let mut made = 0_u64;
    for _ in 0..count {
        // SAFETY: this process has one thread, and the child calls only prctl, pause and _exit.
        let pid = unsafe { libc::fork() };
        match pid {
            0 => {
                // SAFETY: as above. The child ends with its parent, however that ends.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::pause();
                    libc::_exit(0);
                }
            }
            pid if pid < 0 => break,
            _ => made += 1,
        }
    }
    if made == 0 && count > 0 {
        bail!("no process could be made: {}", io::Error::last_os_error());
    }
    println!("{made}");
    io::stdin().read_to_end(&mut Vec::new())?;
    // All of them end with this process, which is quicker than to kill and wait for each.
    Ok(())
}
