//! The timeline as SVG.

use super::{
    bars::{Bar, Timeline},
    layout::Layout,
    svg::{LETTER, ROW, Svg},
};
use crate::{
    export::{Zone, local},
    verdict::duration,
};

/// Pixels: the axis, a bar, the legend.
const AXIS: f64 = 22.0;
const BAR: f64 = 14.0;
const LEGEND: f64 = 26.0;

/// The least distance of two ticks.
const TICK: f64 = 95.0;

/// Steps of the axis, ns.
const STEPS: [u64; 24] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    15_000_000_000,
    30_000_000_000,
    60_000_000_000,
    120_000_000_000,
    300_000_000_000,
    600_000_000_000,
    1_800_000_000_000,
    3_600_000_000_000,
    21_600_000_000_000,
    86_400_000_000_000,
];

/// A picture in progress.
struct Drawing<'a> {
    timeline: &'a Timeline,
    layout: Layout,
    svg: Svg,
    width: f64,
    /// Pixels per ns.
    scale: f64,
}

/// Returns the picture. Times are shown in `zone`.
#[must_use]
pub fn timeline_svg(timeline: &Timeline, pixels: u32, zone: Zone) -> String {
    let pixels = pixels.max(200);
    let width = f64::from(pixels);
    let span = timeline.until.saturating_sub(timeline.from).max(1);
    let scale = width / float(span);
    // The time that two pixels stand for, ns.
    let tolerance = span / u64::from(pixels) * 2;
    let layout = Layout::of(&timeline.bars, tolerance);
    let height = AXIS + float(layout.rows as u64) * ROW + LEGEND;
    let mut drawing = Drawing { timeline, layout, svg: Svg::default(), width, scale };
    drawing.boxes();
    drawing.axis(zone, height);
    drawing.bars();
    drawing.arrows();
    drawing.legend(height);
    let at = |time: u64| local(timeline.wall_ns + i128::from(time), zone);
    let title = format!("Lives of processes from {} to {}", at(timeline.from), at(timeline.until));
    drawing.svg.finish(&title, width, height)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths of time, and rows; a pixel is far larger than the loss"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::indexing_slicing, reason = "the layout has one element for each life")]
impl Drawing<'_> {
    fn x(&self, time: u64) -> f64 {
        float(time.saturating_sub(self.timeline.from)) * self.scale
    }

    /// Returns the x coordinate of the end of a bar. The bar of a living process ends at the time of the answers.
    fn until(&self, time: Option<u64>) -> f64 {
        self.x(time.unwrap_or(self.timeline.until).min(self.timeline.until))
    }

    fn y(&self, n: usize) -> f64 {
        AXIS + float(self.layout.row[n] as u64) * ROW
    }

    /// Draws the box of each life with children.
    fn boxes(&mut self) {
        for at in 0..self.layout.order.len() {
            let n = self.layout.order[at];
            if self.layout.height[n] < 2 {
                continue;
            }
            let (left, right) = (self.x(self.timeline.bars[n].start), self.until(Some(self.layout.until[n])));
            let class = if self.layout.depth[n].is_multiple_of(2) { "box" } else { "box2" };
            let height = float(self.layout.height[n] as u64) * ROW - 2.0;
            let y = self.y(n);
            self.svg.rect(class, (left, y), ((right - left).max(0.0), height));
        }
    }

    fn axis(&mut self, zone: Zone, height: f64) {
        let least = TICK / self.scale;
        let step = STEPS.into_iter().find(|&step| float(step) >= least).unwrap_or(86_400_000_000_000);
        let wall = self.timeline.wall_ns + i128::from(self.timeline.from);
        let mut tick = (wall / i128::from(step) + 1) * i128::from(step);
        while let Ok(time) = u64::try_from(tick - self.timeline.wall_ns) {
            if time > self.timeline.until {
                break;
            }
            let x = self.x(time);
            let bottom = height - LEGEND;
            self.svg.path("grid", format_args!("M{x:.1} 0V{bottom:.1}"));
            // The time of day, with milliseconds where ticks are nearer than a second.
            let length = if step < 1_000_000_000 { 12 } else { 8 };
            let text: String = local(tick, zone).chars().skip(11).take(length).collect();
            self.svg.text("soft", (x + 4.0, AXIS - 7.0), &text);
            tick += i128::from(step);
        }
    }

    fn bars(&mut self) {
        for at in 0..self.layout.order.len() {
            let n = self.layout.order[at];
            let timeline = self.timeline;
            self.bar(n, &timeline.bars[n]);
        }
    }

    fn bar(&mut self, n: usize, bar: &Bar) {
        let top = self.y(n) + 1.0;
        let left = self.x(bar.start);
        let exit = self.until(bar.exit).max(left + 1.0);
        let right = self.until(bar.release).max(exit);
        let class = if bar.exit.is_none() { "living" } else { "life" };
        let threads = if bar.threads > 0 { format!(" +{} thr", bar.threads) } else { String::new() };
        let long = format!("{} {}{threads}", bar.name, bar.pid);
        self.svg.titled_rect(class, (left, top), (exit - left, BAR), &long);
        if right - exit > 0.5 {
            self.svg.rect("zombie", (exit, top), (right - exit, BAR));
        }
        if bar.is_killed {
            let width = (exit - left).min(4.0);
            self.svg.rect("killed", (exit - width, top), (width, BAR));
        }
        let mut begin = left + 5.0;
        if let Some(exec) = bar.exec.filter(|&exec| exec >= self.timeline.from && exit - left > 8.0) {
            let x = self.x(exec).max(left + 4.0);
            let middle = top + BAR / 2.0;
            self.svg.path("exec", format_args!("M{x:.1} {:.1}l4 4l-4 4l-4 -4z", middle - 4.0));
            if x < left + 14.0 {
                begin = begin.max(x + 7.0);
            }
        }
        let edge = if exit - left > 60.0 { exit } else { right };
        let fits = |text: &&str| LETTER * float(text.chars().count() as u64) <= edge - begin - 4.0;
        let text = [long.as_str(), bar.name.as_str()].into_iter().find(fits);
        if let Some(text) = text {
            self.svg.text("name", (begin, top + BAR - 3.5), text);
        }
    }

    fn arrows(&mut self) {
        for n in 0..self.timeline.bars.len() {
            let bar = &self.timeline.bars[n];
            if let Some((to, at)) = bar.new_parent {
                self.arrow(["orphan", "otip"], at, n, to);
            }
            if let Some((from, at)) = bar.sender {
                self.arrow(["signal", "tip"], at, from, Some(n));
            }
        }
    }

    /// Draws an arrow from the bar of one life to that of another; if `to` is `None`, to the space above all bars.
    fn arrow(&mut self, [line, tip]: [&str; 2], time: u64, from: usize, to: Option<usize>) {
        if time < self.timeline.from || to == Some(from) {
            return;
        }
        let x = self.x(time);
        let is_down = to.is_some_and(|to| self.layout.row[to] > self.layout.row[from]);
        let (below, above) = (1.0 + BAR, 1.0);
        let start = self.y(from) + if is_down { below } else { above };
        let end = to.map_or(AXIS, |to| self.y(to) + if is_down { above } else { below });
        let back = if is_down { -5.0 } else { 5.0 };
        self.svg.path(line, format_args!("M{x:.1} {start:.1}V{:.1}", end + back));
        self.svg.path(tip, format_args!("M{x:.1} {end:.1}l-3.5 {back:.1}h7z"));
    }

    fn legend(&mut self, height: f64) {
        let y = height - 8.0;
        let mut x = 5.0;
        for (class, text) in [
            ("living", "lives"),
            ("life", "ended"),
            ("zombie", "zombie"),
            ("killed", "killed by a signal"),
            ("signal", "signal"),
            ("orphan", "to its new parent"),
        ] {
            match class {
                "signal" | "orphan" => self.svg.path(class, format_args!("M{x:.1} {:.1}h22", y - 4.0)),
                "killed" => self.svg.rect(class, (x + 16.0, y - 10.0), (4.0, 12.0)),
                _ => self.svg.rect(class, (x, y - 10.0), (22.0, 12.0)),
            }
            self.svg.text("soft", (x + 28.0, y), text);
            x += 46.0 + LETTER * float(text.len() as u64);
        }
        let span = duration(self.timeline.until.saturating_sub(self.timeline.from));
        let text = format!("{} lives, {span}", self.timeline.bars.len());
        let width = LETTER * float(text.len() as u64);
        if x + width < self.width {
            self.svg.text("soft", (self.width - width - 6.0, y), &text);
        }
    }
}
