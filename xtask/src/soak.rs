//! `cargo xtask soak`: runs a mixed storm for a given time, with provoked losses, and stops and kills the daemon.
//!
//! With `--outputs` it sends the events of a storm to real servers that are stopped, killed and paused.
//!
//! With `--faults` it causes faults of the host, one after the other, and prints a table of their effects on the daemon.
//!
//! It fails unless every compared tree equals /proc, every sum balances and the daemon's memory does not grow. The program `soak`
//! of the tests package makes the storm, natively and in a guest.

use std::ffi::OsStr;

use anyhow::{Result, bail};

use crate::{build, shell, test, vm};

const EXAMPLES: &str = "\
Examples:
  cargo xtask soak --minutes 30                               on the running kernel, as root
  cargo xtask soak --minutes 30 --vm 6.1 --attach kprobe      in a guest
  cargo xtask soak --faults --vm 6.12                         every fault of a host, in a guest, and one with 64 CPUs
  cargo xtask soak --kills 100                                kill -9 of a daemon with history at 100 moments
  cargo xtask soak --outputs --minutes 30                     outputs to real servers that are stopped and paused ten times
  cargo xtask soak --faults                                   those that do not harm this machine";

/// Storms, losses, stops and kills; then a table.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Duration of the run
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Exhaust pids, memory, disk, descriptors and CPU, and set the clock, one after the other, and print the effects
    #[arg(long, conflicts_with = "minutes")]
    faults: bool,
    /// Kill the daemon this often during storms of short processes, and check what its history lost; about 10 s each
    #[arg(long, value_name = "N", conflicts_with_all = ["minutes", "faults", "vm"], value_parser = clap::value_parser!(u32).range(1..))]
    kills: Option<u32>,
    /// Send events to OpenTelemetry collectors and a NATS server that are stopped, killed and paused ten times, and check that each event
    /// is there or in a gap
    #[arg(long, conflicts_with_all = ["faults", "kills", "vm"])]
    outputs: bool,
    /// Run in a guest with this kernel of xtask/vm/kernels.table instead of on this host
    #[arg(long, value_name = "KERNEL")]
    vm: Option<String>,
    /// Attach all hooks by this family of programs
    #[arg(long, default_value = "auto", value_name = "FAMILY", value_parser = ["auto", "kprobe", "fentry", "tracepoint"])]
    attach: String,
}

/// Runs `cargo xtask soak`.
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
    let binary = if args.outputs { test::with_nats()? } else { build::release()? };
    shell::run(shell::cargo().args(["build", "--release", "--package", "taskscope-tests", "--bins"]))?;
    let programs = shell::target_dir().join("release");
    let (soak, scenario) = (programs.join("soak"), programs.join("scenario"));
    if !soak.is_file() {
        bail!("cargo succeeded and left no {}", soak.display());
    }
    let servers = if args.outputs { Some((test::rotel()?, test::nats_server()?)) } else { None };
    let mut env: Vec<(&str, &OsStr)> =
        vec![("TASKSCOPE_BIN", binary.as_os_str()), ("TASKSCOPE_SCENARIO", scenario.as_os_str())];
    if let Some((rotel, nats)) = &servers {
        env.push(("TASKSCOPE_ROTEL", rotel.as_os_str()));
        env.push(("TASKSCOPE_NATS_SERVER", nats.as_os_str()));
        env.push(("TASKSCOPE_ATTACH", args.attach.as_ref()));
    }
    let mut cmd = shell::as_root(why, &env, soak.as_os_str())?;
    if let Some(kills) = args.kills {
        cmd.args(["kills", &kills.to_string(), &args.attach]);
    } else if args.outputs {
        cmd.args(["outputs", &args.minutes.to_string()]);
    } else if args.faults {
        cmd.args(["faults", vm::FAULT_SECONDS, &args.attach]);
    } else {
        cmd.arg(args.minutes.to_string()).arg(&args.attach);
    }
    shell::run_with_stdout(&mut cmd)
}
