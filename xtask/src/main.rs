//! taskscope's build, test and release commands: `cargo xtask help` lists them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod ci;
mod dist;
mod ebpf;
mod run;
mod setup;
mod shell;
mod simulate;
mod soak;
mod steps;
mod test;
mod vm;

/// Builds, runs and tests taskscope.
///
/// Progress goes to stderr; stdout is the product's: events of `run`, reports of the test runners.
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
  cargo xtask run -- --format text       for eyes
  cargo xtask run -- doctor              another subcommand of taskscope
  cargo xtask test                       everything
  cargo xtask test --native-only         without the virtual machines";

#[derive(Subcommand)]
enum Command {
    /// Find or make a toolchain that compiles eBPF programs (the others do it themselves)
    ///
    /// Takes a rustup nightly with rust-src where there is one, else the distribution's compiler with its source;
    /// on Debian and its kin it installs that with apt-get, through sudo if need be. Builds bpf-linker for the
    /// compiler's LLVM into ~/.cache/taskscope. Says what it does and why; does nothing when nothing is missing.
    Setup,
    /// Build target/release/taskscope, the eBPF programs inside
    Build,
    /// Compile the eBPF object that is committed in daemon/ebpf, after a change of its programs
    Ebpf(ebpf::Args),
    /// Build, then run `taskscope events` as root: NDJSON on stdout, all else on stderr
    ///
    /// taskscope takes the place of this command, so its exit code and its answer to signals are taskscope's.
    Run(run::Args),
    /// Run the unit tests, then the integration tests on this kernel as root and on others in QEMU
    Test(test::Args),
    /// Check the format, the lints and the documentation, then `test`
    Ci(test::Args),
    /// Run the integration tests on other kernels in QEMU
    Vm(vm::Args),
    /// Make what an operator installs: a Debian package, a static tarball, an OCI image
    Dist(dist::Args),
    /// Storm for minutes with provoked losses and restarts, and compare every tree with /proc
    Soak(soak::Args),
    /// Add faults to recordings of real hosts, and check that the tree is repaired
    Simulate(simulate::Args),
    /// Measure what taskscope and its rivals cost and miss, into docs/benchmarks
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
        Command::Build => build::release().map(|binary| eprintln!("built {}", binary.display())),
        Command::Ebpf(args) => ebpf::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Ci(args) => ci::main(&args),
        Command::Vm(args) => vm::main(args),
        Command::Dist(args) => dist::main(&args),
        Command::Soak(args) => soak::main(args),
        Command::Simulate(args) => simulate::main(&args),
        Command::Bench(args) => bench::main(&args),
    }
}
