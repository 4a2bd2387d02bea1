//! What the handlers that read the history share: a worker thread reads it piece by piece, so that no answer keeps a thread for long.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    answer::{
        known::{Damage, Gap, Known},
        life::LifeRecord,
    },
    export::Stamp,
    history::{
        HistoryReading,
        read::{LifeSearch, ReadDirectory, ReadError, known},
    },
    kernel::clock,
    service::http::{api::Api, error::ApiError},
};

/// How long a worker thread reads before another answer may have it.
pub(super) const PIECE: Duration = Duration::from_millis(20);

/// How long an answer waits until the lines that were queued before the question are on disk. The writer needs about 100 ms.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

/// The interval at which an answer checks whether the lines are written.
const PAUSE: Duration = Duration::from_millis(10);

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::internal(error.to_string())
    }
}

/// Returns the present time of the wall clock, ms since the epoch.
pub(super) fn now_ms(stamp: &Stamp) -> i64 {
    i64::try_from(stamp.wall_ns(clock::boottime()) / 1_000_000).unwrap_or(i64::MAX)
}

/// Waits until the lines that were queued before a question are on disk. Returns `false` if that takes longer than
/// [`WRITTEN_WITHIN`].
pub(super) async fn written(reading: &HistoryReading) -> bool {
    let end = Instant::now() + WRITTEN_WITHIN;
    while !reading.is_written() {
        if Instant::now() >= end {
            return false;
        }
        sleep(PAUSE).await;
    }
    true
}

/// The most lives of one answer that is not sent in pieces: more processes than a host has at one time.
const MOST_LIVES: usize = 4 << 20;

/// Returns all lives of a search, and what could not be read.
pub(super) async fn lives(api: &Api, mut search: LifeSearch) -> Result<(Vec<LifeRecord>, Damage), ApiError> {
    let mut lives = Vec::new();
    loop {
        let (is_done, found, again) = api
            .workers
            .run(move || {
                let mut found = Vec::new();
                let is_done = search.go_on(PIECE, &mut |_, life| {
                    found.push(life);
                    ControlFlow::Continue(())
                });
                (is_done, found, search)
            })
            .await?;
        search = again;
        lives.extend(found);
        if lives.len() > MOST_LIVES {
            return Err(ApiError::internal(format!("more than {MOST_LIVES} processes in the history")));
        }
        if is_done? {
            return Ok((lives, search.finish()));
        }
    }
}

/// Waits until the lines that were queued before a question are on disk, then reads which times the history covers from `from_ms`
/// on.
pub(super) async fn ready(
    api: &Api,
    reading: &HistoryReading,
    from_ms: i64,
    stamp: &Stamp,
) -> Result<(Arc<ReadDirectory>, Known), ApiError> {
    let is_written = written(reading).await;
    let directory = Arc::clone(reading.directory());
    let of = Arc::clone(&directory);
    let mut known = api.workers.run(move || known(&of, from_ms)).await??;
    if !is_written {
        let to = stamp.timestamp_ms(clock::boottime());
        known.gaps.push(Gap { from: None, to, place: "not_written_yet".into(), lost: None });
    }
    Ok((directory, known))
}
