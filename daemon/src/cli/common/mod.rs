//! What subcommands share.
//!
//! - `ask`: gets an answer, from the daemon or from a snapshot; `client`: requests to the daemon, `query`: their paths; `past`: questions
//!   about a past time
//! - `selector`: the process that an argument names; `conditions`: the processes that options select;
//!   `schema_name`: the schema of lines
//! - `output`, `stdout`: writes lines and answers; `whole_lines`: lines of a body that comes in pieces; `terminal`: size and colours of the terminal
//! - `full_screen`: views that take the whole terminal
//! - `exit`: exit codes; `logging`: messages on standard error; `signals`: Ctrl-C and SIGTERM

pub(super) mod ask;
pub(super) mod client;
pub(super) mod conditions;
pub mod exit;
#[cfg(feature = "top")]
pub(super) mod full_screen;
pub(super) mod logging;
pub(super) mod output;
pub(super) mod past;
pub(super) mod query;
pub(super) mod schema_name;
pub(super) mod selector;
pub(super) mod signals;
pub(super) mod stdout;
pub(super) mod terminal;
pub(super) mod whole_lines;
