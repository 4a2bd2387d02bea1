//! `taskscope status`: the daemon's health.

use std::fmt::Write as _;

use super::{
    ask::Format,
    client::{Client, ClientError, Socket},
    exit::Exit,
    output, terminal,
};
use crate::{
    answer::text::folded,
    event_loop,
    service::{HistoryStatus, Holding, OutputStatus, Status},
    verdict::duration,
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope status                       hooks, losses, repairs, memory, readers
  taskscope status --format json | jq .  the same as JSON")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    socket: Socket,
}

/// Columns of the names before the values.
const NAME_WIDTH: usize = 11;

/// Runs `status`.
pub(super) fn run(args: &Args) -> Exit {
    ask(args).and_then(|text| output::answer(&text)).into()
}

fn ask(args: &Args) -> Result<String, Exit> {
    let client = Client::at(&args.socket.socket);
    let answer = event_loop::start().map_err(Exit::failed)?.block_on(async {
        Ok(match args.format {
            Format::Json => format!("{:#}\n", client.json::<serde_json::Value>("/v1/status").await?),
            Format::Text => {
                folded(&text(&client.json("/v1/status").await?), terminal::style(), |_| NAME_WIDTH)
            }
        })
    });
    answer.map_err(|error: ClientError| error.exit())
}

/// The status as text. Writing to a String does not fail.
fn text(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<NAME_WIDTH$}{value}");
    };
    line(
        "daemon",
        format!("taskscope {}, pid {}, up {}", status.version, status.pid, duration(status.uptime_ns)),
    );
    let ready = match (&status.not_ready_because, &status.ready_but) {
        (Some(why), _) => format!("NOT READY: {why}"),
        (None, Some(why)) => why.clone(),
        (None, None) => "ready".to_owned(),
    };
    let no_pid = match status.canaries_no_pid {
        0 => String::new(),
        count => format!(", {count} without a pid"),
    };
    let canary = status.canary_age_ns.map_or("none yet".to_owned(), |age| format!("{} ago", duration(age)));
    line(
        "trust",
        format!(
            "{ready}; lost {}, repaired {}, drift {}, {} ends concluded; last canary {canary} ({} whole, {} broken{no_pid})",
            status.records_lost,
            status.repaired.values().sum::<u64>(),
            status.drift.values().sum::<u64>(),
            status.ends_concluded,
            status.canaries_whole,
            status.canaries_broken,
        ),
    );
    line(
        "records",
        format!(
            "{} received, {} dropped for lack of room, {} shed by rule; {} resyncs, the last took {}",
            status.records_received,
            status.records_dropped,
            status.records_shed,
            status.resyncs,
            duration(status.resync_last_ns),
        ),
    );
    line(
        "tasks",
        format!(
            "{} in {} processes; {} zombies, {} of them old; {} dead leaders; {} lives remembered, {} forgotten early",
            status.tasks,
            status.processes,
            status.zombies,
            status.zombies_old,
            status.dead_leaders,
            status.lives_remembered,
            status.lives_forgotten_early,
        ),
    );
    line(
        "readers",
        format!(
            "{} now; {} events, {} sent, {} lost by slow readers",
            status.readers, status.events, status.readers_sent, status.readers_lost
        ),
    );
    line("sandbox", status.sandbox.clone());
    let resident = status.resident_bytes.map_or("unknown".to_owned(), mebibytes);
    line(
        "memory",
        format!("{resident} resident, {} of it the tree{}", mebibytes(status.lineage_bytes), limit(status)),
    );
    let memory = &status.memory;
    let held = |name: &str, of: Holding| format!("{} {name} {}", of.count, mebibytes(of.bytes));
    line(
        "held for",
        [
            held("tasks", memory.tasks),
            held("dying", memory.dying),
            format!("unused slots {}", mebibytes(memory.spare.bytes)),
            held("lives remembered", memory.lives),
            held("events of the backlog", memory.backlog),
            held("readers", memory.readers),
        ]
        .join(", "),
    );
    for value in given_up(status) {
        line("", value);
    }
    for output in &status.outputs {
        line("output", sent_by(output));
    }
    for (name, value) in status.history.iter().flat_map(kept_on_disk) {
        line(name, value);
    }
    for (index, (hook, rung)) in status.hooks.iter().enumerate() {
        line(if index == 0 { "hooks" } else { "" }, format!("{hook:<24}{rung}"));
    }
    for (index, lack) in status.degraded.iter().enumerate() {
        line(
            if index == 0 { "no report" } else { "" },
            format!("{}{lack}", if index == 0 { " " } else { "" }),
        );
    }
    text
}

/// Returns what was dropped for lack of memory.
fn given_up(status: &Status) -> Vec<String> {
    let mut shown = Vec::new();
    if let Some(what) = &status.memory_given_up {
        shown.push(format!("SHORT OF MEMORY, dropped: {what}"));
    }
    if status.memory_shed.values().any(|count| *count > 0) {
        let shed = |what: &str| status.memory_shed.get(what).copied().unwrap_or(0);
        let (backlog, lives, readers) = (shed("backlog"), shed("lives"), shed("readers"));
        shown.push(format!("dropped so far: {backlog} events, {lives} lives; {readers} readers refused"));
    }
    shown
}

/// Returns what an output has sent, and what it could not send.
fn sent_by(output: &OutputStatus) -> String {
    let OutputStatus { name, target, events, dropped, retries, queued, .. } = output;
    let kind = if name == target { String::new() } else { format!(" ({target})") };
    let error = output.error.as_ref().map_or_else(String::new, |error| format!("; FAILS: {error}"));
    let spilled = if output.spill_bytes > 0 {
        format!(", {} of them in the spill file", mebibytes(output.spill_bytes))
    } else {
        String::new()
    };
    format!(
        "{name}{kind}: {events} events sent, {dropped} dropped, {retries} retries; {queued} wait{spilled}{error}"
    )
}

/// Returns lines about the history on disk, and what could not be written.
fn kept_on_disk(history: &HistoryStatus) -> Vec<(&'static str, String)> {
    let HistoryStatus { directory, segments, lives_written: lives, events_written: events, .. } = history;
    let (disk, lost) = (mebibytes(history.disk_bytes), history.lost_queue.saturating_add(history.lost_disk));
    let mut rows = vec![(
        "history",
        format!(
            "{directory}: {disk} in {segments} segments; {lives} lives and {events} events written, {lost} lines lost"
        ),
    )];
    if let Some(error) = &history.error {
        rows.push(("", format!("NOT WRITTEN: {error}")));
    }
    if history.cut_bytes > 0 {
        let cut = history.cut_bytes;
        rows.push(("", format!("{cut} bytes of incomplete frames were cut off at the start")));
    }
    rows
}

/// How much of the daemon's memory limit is in use.
fn limit(status: &Status) -> String {
    match (status.memory_used_bytes, status.memory_limit_bytes) {
        (Some(used), Some(limit)) => {
            let percent = used.saturating_mul(100).checked_div(limit).unwrap_or(100);
            format!("; {} of {} in use ({percent} %)", mebibytes(used), mebibytes(limit))
        }
        _ => "; no limit".to_owned(),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(mebibytes(32 << 20), "32.0 MiB");
        assert_eq!(mebibytes((1 << 20) + (1 << 19)), "1.5 MiB");
    }
}
