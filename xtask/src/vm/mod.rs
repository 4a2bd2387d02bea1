//! `cargo xtask vm`: runs the integration tests on Debian's kernels under QEMU.
//!
//! Fetched kernels and QEMU live in the user's cache. The binaries are built once, static, and run on every
//! kernel from an initramfs whose init is our own (`tests/src/bin/guest-init`).

mod boot;
mod console;
mod cpio;
mod disk;
pub(crate) mod fetch;
mod guest;
mod kernels;
mod kvm;
mod monitor;
mod plan;
mod replay;
mod report;
mod results;
mod run;
mod session;
pub(crate) mod systemd;
mod tail;

pub(crate) use self::fetch::npm::modules as node_modules;
pub(crate) use self::fetch::python::environment as python_environment;
pub(crate) use self::fetch::tools::program;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args as _, FromArgMatches as _};

use self::fetch::cache::Cache;
use self::kernels::own::{self, Own};
use self::kernels::{list, table};
use self::session::Session;
use crate::arch::Arch;

/// Seconds that each fault of `--faults` lasts.
pub(crate) const FAULT_SECONDS: &str = "20";

/// Tests of a binary run one at a time. When an observer starts or ends, the kernel skips kprobe programs of other observers, and
/// tests expect no losses.
const JOBS: u8 = 1;
const TEST_TIMEOUT_S: u64 = 180;
const TIMEOUT_MIN: u64 = 40;
/// Number of CPUs of a guest: enough for races between CPUs.
const CPUS: u16 = 2;
/// Minutes that a soak may take beyond the given time.
const SOAK_MARGIN_MIN: u64 = 5;

const EXAMPLES: &str = "\
Examples:
  cargo xtask vm                          the short set: 5.10, 6.1, 6.12 and the newest
  cargo xtask vm 6.18 newest              these lines
  cargo xtask vm --all                    every line, and the kernels that are compiled here
  cargo xtask vm --list                   which lines there are, and what is cached
  cargo xtask vm --build no-kprobes       compile a kernel without kprobes
  cargo xtask vm 5.10 --attach kprobe --test zombie --verbose
  cargo xtask vm 5.10 --exec 'taskscope doctor'
  cargo xtask vm arm64/6.12 --attach kprobe   on an emulated arm64 machine
  cargo xtask vm --kernel arch/x86/boot/bzImage
  cargo xtask vm --systemd                the Debian package on a Debian with systemd, on the oldest kernel and the newest";

/// Runs the integration tests on other kernels.
///
/// Kernels are Debian's, by line, fetched through this machine's own apt sources into
/// ~/.cache/taskscope/vm and verified by apt; nothing is installed. One boot runs the tests once for each
/// attach family. Logs are left in target/vm/logs.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Kernel lines of xtask/vm/kernels.table, `newest`, or a kernel that is compiled here [default: the short set]
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Architecture of names without one, and of `--kernel`; `--arch arm64 6.12` is `arm64/6.12`
    #[arg(long, value_name = "ARCH", default_value = "x86_64")]
    arch: Arch,
    /// Every line of the table, and the kernels that are compiled here
    #[arg(long, conflicts_with = "kernels")]
    all: bool,
    /// Boot this bzImage, or Image of arm64; can be given several times
    #[arg(long = "kernel", value_name = "PATH")]
    images: Vec<PathBuf>,
    /// Show the lines with their cached kernels, and do nothing else
    #[arg(long)]
    list: bool,
    /// Test the Debian package on a Debian with systemd as process 1: install, start, reload, upgrade, remove [default: the oldest
    /// kernel and the newest]
    #[arg(long, conflicts_with_all = ["all", "images", "list", "attach", "test", "exec", "alone", "jobs"])]
    systemd: bool,
    /// Compile a kernel, `noinline`, `no-kprobes` or `no-btf`, and do nothing else
    #[arg(long, value_name = "KERNEL", conflicts_with_all = ["kernels", "all", "images", "list"], value_parser = own::parse)]
    build: Option<&'static Own>,
    /// Attach families to run the tests under, where a kernel supports them [default: kprobe,fentry,tracepoint; auto with --exec]
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = ["auto", "kprobe", "fentry", "tracepoint"])]
    attach: Vec<String>,
    /// Attach families of one kernel, instead of those of --attach; can be given several times
    #[arg(long, value_name = "KERNEL=LIST", value_parser = families)]
    attach_on: Vec<Families>,
    /// Only run tests whose name, or whose binary's name, contains this
    #[arg(long, value_name = "FILTER")]
    test: Option<String>,
    /// Print the rows of the table in docs/kernels.md too
    #[arg(long, conflicts_with = "exec")]
    markdown: bool,
    /// Build and run only these test binaries
    #[arg(long, value_delimiter = ',', value_name = "LIST", conflicts_with = "exec")]
    only: Vec<String>,
    /// Test binaries, and tests, that run under the first attach family only; `daemon` stands for all binaries whose outcome does
    /// not depend on the hooks, `interfaces` for those of them whose outcome does not depend on the kernel either
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    once: Vec<String>,
    /// Test binaries, and tests, that do not run; `daemon` and `interfaces` have the same meanings as for --once
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    skip: Vec<String>,
    /// Test binaries, and tests, that run on one of the kernels each; `daemon` and `interfaces` have the same meanings as for --once
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    spread: Vec<String>,
    /// Kernels among which the tests of --spread are divided; other kernels run none of them [default: all]
    #[arg(long, value_delimiter = ',', value_name = "KERNELS")]
    spread_over: Vec<String>,
    /// Test binaries that run on kernels of an architecture other than this machine's, under the first attach family only
    /// [default: the same binaries and families as on kernels of this machine's]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    emulated: Vec<String>,
    /// Run this command in the guest instead of the tests, and show its output; can be given several times
    #[arg(long, value_name = "COMMAND", conflicts_with = "test")]
    exec: Vec<String>,
    /// Show the console while the guest runs
    #[arg(long, short)]
    verbose: bool,
    /// Check for newer kernels of the lines, even if there are cached ones
    #[arg(long)]
    refresh: bool,
    /// Kernels that run at once [default: one for each CPU of this machine, two at most; one with --verbose]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    guests: Option<u8>,
    /// Run each test in a process of its own, with a taskscope of its own, instead of all tests of a binary in one process
    #[arg(long)]
    alone: bool,
    /// Number of tests of one binary that run at once in a guest, each in a process of its own, to find effects of observers on
    /// each other
    #[arg(long, default_value_t = JOBS, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Kernels on which the cgroup controllers are mounted as hierarchies of v1, with v2 beside them (systemd calls this hybrid),
    /// instead of all as v2
    #[arg(long, value_delimiter = ',', value_name = "KERNELS")]
    cgroup_v1: Vec<String>,
    /// Seconds that a test may take
    #[arg(long, default_value_t = TEST_TIMEOUT_S, value_name = "SECONDS")]
    test_timeout: u64,
    /// Minutes that one kernel may take
    #[arg(long, default_value_t = TIMEOUT_MIN, value_name = "MINUTES")]
    timeout: u64,
    /// CPUs of each guest
    #[arg(long, default_value_t = CPUS, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=255))]
    cpus: u16,
}

