//! `cargo xtask bench`: measures what taskscope and similar tools cost and miss, in one run on this machine.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::arch::Arch;
use crate::{dist, setup, shell, test, vm};

/// Debian's packages and their programs that need no other package. They are unpacked into the cache.
const ALONE: [(&str, &str); 6] = [
    ("forkstat", "forkstat"),
    ("libbpf-tools", "exitsnoop"),
    ("libbpf-tools", "execsnoop"),
    ("libbpf-tools", "runqlat"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("prometheus-process-exporter", "prometheus-process-exporter"),
];
/// Programs that need shared libraries of other packages. These packages are installed if they are missing.
const INSTALLED: [(&str, &str); 2] = [("bpftrace", "bpftrace"), ("linux-perf", "perf")];

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                 three rounds, into docs/benchmarks
  cargo xtask bench --quick         a tenth of the work, as a check
  cargo xtask bench --only latency  one part";

/// Runs the same workloads bare and under each observer, interleaved, then measures latency and growth.
///
/// The other tools are Debian's packages, unpacked into the cache or installed. A tool that is not available is left out, with a message.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How often each pair of workload and observer is run
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Do a tenth of the work in one round, and write nothing
    #[arg(long)]
    quick: bool,
    /// Run only one part, and write nothing: storms, programs, latency, growth, idle, replay or viewers
    #[arg(long, value_name = "PART", value_parser = ["storms", "programs", "latency", "growth", "idle", "replay", "viewers"])]
    only: Option<String>,
    /// Directory of the results
    #[arg(long, default_value = "docs/benchmarks", value_name = "DIR")]
    output: PathBuf,
}

/// Runs `cargo xtask bench`.
pub(crate) fn main(args: &Args) -> Result<()> {
    let why = "observing the kernel";
    shell::root_prefix(why, &[])?;
    let binary = dist::binary(Arch::native()?)?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "taskscope-tests",
        "--bin",
        "bench",
    ]))?;
    let bench = shell::target_dir().join("release/bench");
    if !bench.is_file() {
        bail!("cargo succeeded and left no {}", bench.display());
    }
    let criterion = shell::target_dir().join("criterion");
    let writes = !args.quick && args.only.is_none();
    if args.only.as_deref().is_none_or(|only| only == "replay") {
        replay(args.quick)?;
    }
    if writes {
        fs::create_dir_all(&args.output).with_context(|| format!("making {}", args.output.display()))?;
    }
    let mut env: Vec<(&str, &OsStr)> =
        vec![("TASKSCOPE_BIN", binary.as_os_str()), ("TASKSCOPE_BENCH_CRITERION", criterion.as_os_str())];
    if writes {
        env.push(("TASKSCOPE_BENCH_OUTPUT", args.output.as_os_str()));
    }
    let viewers = args.only.as_deref().is_none_or(|only| only == "viewers");
    let browser = if viewers { Some(browser()?) } else { None };
    if let Some((chromium, modules)) = &browser {
        env.push(("TASKSCOPE_CHROMIUM", chromium.as_os_str()));
        env.push(("TASKSCOPE_NODE_MODULES", modules.as_os_str()));
    }
    let mut command = shell::as_root(why, &env, bench.as_os_str())?;
    command.arg(if args.quick { 1 } else { args.rounds }.to_string());
    if args.quick {
        command.arg("quick");
    }
    command.args(args.only.as_ref().map(|part| format!("only:{part}")));
    command.args(rivals());
    eprintln!("+ {}", shell::line(&command));
    let output = command.stderr(std::process::Stdio::inherit()).output().context("running the benchmarks")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{text}");
    if !output.status.success() {
        bail!("the benchmarks ended with {}", output.status);
    }
    if !writes {
        return Ok(());
    }
    let page = format!("# Results\n\n{}\n\n{text}\n{}", machine(), pictures(&args.output)?);
    let path = args.output.join("results.md");
    fs::write(&path, page).with_context(|| format!("writing {}", path.display()))
}

/// Returns the programs that look at `taskscope top` and at the web page: a terminal is installed, the browser's paths are returned.
fn browser() -> Result<(PathBuf, PathBuf)> {
    test::install_missing("viewers are measured in terminals", &[("tmux", "tmux")])?;
    test::browser("viewers are measured in a browser")
}

/// Measures the lineage alone, by criterion, whose estimates stay in the target directory.
fn replay(quick: bool) -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["bench", "--package", "taskscope", "--bench", "lineage", "--"]);
    if quick {
        cargo.args(["--warm-up-time", "0.5", "--measurement-time", "1"]);
    }
    shell::run(&mut cargo)
}

/// Returns the pictures in the order of their names.
fn pictures(dir: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    let lines: Vec<_> = names.iter().map(|name| format!("![{name}]({name}.svg)")).collect();
    Ok(lines.join("\n") + "\n")
}

/// Returns `NAME=PATH` of each available rival.
fn rivals() -> Vec<OsString> {
    let mut found = Vec::new();
    let alone = ALONE.map(|(package, program)| (program, vm::program(package, program)));
    let installed = INSTALLED.map(|(package, program)| (program, installed(package, program)));
    for (program, path) in alone.into_iter().chain(installed) {
        match path {
            Ok(path) => {
                let mut word = OsString::from(format!("{program}="));
                word.push(path);
                found.push(word);
            }
            Err(error) => eprintln!("bench: without {program}: {error:#}"),
        }
    }
    found
}

/// Returns a program on PATH; installs its package if it is missing.
fn installed(package: &str, program: &str) -> Result<PathBuf> {
    let found = || {
        let paths = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file())
    };
    if let Some(path) = found() {
        return Ok(path);
    }
    setup::install("the benchmark compares taskscope with it", &[package])?;
    found().with_context(|| format!("{package} is installed, and no {program} is on PATH"))
}

/// Describes the machine.
fn machine() -> String {
    let first = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!(
        "Kernel {}, {cpus} CPUs{}, {} of `cargo xtask bench`.",
        first("uname", &["-r"]),
        model.replace('\t', " "),
        env::var("USER").map_or_else(|_| "a run".to_owned(), |user| format!("{user}'s run")),
    )
}
