//! One call of `cargo xtask vm`: prepares everything, boots each kernel, and prints the tables.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::boot::{Accel, Guest};
use super::fetch::cache::Cache;
use super::fetch::kernels::{Found, Kernel};
use super::fetch::qemu::Qemu;
use super::guest::{Binaries, Plan};
use super::kernels::collect::collect;
use super::kernels::{own, table};
use super::report::{self, Row};
use super::results::Line;
use super::run::Run;
use super::tail::Tail;
use super::{Args, Families, console, disk, kvm};
use crate::arch::Arch;
use crate::shell;

/// The families, in the order in which tests run under them.
pub(super) const FAMILIES: [&str; 3] = ["kprobe", "fentry", "tracepoint"];
/// Most guests at once: each has two CPUs, and tests have deadlines.
pub(super) const GUESTS_MAX: usize = 2;
/// Lines of a failed test's output that are shown; the log has all.
const SHOWN: usize = 60;
/// Lines of the console of a silent guest that are shown; they include the stacks of all tasks.
const SHOWN_OF_SILENT: usize = 1000;

/// Returns the directory of consoles and results.
pub(super) fn logs_dir() -> PathBuf {
    shell::target_dir().join("vm/logs")
}

/// What guests of one architecture need.
pub(super) struct Target {
    qemu: Qemu,
    pub(super) binaries: Binaries,
    accel: Accel,
}

pub(super) struct Session {
    cache: Cache,
    pub(super) lines: Vec<table::Line>,
    pub(super) args: Args,
    /// The emulator and the programs of each architecture of the kernels.
    pub(super) targets: Vec<Target>,
    pub(super) kernels: Vec<Found>,
    pub(super) plan: Plan,
    /// Test binaries, and tests, that run on one of the kernels each.
    pub(super) spread: Vec<String>,
    /// The disk that guests may fill; `None` until it is made.
    disk: Option<PathBuf>,
}

impl Session {
    /// Fetches and builds what is missing. Fetching comes first, because it fails sooner than a build.
    pub(super) fn prepare(
        cache: Cache,
        lines: &[table::Line],
        names: &[String],
        args: Args,
    ) -> anyhow::Result<Self> {
        let kernels = collect(&cache, lines, names, &args)?;
        let wanted = |arch: Arch| -> Vec<&str> {
            let only = if args.emulated.is_empty() || arch.is_host() { &args.only } else { &args.emulated };
            let of_own = names.iter().filter_map(|name| own::find(name)).flat_map(|own| own.tests);
            match (args.exec.is_empty(), only.is_empty()) {
                (false, _) => Vec::new(),
                (true, true) => vec!["*"],
                (true, false) => only.iter().map(String::as_str).chain(of_own.copied()).collect(),
            }
        };
        let mut targets = Vec::new();
        for arch in Arch::ALL {
            let mut booted = kernels.iter().filter_map(|(_, kernel)| kernel.as_ref().ok());
            if booted.any(|kernel| kernel.arch == arch) {
                let qemu = Qemu::obtain(&cache, arch)?;
                let binaries = Binaries::build(arch, &wanted(arch))?;
                targets.push(Target { qemu, binaries, accel: Accel::Tcg });
            }
        }
        // All architectures have the same tests. Test binaries for this machine can be run to list the tests' names.
        let listed = targets.iter().find(|target| target.binaries.arch.is_host()).or(targets.first());
        let expand = |names: &[String]| listed.map_or_else(Vec::new, |target| target.binaries.expand(names));
        let attach = match (args.attach.is_empty(), args.exec.is_empty()) {
            (false, _) => args.attach.clone(),
            (true, true) => FAMILIES.map(str::to_owned).to_vec(),
            (true, false) => vec!["auto".to_owned()],
        };
        let plan = Plan {
            attach,
            filter: args.test.clone(),
            exec: args.exec.clone(),
            together: !args.alone && args.jobs == 1,
            cgroup_v1: false,
            jobs: usize::from(args.jobs),
            test_timeout_s: args.test_timeout,
            once: expand(&args.once),
            skip: expand(&args.skip),
            done: Vec::new(),
        };
        let mut spread = expand(&args.spread);
        spread.retain(|name| !plan.skip.contains(name));
        let mentioned = args.attach_on.iter().map(|Families { kernel, .. }| kernel);
        let mentioned = mentioned.chain(&args.cgroup_v1).chain(&args.spread_over);
        for name in mentioned.filter(|name| *name != table::NEWEST && own::find(name).is_none()) {
            table::find(lines, name)?;
        }
        if let Some(target) = listed.filter(|_| args.exec.is_empty() && args.only.is_empty()) {
            target.binaries.demand(&[plan.once.as_slice(), &plan.skip, &spread].concat())?;
        }
        Ok(Self { cache, lines: lines.to_vec(), args, targets, kernels, plan, spread, disk: None })
    }

