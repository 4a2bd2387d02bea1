//! What the commands that read the history share: they read it from the daemon's answers, or from a directory without any daemon.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::HeaderMap;

use crate::cli::{client::Client, exit::Exit};
use crate::{
    answer::{
        known::{Damage, Known},
        life::{LifeFilter, LifeRecord},
        time_arg,
        tree::Tree,
    },
    export::{Stamp, Zone},
    history::read::{LifeSearch, ReadDirectory, Times, known},
    lineage::id::Ktime,
    service::{DAMAGE, KNOWN, KNOWN_SINCE},
};

/// How long a search runs before it returns to the caller.
pub(in crate::cli) const PIECE: Duration = Duration::from_millis(100);

/// A directory in place of the daemon.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct FromDirectory {
    /// Read the history in this directory, such as /var/lib/taskscope or a copy of one; needs no daemon and no privileges
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) from: Option<PathBuf>,
}

/// Returns the present time of the wall clock, ns since the epoch.
pub(in crate::cli) fn now_ns() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(0)
}

/// Returns a stamp whose boot time is the wall clock, for times without a host.
pub(in crate::cli) fn wall_stamp() -> (Stamp, Ktime) {
    (Stamp::new("", 0), Ktime(u64::try_from(now_ns()).unwrap_or(0)))
}

/// Returns the wall-clock time of `--since`, ms since the epoch.
pub(in crate::cli) fn since_ms(since: Option<Duration>) -> i64 {
    let Some(since) = since else { return i64::MIN };
    let since_ns = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    i64::try_from(now_ns().saturating_sub(since_ns).div_euclid(1_000_000)).unwrap_or(i64::MIN)
}

/// Returns a time as RFC 3339 in UTC.
pub(in crate::cli) fn utc(ms: i64) -> String {
    Stamp::new("", i128::from(ms.max(0)) * 1_000_000).timestamp_ms(Ktime(0))
}

/// Parses a time in local time; returns it in UTC for the API, and as ms since the epoch.
pub(in crate::cli) fn moment(option: &str, text: &str) -> Result<(String, i64), Exit> {
    parsed(text).map_err(|error| {
        log::error!("{option}: {error}");
        Exit::Usage
    })
}

/// Does the same, and returns what is wrong as text.
pub(in crate::cli) fn parsed(text: &str) -> Result<(String, i64), String> {
    let utc = time_arg::to_utc(text, now_ns(), Zone::Local).unwrap_or_else(|| text.to_owned());
    let (stamp, now) = wall_stamp();
    let ms = time_arg::past_ms(&utc, now, &stamp)?;
    Ok((utc, ms))
}

/// Opens a directory and reads what it knows from a time on.
pub(in crate::cli) fn open(path: &Path, from_ms: i64) -> Result<(Arc<ReadDirectory>, Known), Exit> {
    let directory = Arc::new(ReadDirectory::open(path).map_err(Exit::failed)?);
    let known = known(&directory, from_ms).map_err(Exit::failed)?;
    Ok((directory, known))
}

/// Returns all lives of a directory that a question is about, and what could not be read.
pub(in crate::cli) fn lives(
    directory: &Arc<ReadDirectory>,
    times: Times,
    filter: LifeFilter,
) -> Result<(Vec<LifeRecord>, Damage), Exit> {
    let mut search = LifeSearch::new(Arc::clone(directory), times, filter);
    let mut lives = Vec::new();
    while !search
        .go_on(PIECE, &mut |_, life| {
            lives.push(life);
            ControlFlow::Continue(())
        })
        .map_err(Exit::failed)?
    {}
    Ok((lives, search.finish()))
}

/// Returns from which time on the daemon's memory has all ends, by the header of an answer with lives.
pub(in crate::cli) fn known_since(answer: &HeaderMap) -> Option<&str> {
    answer.get(KNOWN_SINCE)?.to_str().ok()
}

/// Returns what the history lacks, as an answer says that was read from it too.
pub(in crate::cli) fn known_by(answer: &HeaderMap) -> Option<Known> {
    serde_json::from_slice(answer.get(KNOWN)?.as_bytes()).ok()
}

/// Returns what of the history could not be read, as the end of the last answer says.
pub(in crate::cli) fn damage(client: &Client) -> Option<Damage> {
    serde_json::from_str(&client.trailer(DAMAGE)?).ok()
}

/// Creates the tree of a time from a directory; `root` selects a process and its descendants.
pub(in crate::cli) fn tree_of(path: &Path, at_ms: i64, root: Option<u32>) -> Result<Tree, Exit> {
    let (directory, mut known) = open(path, at_ms)?;
    let filter = LifeFilter { at_ms: Some(at_ms), ..LifeFilter::default() };
    let (lives, damage) = lives(&directory, Times::since(at_ms), filter)?;
    known.damage.add(&damage);
    let (stamp, now) = wall_stamp();
    let mut tree = Tree::of_history(&stamp, now, None, at_ms);
    tree.add_history(&lives, at_ms, root, known).map_err(Exit::failed)?;
    Ok(tree)
}

/// Says on standard error from which time on all ends are known, and what is missing since then.
pub(in crate::cli) fn report(known: &Known) {
    if let Some(since) = &known.known_since {
        log::info!("processes that ended before {since} are not known");
    }
    report_gaps(known);
}

/// Says on standard error what is missing.
pub(in crate::cli) fn report_gaps(known: &Known) {
    for sentence in known.sentences() {
        log::warn!("{sentence}");
    }
}

/// Says on standard error what could not be read.
pub(in crate::cli) fn report_damage(damage: &Damage) {
    for sentence in damage.sentences() {
        log::warn!("history: {sentence}");
    }
}
