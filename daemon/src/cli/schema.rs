//! `taskscope schema`: the JSON Schema of lines of JSON.

use clap::ValueEnum;

use super::{exit::Exit, output};
use crate::{answer::life, export::event_schema};

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope schema lives > life.schema.json       the format of `lives`, `events --lives` and the history on disk
  taskscope schema events > event.schema.json     the format of `events`
  taskscope schema lives | check-jsonschema --schemafile /dev/stdin life.json")]
pub(super) struct Args {
    /// Kind of line
    #[arg(value_enum)]
    of: Of,
}

/// Kinds of lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// Lives of released processes: docs/lives.md
    Lives,
    /// Events: docs/events.md
    Events,
}

/// Runs `schema`.
pub(super) fn run(args: &Args) -> Exit {
    let schema = match args.of {
        Of::Lives => life::schema().to_value(),
        Of::Events => event_schema().to_value(),
    };
    match output::print(&format!("{schema:#}\n")) {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("writing to standard output: {error}");
            Exit::Failure
        }
    }
}
