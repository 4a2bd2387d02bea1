//! The workloads. Each is a process of its own that prints how long its storm took, ns.

use std::{
    io::{self, Read as _, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::crowd;

/// A storm.
pub(crate) struct Storm {
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    /// The number of turns.
    pub(crate) count: u64,
    /// Ends of processes for each turn.
    pub(crate) ends: u64,
    /// Names of the workload's processes, which identify an observer's lines about them.
    pub(crate) names: &'static [&'static str],
}

/// All entries.
pub(crate) const STORMS: [Storm; 5] = [
    Storm { kind: "vfork", title: "vfork + exit + wait", count: 20_000, ends: 1, names: &["bench"] },
    Storm { kind: "exec", title: "fork + exec + exit + wait", count: 1_000, ends: 1, names: &["bench"] },
    Storm { kind: "threads", title: "thread create + join", count: 20_000, ends: 0, names: &["bench"] },
    Storm {
        kind: "switches",
        title: "pipe ping-pong on one CPU",
        count: 100_000,
        ends: 0,
        names: &["bench"],
    },
    Storm {
        kind: "build",
        title: "build of a C project, a file",
        count: 40,
        ends: 3,
        names: &["cc", "cc1", "as"],
    },
];

/// Runs a workload in this process.
pub(crate) fn run(kind: &str, count: u64) -> anyhow::Result<()> {
    let start = Instant::now();
    match kind {
        "vfork" => (0..count).try_for_each(|_| vfork())?,
        "exec" => (0..count).try_for_each(|_| exec())?,
        "threads" => (0..count).try_for_each(|_| thread_once())?,
        "switches" => ping_pong(count)?,
        "build" => build(count)?,
        "paced" => paced(count)?,
        "sleepers" => return crowd::threads(count),
        "sleeping-processes" => return crowd::processes(count),
        other => bail!("no workload {other}"),
    }
    println!("{}", start.elapsed().as_nanos());
    Ok(())
}

/// Runs a storm as a child to its end, and returns its time.
pub(crate) fn time(kind: &str, count: u64) -> anyhow::Result<Duration> {
    let output = command(kind, count)?.stderr(Stdio::inherit()).output().context("starting a workload")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ns = text.trim().parse().with_context(|| format!("the workload {kind} said `{}`", text.trim()))?;
    Ok(Duration::from_nanos(ns))
}

/// Returns the command of a storm.
pub(crate) fn command(kind: &str, count: u64) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args(["workload", kind, &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

fn vfork() -> io::Result<()> {
    // SAFETY: the child of vfork calls only _exit, which vfork(2) allows; the status may be null.
    unsafe {
        #[expect(
            deprecated,
            reason = "the cheapest life: the measurement must not include the copying of memory"
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

/// Executes this program again, which does nothing.
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

/// Runs two threads on one CPU that pass a byte back and forth: two context switches per turn.
fn ping_pong(count: u64) -> anyhow::Result<()> {
    // SAFETY: the length is that of the set; the thread below inherits the affinity.
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

/// Compiles this many small files, two at a time: each takes a driver, a compiler and an assembler.
fn build(count: u64) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("taskscope-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let compile = |first: u64| {
        (first..count).step_by(2).try_for_each(|n| {
            let (source, object) = (dir.join(format!("f{n}.c")), dir.join(format!("f{n}.o")));
            std::fs::write(&source, source_text(n))
                .with_context(|| format!("writing {}", source.display()))?;
            let mut cc = Command::new("cc");
            let status = cc.args(["-O1", "-c", "-o"]).arg(&object).arg(&source).status();
            match status.context("starting cc: apt-get install gcc")? {
                status if status.success() => Ok(()),
                status => bail!("cc ended with {status}"),
            }
        })
    };
    let outcome = thread::scope(|scope| {
        let other = scope.spawn(|| compile(1));
        let ours = compile(0);
        other.join().ok().context("a thread panicked")?.and(ours)
    });
    std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    outcome
}

/// Returns a small source file, which differs with `n`.
fn source_text(n: u64) -> String {
    let functions = (1..=20).map(|f| {
        format!(
            "int f{n}_{f}(const char *s, int k) {{\n int t = {f};\n for (int i = 0; i < k; i++) t = t * 31 + s[i % {f}];\n \
             if (t == {n}) printf(\"%d\\n\", t);\n return t;\n}}\n"
        )
    });
    let head = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n".to_owned();
    std::iter::once(head).chain(functions).collect()
}

/// Creates about 2,500 lives a second, evenly spaced, with about four events each.
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
