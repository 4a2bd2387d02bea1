//! The workloads: each a process of its own that says how long its storm took, in ns.

use std::{
    io::{self, Read as _, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// Name of every process of a workload, so that an observer's lines about it can be told.
pub(crate) const NAME: &str = "bench";

/// Runs one in this process.
pub(crate) fn run(kind: &str, count: u64) -> anyhow::Result<()> {
    let start = Instant::now();
    match kind {
        "vfork" => (0..count).try_for_each(|_| vfork())?,
        "exec" => (0..count).try_for_each(|_| exec())?,
        "threads" => (0..count).try_for_each(|_| thread_once())?,
        "switches" => ping_pong(count)?,
        "paced" => paced(count)?,
        "sleepers" => return sleepers(count),
        other => bail!("no workload {other}"),
    }
    println!("{}", start.elapsed().as_nanos());
    Ok(())
}

/// Runs one as a child, to its end; gives its time.
pub(crate) fn time(kind: &str, count: u64) -> anyhow::Result<Duration> {
    let output = command(kind, count)?.stderr(Stdio::inherit()).output().context("starting a workload")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ns = text.trim().parse().with_context(|| format!("the workload {kind} said `{}`", text.trim()))?;
    Ok(Duration::from_nanos(ns))
}

/// The command of one.
pub(crate) fn command(kind: &str, count: u64) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args(["workload", kind, &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

fn vfork() -> io::Result<()> {
    // SAFETY: the child of vfork does nothing but _exit, which is all that vfork(2) allows; the status may be null.
    unsafe {
        #[expect(
            deprecated,
            reason = "the cheapest life there is: what is measured is not the copying of memory"
        )]
        let pid = libc::vfork();
        match pid {
            0 => libc::_exit(0),
            pid if pid < 0 => return Err(io::Error::last_os_error()),
            pid => libc::waitpid(pid, std::ptr::null_mut(), 0),
        };
    }
    Ok(())
}

/// A whole program: this one again, which does nothing.
fn exec() -> anyhow::Result<()> {
    let status = command("vfork", 0)?.stdout(Stdio::null()).stdin(Stdio::null()).status()?;
    if !status.success() {
        bail!("a program of the workload ended with {status}");
    }
    Ok(())
}

fn thread_once() -> anyhow::Result<()> {
    let Ok(()) = thread::Builder::new().stack_size(64 << 10).spawn(|| ())?.join() else {
        bail!("a thread panicked")
    };
    Ok(())
}

/// Two threads on one CPU hand a byte to and fro: two switches a turn.
fn ping_pong(count: u64) -> anyhow::Result<()> {
    // SAFETY: a set of one CPU, as large as is said; it is inherited by the thread below.
    unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut cpus);
        if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus) != 0 {
            return Err(io::Error::last_os_error()).context("staying on one CPU");
        }
    }
    let ((mut ours, mut to_them), (mut theirs, mut to_us)) = (io::pipe()?, io::pipe()?);
    let there = thread::spawn(move || -> io::Result<()> {
        let mut byte = [0];
        for _ in 0..count {
            ours.read_exact(&mut byte)?;
            to_us.write_all(&byte)?;
        }
        Ok(())
    });
    let mut byte = [0];
    for _ in 0..count {
        to_them.write_all(&byte)?;
        theirs.read_exact(&mut byte)?;
    }
    let Ok(outcome) = there.join() else { bail!("a thread panicked") };
    Ok(outcome?)
}

/// About 2,500 lives a second, each of four or so events, evenly.
fn paced(count: u64) -> anyhow::Result<()> {
    const BURST: u64 = 10;
    let start = Instant::now();
    for burst in 0..count / BURST {
        (0..BURST).try_for_each(|_| vfork())?;
        let due = start + Duration::from_micros(4000 * (burst + 1));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// So many sleeping threads, until stdin ends.
fn sleepers(count: u64) -> anyhow::Result<()> {
    let mut made = 0_u64;
    while made < count {
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
    println!("{made}");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
