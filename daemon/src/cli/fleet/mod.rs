//! `taskscope fleet`: asks many daemons over the network, and shows their answers as one.

mod access;
mod client;
mod gather;
mod hosts;
mod question;
mod remote;
#[cfg(feature = "srv")]
mod srv;
#[cfg(not(feature = "srv"))]
mod srv {
    pub(super) fn entries(_: &str, _: std::time::Duration) -> Result<Vec<String>, String> {
        Err("--srv needs a taskscope that was built with its cargo feature `srv`, which is on by default"
            .into())
    }
}
#[cfg(feature = "top")]
mod top;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use self::{
    access::{Access, AccessArgs},
    gather::ANSWER_MAX,
    hosts::{Host, List},
    question::{DeathsArgs, ExplainArgs, ZombiesArgs},
};
#[cfg(feature = "top")]
pub(super) use self::{client::Failure, remote::Remote};
use super::{
    ask::{self, Format},
    exit::Exit,
    terminal,
};
use crate::answer::{
    fleet::{Fleet, FleetDeaths, FleetExplanation, FleetStatus, FleetZombies, Merge},
    text::{self, Style},
};

/// Arguments of `fleet`.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  taskscope fleet zombies --hosts node1,node2:9464     parents that have not waited for their zombies, on two hosts
  taskscope fleet deaths --hosts-file nodes --since 1h  which processes ended on all hosts of a file, the latest first
  taskscope fleet status --hosts-file nodes --ca ca.pem --cert me.pem --key me.key   over TLS with a client certificate
  taskscope fleet explain node2:9464/4711              why a process of one host is a zombie, stuck or gone
  taskscope fleet top --hosts-file nodes               a live view with a row for each host
  taskscope fleet zombies --srv _taskscope._tcp.example.org   hosts from SRV records in the DNS

Each daemon must serve its API on TCP: taskscope run --listen ADDRESS --api-on-tcp --web-config-file FILE (docs/fleet.md).

Exit codes:
  0   all hosts answered; fleet zombies: and they have none
  1   no host answered
  2   wrong use of the command line, or an entry in the list is wrong
  9   fleet zombies: a parent on one of the hosts has not waited for its zombies, whether or not all hosts answered
  10  some hosts did not answer; the others are shown"
)]
pub(super) struct Args {
    #[command(subcommand)]
    question: Question,
    /// Hosts to ask, separated by commas: name, address or URL with http or https; port 9753 if none is given; NAME= before it sets
    /// the name that is shown
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', global = true)]
    hosts: Vec<String>,
    /// File with one host a line; # begins a comment; - is standard input
    #[arg(long, value_name = "FILE", global = true)]
    hosts_file: Option<PathBuf>,
    /// Name whose SRV records in the DNS are hosts to ask, such as _taskscope._tcp.example.org; can be repeated
    #[arg(long, value_name = "NAME", global = true)]
    srv: Vec<String>,
    /// How many hosts are asked at a time
    #[arg(long, value_name = "N", global = true, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    parallel: u16,
    /// Output format
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
    #[command(flatten)]
    access: AccessArgs,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Show parents on all hosts that have not waited for their zombies, why, and what to do
    Zombies(ZombiesArgs),
    /// Show which processes ended on all hosts, and why, the latest first
    Deaths(DeathsArgs),
    /// Show the health of all daemons, those that are not ready first
    Status(StatusArgs),
    /// Show the history of one process of one host, what is wrong with it, and what to do
    Explain(ExplainArgs),
    /// Show a live view with a row for each host, those that need attention first; Enter opens one
    #[cfg(feature = "top")]
    Top(top::TopArgs),
}

/// Arguments of `fleet status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope fleet status --hosts node1,node2           a row for each daemon: version, zombies, losses, drift, state
  taskscope fleet status --hosts-file nodes --format json | jq '.daemons[] | select(.ready | not) | .host'")]
struct StatusArgs {}

/// The most bytes of an answer to `/v1/status`.
const STATUS_MAX: usize = 256 << 10;

/// Runs `fleet`.
pub(super) fn run(args: &Args) -> Exit {
    let outcome = match &args.question {
        Question::Zombies(question) => zombies(args, question),
        Question::Deaths(question) => question.path().and_then(|path| {
            let answer = FleetDeaths::new(question.limit);
            ask_all(args, &path, ANSWER_MAX, answer, text::fleet_deaths).map(|fleet| exit_of(&fleet))
        }),
        Question::Status(_) => {
            let answer = FleetStatus::default();
            ask_all(args, "/v1/status", STATUS_MAX, answer, text::fleet_status).map(|fleet| exit_of(&fleet))
        }
        Question::Explain(question) => explain(args, question),
        #[cfg(feature = "top")]
        Question::Top(question) => live(args, question),
    };
    outcome.unwrap_or_else(|exit| exit)
}