/// The attach families of one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Families {
    kernel: String,
    attach: Vec<String>,
}

/// Parses `KERNEL=LIST`.
fn families(text: &str) -> Result<Families, String> {
    let (kernel, list) = text.split_once('=').ok_or("a kernel, `=` and families are needed")?;
    let attach: Vec<String> = list.split(',').map(str::to_owned).collect();
    match attach.iter().find(|family| !session::FAMILIES.contains(&family.as_str())) {
        Some(unknown) => Err(format!("no family `{unknown}`: there are {}", session::FAMILIES.join(", "))),
        None => Ok(Families { kernel: kernel.to_owned(), attach }),
    }
}

/// Runs `cargo xtask vm`.
pub(crate) fn main(args: Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let lines = table::lines()?;
    if args.list {
        print!("{}", list::text(&cache, &lines));
        return Ok(());
    }
    if args.systemd {
        return systemd::run(&cache, &args.kernels, args.verbose);
    }
    if let Some(own) = args.build {
        for (_, kernel) in fetch::compile::obtain(&cache, &[own], true) {
            println!("{}", kernel?.image.display());
        }
        return Ok(());
    }
    let names = if args.all {
        let mut names: Vec<String> = lines.iter().map(|line| line.name.clone()).collect();
        names.extend(own::names().map(str::to_owned));
        names
    } else if args.kernels.is_empty() && args.images.is_empty() {
        table::short(args.arch)
    } else {
        args.kernels.iter().map(|name| table::qualified(name, args.arch)).collect()
    };
    let rows = Session::prepare(cache, &lines, &names, args)?.run()?;
    let failed = rows.iter().filter(|row| !row.succeeded()).count();
    if failed > 0 {
        bail!("{failed} of {} kernels failed; the logs are in {}", rows.len(), session::logs_dir().display());
    }
    Ok(())
}

/// A test and a test binary that take long: one waits for a threshold of ten seconds, the other stops at each of thousands of
/// system calls.
const SLOW: [&str; 2] = ["an_exit_that_hangs_is_reported_as_stuck_with_its_time", "verifier"];

/// Test binaries that need every kernel, but not every attach family: their records come from tracepoints, or they are about what
/// is made of records. They take most of the time of all scenarios.
const ONE_FAMILY: [&str; 9] =
    ["deaths", "senders", "signal_storm", "storms", "limits", "places", "naming", "older", "namespaces"];

/// A test that makes five thousand processes takes 40 s emulated; one kernel is enough.
const LARGE: &str = "five_thousand_children_of_a_parent_that_dies_are_all_reparented";

/// A test that fills memory takes over a minute emulated. It runs natively.
const FILLS_MEMORY: &str = "at_the_limit_of_its_memory_it_drops_the_past_and_answers";

/// Test binaries that CI runs on arm64 too: all programs load and attach, and records have the right values.
const EMULATED: [&str; 3] = ["doctor", "exits", "first_light"];

