//! `taskscope fleet top`: a live view of many hosts.
//!
//! - `schedule`: when each host is asked; `poll`: one poll of one host; `poller`: the thread that asks all
//! - `screen`: shows the hosts; `keys`: what the keys do; `draw`: draws a frame

mod draw;
mod keys;
mod poll;
mod poller;
mod schedule;
mod screen;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use self::poller::{Plan, Poller};
use super::{access::Access, hosts::Host, remote::Remote};
use crate::{
    cli::{exit::Exit, full_screen, top},
    duration, event_loop,
    view::fleet::FleetView,
};

/// The shortest interval.
const EVERY_MIN: Duration = Duration::from_millis(200);

/// An interval after which no host is asked again with `--once`.
const ONCE: Duration = Duration::from_secs(86_400);

/// Arguments of `fleet top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope fleet top --hosts-file nodes               a row for each host, those that need attention first: q ends it, ? lists the keys
  taskscope fleet top --hosts-file nodes --interval 10s
  taskscope fleet top --hosts-file nodes --ca ca.pem --cert me.pem --key me.key
  COLUMNS=200 LINES=60 taskscope fleet top --hosts-file nodes --once   one frame, for scripts

docs/fleet.md describes the columns, and how often each host is asked.")]
pub(super) struct TopArgs {
    /// Ask each host once, print one frame of COLUMNS x LINES characters (else the terminal's size, else 80x24), and end
    #[arg(long)]
    once: bool,
    /// Interval at which each host is asked; at least 10 ms for each host of the list, and longer for hosts that answer slowly
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    interval: Duration,
    /// Start with the mouse on: a click chooses a host, the wheel moves the selection. The key m does the same later
    #[arg(long, conflicts_with = "once")]
    mouse: bool,
}

/// Runs `fleet top`.
pub(super) fn run(args: &TopArgs, hosts: &[Host], access: &Access, parallel: usize) -> Result<Exit, Exit> {
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !args.once && !is_terminal {
        log::error!("fleet top: standard input and output must be a terminal; --once prints one frame");
        return Err(Exit::Usage);
    }
    let mut view = FleetView::new(hosts.iter().map(|host| host.name.clone()));
    let every = if args.once { ONCE } else { args.interval.max(EVERY_MIN) };
    let plan = Plan { hosts: hosts.to_vec(), access: access.clone(), every, parallel };
    let mut poller = Poller::start(plan)?;
    if args.once {
        return once(&mut view, &mut poller);
    }
    screen::run(&mut view, poller, args.mouse, |index, mouse| {
        let host = hosts.get(index).cloned().ok_or(io::ErrorKind::NotFound)?;
        top::show_remote(Remote { access: access.clone(), host }, mouse)
    })?;
    Ok(Exit::Success)
}

/// Asks each host once, and prints a frame.
fn once(view: &mut FleetView, poller: &mut Poller) -> Result<Exit, Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    runtime.block_on(async {
        for _ in 0..view.hosts() {
            let Some(input) = poller.inputs.recv().await else { break };
            view.apply(input);
        }
    });
    view.refresh();
    full_screen::print(|caps, area, out| {
        draw::draw(view, None, &mut keys::Choice::default(), caps, area, out);
    })?;
    Ok(match view.counts().answered {
        0 => Exit::Failure,
        answered if answered < view.hosts() => Exit::HostsMissing,
        _ => Exit::Success,
    })
}