fn zombies(args: &Args, question: &ZombiesArgs) -> Result<Exit, Exit> {
    let answer = FleetZombies::new(question.limit);
    let fleet = ask_all(args, &question.path(), ANSWER_MAX, answer, text::fleet_zombies)?;
    Ok(if fleet.answer.overdue() > 0 { Exit::Zombies } else { exit_of(&fleet) })
}

fn explain(args: &Args, question: &ExplainArgs) -> Result<Exit, Exit> {
    let (listed, path) = (list(args)?, question.path());
    let host = match listed.iter().find(|host| *host.name == *question.process.host) {
        Some(host) => host.clone(),
        None => Host::parse(&question.process.host, args.access.is_https()).map_err(usage)?,
    };
    let fleet = ask_hosts(args, &[host], &path, ANSWER_MAX, FleetExplanation::default())?;
    show(args, &fleet, |fleet, style| match &fleet.answer.explanation {
        Some(it) => format!("on {}: {}", text::escape(&it.host), text::explanation(&it.row, style)),
        None => text::fleet_errors(fleet, style),
    })?;
    Ok(exit_of(&fleet))
}

#[cfg(feature = "top")]
fn live(args: &Args, question: &top::TopArgs) -> Result<Exit, Exit> {
    if args.format == Format::Json {
        return Err(usage("fleet top has no JSON output: use fleet status --format json"));
    }
    let hosts = some_hosts(args)?;
    let access = access(args, &hosts)?;
    top::run(question, &hosts, &access, usize::from(args.parallel))
}

fn usage(error: impl std::fmt::Display) -> Exit {
    log::error!("{error}");
    Exit::Usage
}

fn exit_of<T>(fleet: &Fleet<T>) -> Exit {
    match fleet.hosts_answered {
        0 => Exit::Failure,
        answered if answered < fleet.hosts_asked => Exit::HostsMissing,
        _ => Exit::Success,
    }
}

/// Returns the hosts that the arguments list.
fn list(args: &Args) -> Result<Vec<Host>, Exit> {
    let mut list = List::default();
    for entry in args.hosts.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
        list.add(entry, "--hosts", args.access.is_https());
    }
    if let Some(file) = &args.hosts_file {
        list.add_file(file, args.access.is_https()).map_err(usage)?;
    }
    for name in &args.srv {
        for entry in srv::entries(name, args.access.timeout()).map_err(Exit::failed)? {
            list.add(&entry, &format!("--srv {name}"), args.access.is_https());
        }
    }
    list.check().map_err(usage)?;
    if let Some(doubles) = list.doubles() {
        log::warn!("{doubles}");
    }
    Ok(list.hosts)
}

/// Returns the hosts that the arguments list, if there are any.
fn some_hosts(args: &Args) -> Result<Vec<Host>, Exit> {
    let hosts = list(args)?;
    if hosts.is_empty() {
        return Err(usage("no host is listed: --hosts node1,node2:9464, --hosts-file FILE, or --srv NAME"));
    }
    Ok(hosts)
}

/// Asks all hosts of the list, and shows what they answer.
fn ask_all<T: Merge + Serialize>(
    args: &Args,
    path: &str,
    most: usize,
    answer: T,
    text: impl FnOnce(&Fleet<T>, Style) -> String,
) -> Result<Fleet<T>, Exit> {
    let hosts = some_hosts(args)?;
    let fleet = ask_hosts(args, &hosts, path, most, answer)?;
    show(args, &fleet, text)?;
    Ok(fleet)
}

fn ask_hosts<T: Merge>(
    args: &Args,
    hosts: &[Host],
    path: &str,
    most: usize,
    answer: T,
) -> Result<Fleet<T>, Exit> {
    let access = access(args, hosts)?;
    gather::all(hosts, &access, usize::from(args.parallel), path, most, answer)
}

/// Reads the certificates and the password; warns if the password is sent without TLS.
fn access(args: &Args, hosts: &[Host]) -> Result<Access, Exit> {
    let access = args.access.read().map_err(usage)?;
    if access.tls.is_none()
        && let Some(host) = hosts.iter().find(|host| host.is_https)
    {
        let message = format!(
            "{} is listed as https://, which needs --ca FILE: the authority that has signed its certificate, or \
             /etc/ssl/certs/ca-certificates.crt",
            host.name
        );
        return Err(usage(message));
    }
    let is_local = |host: &Host| host.node == "localhost" || host.ip().is_some_and(|ip| ip.is_loopback());
    let unencrypted = hosts.iter().filter(|host| !host.is_https && !is_local(host)).count();
    if access.authorization.is_some() && unencrypted > 0 {
        log::warn!(
            "the password is sent without TLS to {unencrypted} hosts: use --ca FILE, or list them as https://"
        );
    }
    Ok(access)
}

fn show<T: Serialize>(
    args: &Args,
    fleet: &Fleet<T>,
    text: impl FnOnce(&Fleet<T>, Style) -> String,
) -> Result<(), Exit> {
    ask::show(fleet, args.format, |fleet| text(fleet, terminal::style()))
}
