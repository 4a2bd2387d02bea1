//! `cargo xtask soak`: a mixed storm for as long as asked, with provoked losses, and the daemon stopped and killed.
//!
//! With `--faults` it inflicts one fault of the host after the other, and prints a table of what they did to the daemon.
//!
//! It fails unless every tree compared equals /proc, every sum comes out and the daemon's memory is flat. The storm itself is the
//! program `soak` of the tests package, so that the same runs natively and in a guest.

use std::ffi::OsStr;

use anyhow::{Result, bail};

use crate::{build, shell, vm};

const EXAMPLES: &str = "\
Examples:
  cargo xtask soak --minutes 30                               on the running kernel, as root
  cargo xtask soak --minutes 30 --vm 6.1 --attach kprobe      in a guest
  cargo xtask soak --faults --vm 6.12                         every fault of a host, in a guest, and one with 64 CPUs
  cargo xtask soak --kills 100                                kill -9 of a daemon with history at 100 moments
  cargo xtask soak --faults                                   those that do not harm this machine";

/// Storms, losses, stops and kills; then a table.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How long
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Let pids, memory, disk, descriptors, CPU and clock run out or jump, one after the other, and print what that did
    #[arg(long, conflicts_with = "minutes")]
    faults: bool,
    /// Kill the daemon this often during storms of short processes, and check what its history lost; about 10 s each
    #[arg(long, value_name = "N", conflicts_with_all = ["minutes", "faults", "vm"], value_parser = clap::value_parser!(u32).range(1..))]
    kills: Option<u32>,
    /// In a guest with this kernel of xtask/vm/kernels.table, and not on the running one
    #[arg(long, value_name = "KERNEL")]
    vm: Option<String>,
    /// Attach each hook only by this kind of program
    #[arg(long, default_value = "auto", value_name = "FAMILY", value_parser = ["auto", "kprobe", "fentry", "tracepoint"])]
    attach: String,
}

/// `cargo xtask soak`.
pub(crate) fn main(args: Args) -> Result<()> {
    match args.vm {
        Some(kernel) if args.faults => vm::run_faults(&kernel, &args.attach),
        Some(kernel) => vm::run_soak(kernel, args.attach, args.minutes),
        None => native(&args),
    }
}

fn native(args: &Args) -> Result<()> {
    let why = "observing the kernel";
    shell::root_prefix(why, &[])?;
    let binary = build::release()?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "taskscope-tests", "--bins"]))?;
    let programs = shell::target_dir().join("release");
    let (soak, scenario) = (programs.join("soak"), programs.join("scenario"));
    if !soak.is_file() {
        bail!("cargo succeeded and left no {}", soak.display());
    }
    let env: [(&str, &OsStr); 2] =
        [("TASKSCOPE_BIN", binary.as_os_str()), ("TASKSCOPE_SCENARIO", scenario.as_os_str())];
    let mut cmd = shell::as_root(why, &env, soak.as_os_str())?;
    if let Some(kills) = args.kills {
        cmd.args(["kills", &kills.to_string(), &args.attach]);
    } else if args.faults {
        cmd.args(["faults", vm::FAULT_SECONDS, &args.attach]);
    } else {
        cmd.arg(args.minutes.to_string()).arg(&args.attach);
    }
    shell::run_with_stdout(&mut cmd)
}
