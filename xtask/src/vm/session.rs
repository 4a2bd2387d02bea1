//! One call of `cargo xtask vm`: everything got ready, each kernel booted, the tables printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::boot::{Accel, Guest};
use super::cache::Cache;
use super::guest::{Binaries, Plan};
use super::kernels::{self, Found, Kernel};
use super::qemu::Qemu;
use super::report::{self, Row};
use super::results::Line;
use super::run::Run;
use super::table::{self, NOINLINE};
use super::tail::Tail;
use super::{Args, console, kvm, noinline};
use crate::shell;

const FAMILIES: [&str; 3] = ["kprobe", "fentry", "tracepoint"];
/// What is shown of a failed test's output; the log has all.
const SHOWN: usize = 60;

/// Where consoles and results are left.
pub(super) fn logs_dir() -> PathBuf {
    shell::target_dir().join("vm/logs")
}

pub(super) struct Session {
    cache: Cache,
    args: Args,
    qemu: Qemu,
    kernels: Vec<Found>,
    binaries: Binaries,
    plan: Plan,
}

impl Session {
    /// Fetches and builds what is missing. The network comes first: it fails sooner than a compiler.
    pub(super) fn prepare(
        cache: Cache,
        lines: &[table::Line],
        names: &[String],
        args: Args,
    ) -> anyhow::Result<Self> {
        let qemu = Qemu::obtain(&cache)?;
        let kernels = collect(&cache, lines, names, &args)?;
        let binaries = Binaries::build(args.exec.is_empty())?;
        let attach = match (args.attach.is_empty(), args.exec.is_empty()) {
            (false, _) => args.attach.clone(),
            (true, true) => FAMILIES.map(str::to_owned).to_vec(),
            (true, false) => vec!["auto".to_owned()],
        };
        let plan = Plan {
            attach,
            filter: args.test.clone(),
            exec: args.exec.clone(),
            jobs: usize::from(args.jobs),
            test_timeout_s: args.test_timeout,
        };
        Ok(Self { cache, args, qemu, kernels, binaries, plan })
    }

    /// Boots every kernel in turn: two guests at once on two cores would slow each other into their deadlines.
    pub(super) fn run(self) -> anyhow::Result<Vec<Row>> {
        let logs = logs_dir();
        fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        let initramfs = logs.with_file_name("initramfs.cpio");
        self.binaries.initramfs(&self.plan, &initramfs)?;
        let mut accel = Accel::Tcg;
        if let Some(kernel) = self.kernels.iter().find_map(|(_, kernel)| kernel.as_ref().ok()) {
            accel = kvm::choose(&self.cache, &self.qemu, kernel, &self.binaries, &logs)?;
        }
        eprintln!("vm: {} with {}", self.qemu.version, kvm::word(accel));
        let mut rows = Vec::new();
        for (name, kernel) in &self.kernels {
            let outcome = match kernel {
                Ok(kernel) => Ok(self.boot(kernel, accel, &initramfs, &logs)?),
                Err(error) => {
                    eprintln!("vm: {name}: {error:#}");
                    Err(format!("{error:#}"))
                }
            };
            let name = kernel.as_ref().map_or_else(|_| name.clone(), |kernel| kernel.name.clone());
            rows.push(Row { name, outcome });
        }
        if let Some(reports) = report::reports(&rows) {
            println!("\n{reports}");
        }
        println!("\n{}", report::verdicts(&rows, &self.plan.attach));
        Ok(rows)
    }

    fn boot(&self, kernel: &Kernel, accel: Accel, initramfs: &Path, logs: &Path) -> anyhow::Result<Run> {
        let Kernel { name, version, image } = kernel;
        eprintln!("\nvm: booting {name} ({version})");
        let console = logs.join(format!("{name}.console"));
        match fs::remove_file(&console) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", console.display()));
            }
            _ => {}
        }
        let mut guest = Guest::new(&self.qemu, accel, image, initramfs, console.clone());
        guest.limit = Duration::from_secs(self.args.timeout * 60);
        guest.silence_limit = Duration::from_secs(self.args.test_timeout + 30);
        let tail = self.args.verbose.then(|| Tail::follow(console.clone()));
        let boot = guest.run(&mut |line| show(line, self.args.verbose))?;
        drop(tail);
        let text = fs::read(&console).with_context(|| format!("reading {}", console.display()))?;
        let text = String::from_utf8_lossy(&text);
        let mut run = Run::judge(&boot, &text);
        run.demand(&self.plan.attach);
        explain(name, &run, &text, self.args.verbose);
        Ok(run)
    }
}

/// Fetched lines, built kernels and given images, in the order asked for.
fn collect(
    cache: &Cache,
    lines: &[table::Line],
    names: &[String],
    args: &Args,
) -> anyhow::Result<Vec<Found>> {
    let fetched: Vec<String> = names.iter().filter(|name| *name != NOINLINE).cloned().collect();
    let mut found = kernels::obtain(cache, lines, &fetched, args.refresh)?;
    if fetched.len() < names.len() {
        found.push((NOINLINE.to_owned(), noinline::obtain(cache, false)));
    }
    for image in &args.images {
        let name =
            image.file_name().map_or_else(|| "kernel".to_owned(), |name| name.to_string_lossy().into_owned());
        let kernel = image
            .canonicalize()
            .with_context(|| format!("no kernel image {}", image.display()))
            .map(|image| Kernel { name: name.clone(), version: "given by path".to_owned(), image });
        found.push((name, kernel));
    }
    Ok(found)
}

/// Progress on stderr; what commands print on stdout.
fn show(line: &Line, verbose: bool) {
    match line {
        Line::Out(text) => println!("{text}"),
        Line::Boot(release) => eprintln!("vm: init runs on {release}"),
        _ if verbose => {}
        Line::Pass(id, time) => eprintln!("  pass  {id} ({:.1} s)", time.as_secs_f64()),
        Line::Fail(id, time, why) => eprintln!("  FAIL  {id} ({:.1} s): {why}", time.as_secs_f64()),
        Line::Ignored(id) => eprintln!("  ignored  {id}"),
        _ => {}
    }
}

/// What a reader wants to see of a failure without opening the log.
fn explain(name: &str, run: &Run, console: &str, verbose: bool) {
    for note in &run.notes {
        eprintln!("vm: {name}: {note}");
    }
    for (id, why) in &run.failures {
        eprintln!("\nvm: {name}: {id}: {why}");
        if !verbose {
            print_last(&console::of_test(console, &id.to_string()));
        }
    }
    for trouble in &run.trouble {
        eprintln!("vm: {name}: {trouble}");
    }
    if !run.trouble.is_empty() && !verbose {
        eprintln!("vm: {name}: the end of the console:");
        print_last(&console.lines().collect::<Vec<_>>());
    }
}

fn print_last(lines: &[&str]) {
    let hidden = lines.len().saturating_sub(SHOWN);
    if hidden > 0 {
        eprintln!("    [{hidden} lines before this are in the log]");
    }
    for line in &lines[hidden..] {
        eprintln!("    {}", line.trim_end());
    }
}
