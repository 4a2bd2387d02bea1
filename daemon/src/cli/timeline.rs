//! `taskscope timeline`: the lives of the last minutes as a picture.

use std::time::Duration;

use super::{
    client::{Client, ClientError, Socket},
    exit::Exit,
    output,
    selector::Selector,
    whole_lines::WholeLines,
};
use crate::{
    answer::{life::LifeRecord, tree::Tree},
    duration, event_loop,
    export::Zone,
    view::picture::{Timeline, timeline_svg},
};

/// Arguments of `timeline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope timeline > timeline.svg                       the last ten minutes of this host
  taskscope timeline --since 30s nginx.service > a.svg    a unit and its descendants

A bar is the life of a process; its children are below it, inside its box. Green: it lives. Blue: it has ended. Hatched: a zombie. \
A red end: killed by a signal, with an arrow from the sender. A dashed arrow: an orphan and its new parent. A diamond: its last exec. \
`+3 thr`: threads besides the leader.")]
pub(super) struct Args {
    /// Only this process and its descendants: a pid, or the name of a process or systemd unit
    #[arg(value_name = "PID|NAME|UNIT")]
    pid: Option<Selector>,
    /// How much time to show
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10m")]
    since: Duration,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Width of the picture in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 1200, value_parser = clap::value_parser!(u32).range(200..=20_000))]
    width: u32,
    #[command(flatten)]
    socket: Socket,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A picture
    #[default]
    Svg,
}

/// Runs `timeline`.
pub(super) fn run(args: &Args) -> Exit {
    let Format::Svg = args.format;
    draw(args).map_or_else(|exit| exit, |()| Exit::Success)
}

fn draw(args: &Args) -> Result<(), Exit> {
    let root = args.pid.as_ref().map(|pid| pid.pid(Some(&args.socket.socket))).transpose()?;
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let (tree, lives) = runtime.block_on(ask(args)).map_err(|error| error.exit())?;
    let mut timeline = Timeline::of(&tree, lives, duration::ns(args.since));
    if timeline.left_out > 0 {
        log::warn!(
            "{} older lives are left out; to see them all, give a shorter time with --since",
            timeline.left_out
        );
    }
    if let Some(pid) = root
        && !timeline.keep_subtree(pid)
    {
        log::error!("no process had the pid {pid} in this time");
        return Err(Exit::Failure);
    }
    output::answer(&timeline_svg(&timeline, args.width, Zone::Local))
}

async fn ask(args: &Args) -> Result<(Tree, Vec<LifeRecord>), ClientError> {
    let client = Client::at(&args.socket.socket);
    // Read the tree first: a process that ends in between is then in both answers, and its life is used.
    let tree = client.json("/v1/tree").await?;
    let path = format!("/v1/lives?since={}ms", args.since.as_millis());
    let mut body = client.get(&path, "application/x-ndjson").await?.into_body();
    let (mut lives, mut body_lines) = (Vec::new(), WholeLines::default());
    while let Some(piece) = client.piece(&mut body).await? {
        let whole = body_lines.push(&piece);
        // A line that this version cannot read is not a life that it can draw.
        let life = |text| serde_json::from_slice::<LifeRecord>(text).ok();
        lives.extend(whole.split(|&byte| byte == b'\n').filter_map(life));
    }
    Ok((tree, lives))
}
