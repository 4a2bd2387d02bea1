//! `taskscope mcp`: the daemon's answers as tools of the Model Context Protocol, on standard input and output.
//!
//! - `tools`: the table of tools; their arguments are the parameters of the API, from openapi.json
//! - `server`: answers a client's requests; each call of a tool is one request to the daemon
//! - `input`, `output`: standard input and output

mod input;
mod output;
mod server;
mod tools;

use rmcp::ServiceExt as _;
use rmcp::service::{QuitReason, ServerInitializeError};

use self::{input::Input, output::Output, server::Server};
use super::{client::Socket, exit::Exit};
use crate::event_loop;

/// Arguments of `mcp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude mcp add taskscope -- taskscope mcp
  {\"mcpServers\": {\"taskscope\": {\"command\": \"taskscope\", \"args\": [\"mcp\"]}}}
  {\"mcpServers\": {\"node1\": {\"command\": \"ssh\", \"args\": [\"root@node1\", \"taskscope\", \"mcp\"]}}}

The tools only read: status, zombies, deaths, explain, tree, limits, blocked, leaks, stops. docs/mcp.md describes them.")]
pub(super) struct Args {
    #[command(flatten)]
    socket: Socket,
}

/// Runs `mcp` until standard input ends.
pub(super) fn run(args: &Args) -> Exit {
    let tools = match tools::all() {
        Ok(tools) => tools,
        Err(error) => return Exit::failed(&error),
    };
    let runtime = match event_loop::start() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(&error),
    };
    let input = match Input::start() {
        Ok(input) => input,
        Err(error) => {
            log::error!("starting the thread that reads standard input: {error}");
            return Exit::Failure;
        }
    };
    let server = Server::new(args.socket.socket.clone(), tools);
    runtime.block_on(async {
        match server.serve((input, Output)).await {
            // The client has gone, which is how a session ends.
            Err(ServerInitializeError::ConnectionClosed(_)) => Exit::Success,
            Err(error) => {
                log::error!(
                    "{error}: standard input must have JSON-RPC messages of an MCP client, one per line"
                );
                Exit::Failure
            }
            Ok(session) => match session.waiting().await {
                Ok(QuitReason::JoinError(error)) | Err(error) => Exit::failed(&error),
                Ok(_) => Exit::Success,
            },
        }
    })
}