    /// Boots every kernel, as many at once as the host has CPUs, because a guest mostly uses one.
    pub(super) fn run(mut self) -> anyhow::Result<Vec<Row>> {
        let logs = logs_dir();
        fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        self.disk = disk::make(&logs.with_file_name("scratch.ext4"))?;
        let workers = self.workers();
        for target in &mut self.targets {
            let arch = target.qemu.arch;
            let kernels = self.kernels.iter().filter_map(|(_, kernel)| kernel.as_ref().ok());
            if let Some(kernel) = kernels.into_iter().find(|kernel| kernel.arch == arch) {
                target.accel = kvm::choose(&self.cache, &target.qemu, kernel, &target.binaries, &logs)?;
            }
            let (version, accel) = (&target.qemu.version, kvm::word(target.accel));
            eprintln!("vm: {version} for {arch} with {accel}, {workers} guests at once");
        }
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let work = || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, kernel)) = self.kernels.get(place) else { break };
                    let row = self.row(name, kernel, &self.plan(place), &logs);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            };
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        let mut rows = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        rows.sort_by_key(|row| self.kernels.iter().position(|(name, _)| *name == row.asked));
        if let Some(reports) = report::reports(&rows) {
            println!("\n{reports}");
        }
        let families = report::families(&rows, &self.plan.attach);
        println!("\n{}", report::verdicts(&rows, &families));
        if self.args.markdown {
            println!("\n{}", report::markdown(&rows, &families));
        }
        Ok(rows)
    }

    fn workers(&self) -> usize {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get).min(GUESTS_MAX);
        match self.args.guests {
            Some(guests) => usize::from(guests),
            None if self.args.verbose => 1,
            None => cpus,
        }
    }

    fn row(&self, asked: &str, kernel: &anyhow::Result<Kernel>, plan: &Plan, logs: &Path) -> Row {
        let name = kernel.as_ref().map_or(asked, |kernel| kernel.name.as_str()).to_owned();
        let outcome = match kernel {
            Ok(kernel) => self.boot(kernel, plan, logs).map_err(|error| format!("{error:#}")),
            Err(error) => Err(format!("{error:#}")),
        };
        if let Err(reason) = &outcome {
            eprintln!("vm: {name}: {reason}");
        }
        let arch = kernel.as_ref().map_or("-", |kernel| kernel.arch.debian());
        Row { asked: asked.to_owned(), name, arch, outcome }
    }

    /// Boots; if the kernel or QEMU hangs, boots once more for the remaining tests.
    fn boot(&self, kernel: &Kernel, plan: &Plan, logs: &Path) -> anyhow::Result<Run> {
        let name = &kernel.name;
        let file = name.replace('/', "-");
        let mut run = self.boot_once(kernel, plan, &logs.join(format!("{file}.console")))?;
        if run.hung && plan.exec.is_empty() {
            eprintln!(
                "vm: {name}: booting again for the remaining tests; the first console is beside the second"
            );
            let plan = Plan { done: run.done.clone(), ..plan.clone() };
            let console = logs.join(format!("{file}.again.console"));
            run = run.and_then(self.boot_once(kernel, &plan, &console)?);
        }
        run.demand(&plan.attach);
        Ok(run)
    }

    fn boot_once(&self, kernel: &Kernel, plan: &Plan, console: &Path) -> anyhow::Result<Run> {
        let Kernel { name, arch, version, image } = kernel;
        let target = self.targets.iter().find(|target| target.qemu.arch == *arch);
        let Target { qemu, binaries, accel } =
            target.with_context(|| format!("nothing was built for {arch}"))?;
        let initramfs = console.with_extension("cpio");
        binaries.initramfs(plan, &initramfs)?;
        eprintln!("vm: booting {name} ({version})");
        match fs::remove_file(console) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", console.display()));
            }
            _ => {}
        }
        let mut guest = Guest::new(qemu, *accel, image, &initramfs, console.to_owned());
        guest.disk.clone_from(&self.disk);
        guest.set_cpus(self.args.cpus);
        guest.limit = Duration::from_secs(self.args.timeout * 60);
        guest.silence_limit = Duration::from_secs(self.args.test_timeout + 30);
        let tail = self.args.verbose.then(|| Tail::follow(console.to_owned()));
        let boot = guest.run(&mut |line| show(name, line, self.args.verbose))?;
        drop(tail);
        fs::remove_file(&initramfs).with_context(|| format!("removing {}", initramfs.display()))?;
        let text = fs::read(console).with_context(|| format!("reading {}", console.display()))?;
        let text = String::from_utf8_lossy(&text);
        let mut run = Run::judge(&boot, &text);
        self.replay(&mut run, name, console);
        explain(name, &run, &text, self.args.verbose);
        Ok(run)
    }

    /// Replays the recordings of a guest with the taskscope that was built for the host.
    fn replay(&self, run: &mut Run, name: &str, console: &Path) {
        let host = self.targets.iter().find(|target| target.binaries.arch.is_host());
        let Some(program) = host.and_then(|target| target.binaries.program("taskscope").ok()) else { return };
        for recording in &run.recordings {
            let attach = &recording.attach;
            let file = console.with_extension(format!("{attach}.rec"));
            match recording.compare(program, &file) {
                Ok(bytes) => {
                    eprintln!(
                        "vm: {name}: the replay of the {attach} recording on this host matches the guest ({bytes} bytes)"
                    );
                }
                Err(error) => run.trouble.push(format!("the {attach} recording: {error:#}")),
            }
        }
    }
}