/// The kernel of another architecture that CI runs.
const ARM64: &str = "arm64/6.12";

/// The kernels that differ most. CI runs all families there, and divides the tests of the daemon between them.
const EXTREMES: [&str; 2] = ["5.10", table::NEWEST];

/// Runs the short set, for CI: every scenario test on the oldest line, 6.1, 6.12 and the newest, and some tests under kprobe on
/// arm64. `cargo xtask vm` leaves nothing out.
///
/// All three families are used on the oldest line and the newest, and each family on one of 6.1 and 6.12. 6.1 has the cgroup
/// controllers of v1, the others have v2 only.
///
/// Tests of what the daemon concludes, and of the trust in its data, take longer than all scenarios together under emulation. They run
/// under kprobe, each on one of the oldest line and the newest. Tests of its interfaces run natively only.
pub(crate) fn run_short() -> anyhow::Result<()> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut kernels = table::short(Arch::X86_64);
    // The longest ones first, so that the last guest does not run alone.
    kernels.sort_by_key(|name| !EXTREMES.contains(&name.as_str()));
    let emulated = if runs_arm64() {
        kernels.push(ARM64.to_owned());
        owned(&EMULATED)
    } else {
        Vec::new()
    };
    let on = |kernel: &str, attach: &[&str]| Families { kernel: kernel.to_owned(), attach: owned(attach) };
    main(Args {
        kernels,
        attach_on: vec![on("6.1", &["kprobe"]), on("6.12", &["fentry", "tracepoint"])],
        once: owned(&[&SLOW[..], &ONE_FAMILY, &[guest::DAEMON]].concat()),
        skip: owned(&[guest::INTERFACES, FILLS_MEMORY]),
        spread: owned(&[guest::DAEMON, LARGE]),
        spread_over: owned(&EXTREMES),
        cgroup_v1: owned(&["6.1"]),
        emulated,
        ..Args::standard()?
    })
}

/// Whether CI runs a kernel of arm64, emulated.
fn runs_arm64() -> bool {
    Arch::buildable().contains(&Arch::Aarch64) && !Arch::Aarch64.is_host()
}

/// Compiles what the guests of [`run_short`] run.
pub(crate) fn build_short() -> anyhow::Result<()> {
    guest::Binaries::build(Arch::X86_64, &["*"])?;
    if runs_arm64() {
        guest::Binaries::build(Arch::Aarch64, &EMULATED)?;
    }
    Ok(())
}

/// Builds the taskscope that guests of this machine's architecture run, and returns its path.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    guest::taskscope(Arch::native()?)
}

/// Runs the storm of `cargo xtask soak` on one kernel.
pub(crate) fn run_soak(kernel: String, attach: String, minutes: u32) -> anyhow::Result<()> {
    let minutes = u64::from(minutes);
    main(Args {
        kernels: vec![kernel],
        exec: vec![format!("soak {minutes} {attach}")],
        attach: vec![attach],
        // A round that has begun is finished, and a comparison of trees takes up to a minute.
        test_timeout: (minutes + SOAK_MARGIN_MIN) * 60,
        timeout: minutes + 2 * SOAK_MARGIN_MIN,
        ..Args::standard()?
    })
}

/// Minutes that all faults may take in a guest.
const FAULTS_MIN: u64 = 25;
/// CPUs of the second guest of `soak --faults`, and its limit in minutes: on a host with two CPUs, booting it takes minutes.
const MANY_CPUS: u16 = 64;
const MANY_CPUS_MIN: u64 = 15;

/// Runs `cargo xtask soak --faults` on one kernel: every fault, and then a guest with many CPUs.
pub(crate) fn run_faults(kernel: &str, family: &str) -> anyhow::Result<()> {
    let args = |minutes: u64, exec: String| -> anyhow::Result<Args> {
        Ok(Args {
            kernels: vec![kernel.to_owned()],
            exec: vec![exec],
            attach: vec![family.to_owned()],
            test_timeout: minutes * 60,
            timeout: minutes + SOAK_MARGIN_MIN,
            ..Args::standard()?
        })
    };
    let all = main(args(FAULTS_MIN, format!("soak faults {FAULT_SECONDS} {family}"))?);
    eprintln!("vm: the row `none` with {MANY_CPUS} CPUs");
    let many = args(MANY_CPUS_MIN, format!("soak faults 2 {family} none"))?;
    let many = main(Args { cpus: MANY_CPUS, ..many });
    all.and(many)
}

impl Args {
    /// Returns the values of a command line without arguments.
    fn standard() -> anyhow::Result<Self> {
        let command = Self::augment_args(clap::Command::new("vm"));
        Ok(Self::from_arg_matches(&command.try_get_matches_from(["vm"])?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_test_has_the_name_of_an_existing_test() {
        let file = crate::shell::workspace().join("tests/tests/lifecycle/namespaces.rs");
        assert!(std::fs::read_to_string(file).unwrap().contains(&format!("fn {}()", SLOW[0])));
    }
}
