//! taskscope's build, test and release commands: `cargo xtask help` lists them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod arch;
mod artifacts;
mod bench;
mod build;
mod ci;
mod cross;
mod dist;
mod ebpf;
mod fuzz;
mod hex;
mod run;
mod setup;
mod shell;
mod simulate;
mod soak;
mod steps;
mod suite;
mod test;
mod vm;

/// Builds, runs and tests taskscope.
///
/// Progress goes to stderr; stdout has only the output of taskscope and of test runners.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask run                        what this kernel's tasks do, as NDJSON, until Ctrl-C
  cargo xtask run | head -5 | jq .       the first five events
  cargo xtask run -- --format text       one aligned line for each event
  cargo xtask run -- doctor              another subcommand of taskscope
  cargo xtask test                       everything
  cargo xtask test --native-only         without the virtual machines";

#[derive(Subcommand)]
enum Command {
    /// Find or install a toolchain that compiles eBPF programs (the other commands do this themselves)
    ///
    /// Uses a rustup nightly with rust-src if there is one, else the distribution's compiler with its source; on Debian and its
    /// derivatives it installs that with apt-get, through sudo if needed. Builds bpf-linker for the compiler's LLVM into
    /// ~/.cache/taskscope. Reports what it does and why; does nothing if nothing is missing.
    Setup,
    /// Build target/release/taskscope with the eBPF programs inside
    Build(build::Args),
    /// Compile the eBPF objects in daemon/ebpf, to commit after a change of their programs
    Ebpf(ebpf::Args),
    /// Build, then run `taskscope events` as root: NDJSON on stdout, all other output on stderr
    ///
    /// The binary is built quickly, without optimization, into target/quick; `build`, `run --release` and `run -- run` optimize.
    /// taskscope replaces this process, so exit code and reaction to signals are taskscope's.
    Run(run::Args),
    /// Run the unit tests, then the integration tests on this kernel as root and on others in QEMU
    Test(test::Args),
    /// Check the format, the lints and the documentation, then `test`
    Ci(test::Args),
    /// Run the integration tests on other kernels in QEMU
    Vm(Box<vm::Args>),
    /// Make the packages: .deb, .rpm, a static tarball, an OCI image, SBOMs
    Dist(dist::Args),
    /// Storm for minutes with provoked losses and restarts, and compare every tree with /proc
    Soak(soak::Args),
    /// Run libFuzzer on the targets of daemon/fuzz, for seconds each
    Fuzz(fuzz::Args),
    /// Add faults to recordings of real hosts, and check that the tree is repaired
    Simulate(simulate::Args),
    /// Measure what taskscope and similar tools cost and miss, into docs/benchmarks
    Bench(bench::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Setup => setup::main(),
        Command::Build(args) => build::main(&args),
        Command::Ebpf(args) => ebpf::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Ci(args) => ci::main(&args),
        Command::Vm(args) => vm::main(*args),
        Command::Dist(args) => dist::main(&args),
        Command::Soak(args) => soak::main(args),
        Command::Fuzz(args) => fuzz::main(&args),
        Command::Simulate(args) => simulate::main(&args),
        Command::Bench(args) => bench::main(&args),
    }
}
