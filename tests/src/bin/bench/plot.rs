//! Draws the tables as SVG pictures.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::{Report, workload::STORMS};

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const OTHERS: RGBColor = RGBColor(0xa0, 0xa0, 0xa0);
const COLOURS: [RGBColor; 5] = [
    OURS,
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xff, 0x7f, 0x0e),
];

/// A bar with its name.
struct Bar<'a> {
    name: &'a str,
    value: f64,
}

/// Writes all pictures below `dir`; a picture without figures is left out.
pub(crate) fn write(report: &Report, dir: &Path) -> Result<()> {
    for storm in &STORMS {
        let rows = || report.storms.iter().filter(|row| row.workload == storm.title);
        let slowdown: Vec<_> = rows()
            .filter_map(|row| {
                let percent = 100.0 * (row.slowdown?.median - 1.0);
                row.cpu_ns_a_turn.map(|_| Bar { name: row.observer, value: percent })
            })
            .collect();
        bars(
            &dir.join(format!("slowdown-{}.svg", storm.kind)),
            &format!("{}: slowdown, %", storm.title),
            &slowdown,
        )?;
        let cpu: Vec<_> = rows()
            .filter_map(|row| Some(Bar { name: row.observer, value: row.cpu_ns_an_event? / 1e3 }))
            .collect();
        bars(
            &dir.join(format!("cpu-{}.svg", storm.kind)),
            &format!("{}: CPU an event, us", storm.title),
            &cpu,
        )?;
    }
    let growth = |figure: fn(&super::growth::Row) -> f64| {
        report.growth.iter().map(move |row| (row.tasks, figure(row) / 1e6)).collect::<Vec<_>>()
    };
    let mut scrapes = vec![("taskscope", growth(|row| row.scrape_ns))];
    for name in report.growth.first().into_iter().flat_map(|row| row.rivals.iter().map(|rival| rival.name)) {
        let points = report.growth.iter().filter_map(|row| {
            let rival = row.rivals.iter().find(|rival| rival.name == name)?;
            Some((row.tasks, rival.scrape_ns / 1e6))
        });
        scrapes.push((name, points.collect()));
    }
    lines(&dir.join("scrape.svg"), "A scrape, ms, by the number of tasks", &scrapes)?;
    let reads = [("task iterator", growth(|row| row.read_ns)), ("/proc", growth(|row| row.procfs_ns))];
    lines(&dir.join("read.svg"), "Reading all tasks, ms, by their number", &reads)?;
    let replay = |figure: fn(&super::replay::Row) -> f64| {
        report.replay.iter().map(move |row| (row.live as f64, figure(row) / 1e6)).collect::<Vec<_>>()
    };
    let replay = [
        ("lineage", replay(|row| row.records_a_second)),
        ("its memory accesses alone", replay(|row| row.floor_records_a_second)),
    ];
    lines(&dir.join("replay.svg"), "Records a second, millions, by live tasks", &replay)
}

fn bars(path: &Path, title: &str, bars: &[Bar<'_>]) -> Result<()> {
    const ROW: u32 = 34;
    if bars.is_empty() {
        return Ok(());
    }
    let count = bars.len();
    let (least, most) =
        bars.iter().fold((0.0_f64, 0.0_f64), |(a, b), bar| (a.min(bar.value), b.max(bar.value)));
    let room = (most - least).max(1e-9) * 0.12;
    let area = SVGBackend::new(path, (860, 90 + ROW * count as u32)).into_drawing_area();
    let failed = |err: &dyn std::fmt::Display| anyhow!("drawing {}: {err}", path.display());
    area.fill(&WHITE).map_err(|err| failed(&err))?;
    let left = if least < 0.0 { least - room } else { 0.0 };
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(230)
        .build_cartesian_2d(left..most + room, (0..count - 1).into_segmented())
        .map_err(|err| failed(&err))?;
    let name = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(at) => {
            bars.get(count - 1 - at).map_or_else(String::new, |bar| bar.name.to_owned())
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(count)
        .y_label_formatter(&name)
        .draw()
        .map_err(|err| failed(&err))?;
    chart
        .draw_series(bars.iter().rev().enumerate().map(|(at, bar)| {
            let colour = if bar.name.starts_with("taskscope") { OURS } else { OTHERS };
            let corners = [
                (bar.value.min(0.0), SegmentValue::Exact(at)),
                (bar.value.max(0.0), SegmentValue::Exact(at + 1)),
            ];
            let mut bar = Rectangle::new(corners, colour.filled());
            bar.set_margin(5, 5, 0, 0);
            bar
        }))
        .map_err(|err| failed(&err))?;
    chart
        .draw_series(bars.iter().rev().enumerate().map(|(at, bar)| {
            let place = (bar.value.max(0.0), SegmentValue::CenterOf(at));
            Text::new(format!(" {:.2}", bar.value), place, ("sans-serif", 14))
        }))
        .map_err(|err| failed(&err))?;
    area.present().map_err(|err| failed(&err))
}

fn lines(path: &Path, title: &str, series: &[(&str, Vec<(f64, f64)>)]) -> Result<()> {
    let points = || series.iter().flat_map(|(_, points)| points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
        })
    };
    let (Some(xs), Some(ys)) = (range(&mut points().map(|(x, _)| *x)), range(&mut points().map(|(_, y)| *y)))
    else {
        return Ok(());
    };
    let area = SVGBackend::new(path, (860, 420)).into_drawing_area();
    let failed = |err: &dyn std::fmt::Display| anyhow!("drawing {}: {err}", path.display());
    area.fill(&WHITE).map_err(|err| failed(&err))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d((xs.0 * 0.8..xs.1 * 1.2).log_scale(), (ys.0 * 0.6..ys.1 * 1.6).log_scale())
        .map_err(|err| failed(&err))?;
    chart.configure_mesh().draw().map_err(|err| failed(&err))?;
    for ((name, points), colour) in series.iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4))
            .map_err(|err| failed(&err))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.filled())
        .border_style(BLACK)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()
        .map_err(|err| failed(&err))?;
    area.present().map_err(|err| failed(&err))
}
