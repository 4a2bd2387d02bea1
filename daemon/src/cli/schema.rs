//! `taskscope schema`: what lines of JSON consist of, as a JSON Schema.

use clap::ValueEnum;

use super::{exit::Exit, output};
use crate::answer::life;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope schema lives > life.schema.json       what `lives`, `events --lives` and the history on disk consist of
  taskscope schema lives | check-jsonschema --schemafile /dev/stdin life.json")]
pub(super) struct Args {
    /// Of which lines
    #[arg(value_enum)]
    of: Of,
}

/// Kinds of lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// Processes that are gone: docs/lives.md
    Lives,
}

/// Runs `schema`.
pub(super) fn run(args: &Args) -> Exit {
    let schema = match args.of {
        Of::Lives => life::schema().to_value(),
    };
    match output::print(&format!("{schema:#}\n")) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("writing to standard output: {error}");
            Exit::Failure
        }
    }
}
