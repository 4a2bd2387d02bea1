//! What `fleet` asks each host, as a path of the API.

use std::{str::FromStr, time::Duration};

use crate::{
    answer::TaskSelector,
    cli::{conditions::Conditions, exit::Exit, past, query::QueryPath, zombies},
    duration,
};

/// The most rows that an answer keeps.
const ROWS_MAX: i64 = 4_096;

/// Parses a number of rows.
fn rows(text: &str) -> Result<usize, String> {
    let number = text.parse::<i64>().ok().filter(|number| (1..=ROWS_MAX).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("it must be a number from 1 to {ROWS_MAX}"))
}

/// Arguments of `fleet zombies`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope fleet zombies --hosts node1,node2          parents on two hosts, those with most zombies first
  taskscope fleet zombies --hosts-file nodes --min-age 1m
  taskscope fleet zombies --hosts-file nodes --format json | jq '.parents[] | [.host, .process.pid, .verdict.code]'")]
pub(super) struct ZombiesArgs {
    /// Only zombies that have been zombies for at least this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    min_age: Duration,
    /// Only zombies of parents in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    unit: Option<String>,
    /// The most parents to show, of all hosts together
    #[arg(long, value_name = "N", default_value = "100", value_parser = rows)]
    pub(super) limit: usize,
}

impl ZombiesArgs {
    /// Returns the path and query.
    pub(super) fn path(&self) -> String {
        zombies::query(self.min_age, self.unit.as_deref()).into_path()
    }
}

/// Arguments of `fleet deaths`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope fleet deaths --hosts node1,node2           which processes ended on two hosts, the latest first, and why
  taskscope fleet deaths --hosts-file nodes --cause oom --since 1d
  taskscope fleet deaths --hosts-file nodes --at '2026-11-20 14:30'   the latest ends up to that time

Times are those of the hosts' clocks: the order of ends on two hosts is as exact as these.")]
pub(super) struct DeathsArgs {
    /// Also show processes that exited with code 0
    #[arg(long)]
    all: bool,
    /// Only this cause, such as killed, oom or fault
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// Only ends within this time, including those that only the hosts' histories have
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Only ends up to this time: 10m (ago), 14:30:05 in local time, 2026-11-20T14:30:05Z
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    at: Option<String>,
    /// The most ends to show, of all hosts together
    #[arg(long, value_name = "N", default_value = "100", value_parser = rows)]
    pub(super) limit: usize,
}

impl DeathsArgs {
    /// Returns the path and query.
    pub(super) fn path(&self) -> Result<String, Exit> {
        let mut query = QueryPath::new("/v1/deaths");
        query.add("limit", self.limit).add("all", self.all);
        if let Some(since) = self.since {
            query.add("since", format_args!("{}ms", since.as_millis()));
        }
        if let Some(at) = &self.at {
            query.add("at", past::moment("--at", at)?.0);
        }
        query.add_all("cause", &self.cause);
        self.conditions.add_to(&mut query);
        Ok(query.into_path())
    }
}

/// Arguments of `fleet explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope fleet explain node2/4711                   a process of node2, by its pid
  taskscope fleet explain node2:9464/1c61cb62-4711-6859782660519   by its entity id, also after it has ended
  taskscope fleet explain --hosts-file nodes node2/4711   with scheme and port as the file has them")]
pub(super) struct ExplainArgs {
    /// Host as the other subcommands name it, and pid, tid or entity id
    #[arg(value_name = "HOST/PID")]
    pub(super) process: RemoteProcess,
}

impl ExplainArgs {
    /// Returns the path.
    pub(super) fn path(&self) -> String {
        format!("/v1/explain/{}", self.process.selector)
    }
}

/// A process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteProcess {
    pub(super) host: String,
    selector: TaskSelector,
}

impl FromStr for RemoteProcess {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, process) = text.rsplit_once('/').unwrap_or(("", text));
        if host.is_empty() {
            return Err("it must be HOST/PID, such as node1/4711".into());
        }
        let selector = process.parse().map_err(|error: crate::answer::NotFound| error.to_string())?;
        Ok(Self { host: host.to_owned(), selector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_its_host_and_pid() {
        let of = |text: &str| text.parse::<RemoteProcess>();
        let it = of("node1:9464/4711").unwrap();
        assert_eq!((it.host.as_str(), it.selector), ("node1:9464", TaskSelector::Pid(4711)));
        assert_eq!(of("https://node1/7").unwrap().host, "https://node1");
        assert!(matches!(of("[::1]:9/0bad-7-9").unwrap().selector, TaskSelector::Entity(_)));
        for wrong in ["4711", "/4711", "node1/", "node1/nginx", "node1/-1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_of_rows_is_bounded() {
        assert_eq!(rows("4096"), Ok(4096));
        assert!(["0", "-1", "4097", "x"].iter().all(|wrong| rows(wrong).is_err()));
    }
}
