//! The command `taskscope`. Everything is in the library; see ARCHITECTURE.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    taskscope::cli::main()
}
