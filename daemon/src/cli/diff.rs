//! `taskscope diff`: what changed between two times.

use super::{
    ask::{self, Format},
    client::{Client, ClientError, Socket},
    exit::Exit,
    past::{self, FromDirectory},
    query::QueryPath,
    terminal,
    whole_lines::WholeLines,
};
use crate::{
    answer::{
        difference::{Difference, DifferenceMaker, Scope},
        known::Known,
        life::{LifeFilter, LifeRecord},
        text,
        tree::Tree,
    },
    event_loop,
    history::read::{LifeSearch, Times},
};

/// The most lives that are kept in memory, about 300 bytes each.
const MOST_KEPT: usize = 4_000_000;

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope diff 10m now                     what began, ended and moved in the last ten minutes, and what it used
  taskscope diff 14:00 14:30 nginx.service   the same for a systemd unit, between two times
  taskscope diff 1h now 4711                 the same for a process and its descendants
  taskscope diff 14:00 15:00 --from ./copy   from a copy of a history, which lacks processes that still exist
  taskscope diff 1d now --format json | jq '.gone[] | select(.death.cause == \"oom\")'

CPU TIME is that of processes that began after the first time. OLDER, ENDED is that of older processes \
that ended in between, including what they used before the first time. Times are as in `tree --at`: 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local time, 2026-11-20T14:30:05Z in UTC.")]
pub(super) struct Args {
    /// The first time
    #[arg(value_name = "T1")]
    first: String,
    /// The second time, or now
    #[arg(value_name = "T2")]
    second: String,
    /// Only this process and its descendants, or only processes in this systemd unit (* and ? as in a shell)
    #[arg(value_name = "PID|UNIT")]
    scope: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    directory: FromDirectory,
    #[command(flatten)]
    socket: Socket,
}

/// Runs `diff`.
pub(super) fn run(args: &Args) -> Exit {
    compared(args).map_or_else(|exit| exit, |()| Exit::Success)
}

fn compared(args: &Args) -> Result<(), Exit> {
    let (_, from_ms) = past::moment("T1", &args.first)?;
    let now_ms = i64::try_from(past::now_ns() / 1_000_000).unwrap_or(i64::MAX);
    let to_ms = if args.second == "now" { None } else { Some(past::moment("T2", &args.second)?.1) };
    if to_ms.is_some_and(|to| to <= from_ms) {
        log::error!("T2 must be later than T1: {} is not after {}", args.second, args.first);
        return Err(Exit::Usage);
    }
    let scope = match &args.scope {
        None => Scope::All,
        Some(text) => text.parse().map_or_else(|_| Scope::Unit(text.clone()), Scope::Pid),
    };
    let maker = DifferenceMaker::new(scope, from_ms, to_ms.unwrap_or(now_ms));
    let mut difference = match &args.directory.from {
        Some(directory) => {
            let at = |at_ms| past::tree_of(directory, at_ms, None);
            let (before, after) = (at(from_ms)?, at(to_ms.unwrap_or(now_ms))?);
            let (directory, known) = past::open(directory, from_ms)?;
            let mut search = LifeSearch::new(
                directory,
                Times { from_ms, to_ms: to_ms.unwrap_or(now_ms) },
                LifeFilter::default(),
            );
            let mut kept = Kept(maker);
            while !search.go_on(past::PIECE, &mut |_, life| kept.add(life)).map_err(Exit::failed)? {
                kept.check()?;
            }
            let mut difference = kept.0.finish(&before, &after);
            difference.history = Some(with_damage(known, &search.finish()));
            difference
        }
        None => of_daemon(args, maker, from_ms, to_ms, now_ms)?,
    };
    (difference.from, difference.to) = (past::utc(from_ms), past::utc(to_ms.unwrap_or(now_ms)));
    if let Some(known) = &difference.history {
        past::report(known);
    }
    ask::show(&difference, args.format, |answer| text::difference(answer, terminal::style()))
}

fn with_damage(mut known: Known, damage: &crate::answer::known::Damage) -> Known {
    known.damage.add(damage);
    known
}

/// A maker that does not keep too many lives.
struct Kept(DifferenceMaker);

impl Kept {
    fn add(&mut self, life: LifeRecord) -> std::ops::ControlFlow<()> {
        self.0.add(life);
        if self.0.kept() > MOST_KEPT {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    }

    fn check(&self) -> Result<(), Exit> {
        if self.0.kept() > MOST_KEPT {
            log::error!(
                "more than {MOST_KEPT} processes ended in that time: choose times that are closer, or a unit"
            );
            return Err(Exit::Failure);
        }
        Ok(())
    }
}

/// Asks the daemon for both trees, and for the lives in between.
fn of_daemon(
    args: &Args,
    maker: DifferenceMaker,
    from_ms: i64,
    to_ms: Option<i64>,
    now_ms: i64,
) -> Result<Difference, Exit> {
    let client = Client::at(&args.socket.socket);
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let mut kept = Kept(maker);
    let asked: Result<_, ClientError> = runtime.block_on(async {
        let tree_at = |ms| {
            let mut query = QueryPath::new("/v1/tree");
            query.add("at", past::utc(ms));
            query.into_path()
        };
        let before: Tree = client.json(&tree_at(from_ms)).await?;
        let mut known = before.history.as_deref().cloned();
        // A second more, because the ages of the request and of the answer are measured one after the other.
        let age_ms = now_ms.saturating_sub(from_ms).saturating_add(1000);
        let mut answer = client.get(&format!("/v1/lives?since={age_ms}ms"), "application/x-ndjson").await?;
        known = past::known_by(answer.headers()).or(known);
        let mut lines = WholeLines::default();
        while let Some(piece) = client.piece(answer.body_mut()).await? {
            for line in lines.push(&piece).split(|&byte| byte == b'\n') {
                if let Ok(life) = serde_json::from_slice(line)
                    && kept.add(life).is_break()
                {
                    return Ok((before, None, known));
                }
            }
        }
        if let (Some(known), Some(damage)) = (&mut known, past::damage(&client)) {
            known.damage.add(&damage);
        }
        let path = to_ms.map_or_else(|| "/v1/tree?usage=true".to_owned(), tree_at);
        let after: Tree = client.json(&path).await?;
        Ok((before, Some(after), known))
    });
    let (before, after, known) = asked.map_err(|error| error.exit())?;
    kept.check()?;
    let mut difference = kept.0.finish(&before, &after.unwrap_or_else(|| before.clone()));
    difference.history = known;
    Ok(difference)
}