/// Prints progress on stderr, and the output of commands on stdout.
pub(super) fn show(kernel: &str, line: &Line, verbose: bool) {
    match line {
        Line::Out(text) => println!("{text}"),
        Line::Boot(release) => eprintln!("vm: {kernel}: init runs on {release}"),
        _ if verbose => {}
        Line::Pass(id, time) => eprintln!("{kernel}  pass  {id} ({:.1} s)", time.as_secs_f64()),
        Line::Fail(id, time, why) => eprintln!("{kernel}  FAIL  {id} ({:.1} s): {why}", time.as_secs_f64()),
        Line::Ignored(id) => eprintln!("{kernel}  ignored  {id}"),
        Line::Skip(id, why) => eprintln!("{kernel}  skipped  {id}: {why}"),
        _ => {}
    }
}

/// Prints the part of the log that explains a failure.
///
/// The text is printed in one piece, because another guest may print at the same time.
pub(super) fn explain(name: &str, run: &Run, console: &str, verbose: bool) {
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for note in &run.notes {
        say(format!("vm: {name}: {note}"));
    }
    for (id, why) in &run.failures {
        say(format!("\nvm: {name}: {id}: {why}"));
        if !verbose {
            last(&console::of_test(console, &id.to_string()), SHOWN).for_each(&mut say);
        }
    }
    for trouble in &run.trouble {
        say(format!("vm: {name}: {trouble}"));
    }
    if !run.trouble.is_empty() && !verbose {
        say(format!("vm: {name}: the end of the console:"));
        let shown = if run.silent { SHOWN_OF_SILENT } else { SHOWN };
        last(&console.lines().collect::<Vec<_>>(), shown).for_each(&mut say);
    }
    eprint!("{text}");
}

fn last(lines: &[&str], shown: usize) -> impl Iterator<Item = String> {
    let hidden = lines.len().saturating_sub(shown);
    let note = (hidden > 0).then(|| format!("    [{hidden} lines before this are in the log]"));
    note.into_iter().chain(lines[hidden..].iter().map(|line| format!("    {}", line.trim_end())))
}
