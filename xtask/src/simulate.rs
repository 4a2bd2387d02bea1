//! `cargo xtask simulate`: faults added to recordings of real hosts, for as long as asked.

use anyhow::Result;

use crate::shell;

const EXAMPLES: &str = "\
Examples:
  cargo xtask simulate --minutes 10      other faults in each run
  cargo xtask simulate --seed 42         those of one seed again, such as that of a failure";

/// Add losses, reordering, restarts and comparisons to recordings, and check the tree
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How long
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Only the faults of this seed
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    seed: Option<u64>,
}

/// `cargo xtask simulate`.
pub(crate) fn main(args: &Args) -> Result<()> {
    let mut cmd = shell::cargo();
    cmd.args(["test", "--package", "taskscope", "--test", "simulation"]);
    match args.seed {
        Some(seed) => cmd.env("TASKSCOPE_SIMULATION_SEED", seed.to_string()).args(["whatever_is_lost"]),
        None => cmd
            .env("TASKSCOPE_SIMULATION_SECONDS", (args.minutes * 60).to_string())
            .args(["as_long_as_asked"]),
    };
    shell::run(cmd.args(["--", "--nocapture"]))
}
