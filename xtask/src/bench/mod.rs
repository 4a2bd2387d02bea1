//! `cargo xtask bench`: what taskscope and its rivals cost and miss, in one run on this machine.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::{build, shell, vm};

/// Debian's package and the program in it.
const RIVALS: [(&str, &str); 3] =
    [("forkstat", "forkstat"), ("libbpf-tools", "exitsnoop"), ("libbpf-tools", "execsnoop")];

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                 five rounds, into docs/benchmarks
  cargo xtask bench --quick         a tenth of it, to see that it works";

/// The same workloads bare and under each observer, interleaved; then latency and growth.
///
/// Rivals are Debian's packages, unpacked into the cache; one that cannot be had is left out and said to be.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How often each pair of workload and observer is run
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A tenth of the work, nothing written
    #[arg(long)]
    quick: bool,
    /// Where the results go
    #[arg(long, default_value = "docs/benchmarks", value_name = "DIR")]
    output: PathBuf,
}

/// `cargo xtask bench`.
pub(crate) fn main(args: &Args) -> Result<()> {
    let why = "observing the kernel";
    shell::root_prefix(why, &[])?;
    let binary = build::release()?;
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
    let json = shell::target_dir().join("bench.json");
    let env: [(&str, &OsStr); 2] =
        [("TASKSCOPE_BIN", binary.as_os_str()), ("TASKSCOPE_BENCH_JSON", json.as_os_str())];
    let mut command = shell::as_root(why, &env, bench.as_os_str())?;
    command.arg(args.rounds.to_string());
    if args.quick {
        command.arg("quick");
    }
    command.args(rivals());
    eprintln!("+ {}", shell::line(&command));
    let output = command.stderr(std::process::Stdio::inherit()).output().context("running the benchmarks")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{text}");
    if !output.status.success() {
        bail!("the benchmarks ended with {}", output.status);
    }
    if args.quick {
        return Ok(());
    }
    fs::create_dir_all(&args.output).with_context(|| format!("making {}", args.output.display()))?;
    let page = format!("# Results\n\n{}\n\n{text}", machine());
    let write = |name: &str, bytes: &[u8]| {
        let path = args.output.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
    };
    write("results.md", page.as_bytes())?;
    write("results.json", &fs::read(&json).with_context(|| format!("reading {}", json.display()))?)
}

/// `NAME=PATH` of each rival that can be had.
fn rivals() -> Vec<OsString> {
    let mut found = Vec::new();
    for (package, program) in RIVALS {
        match vm::program(package, program) {
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

/// What it ran on.
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
