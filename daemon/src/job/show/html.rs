//! The report as one HTML file, without scripts, fonts or other files.

use std::fmt::Write as _;

use crate::job::{
    Comparison,
    report::{Report, Step},
    sections::{Section, headline, sections},
};
use crate::{answer::text::escape, verdict::duration};

/// The most rows of a table.
const MOST_ROWS: usize = 40;

/// Steps that are narrower are joined with others, per mille of the width.
const LEAST_PER_MILLE: u64 = 2;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d232b;--soft:#5d6875;--line:#d9dfe6;--back:#fff;--card:#f5f7f9;--cpu:#2f6fb3;--queue:#c8801a;\
--asleep:#9aa7b4;--bad:#b3362f}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ee;--soft:#9aa6b2;--line:#36404b;--back:#14191f;--card:#1c232b;--cpu:#6ba7e6;\
--queue:#e0a545;--asleep:#5d6a77;--bad:#ef7d75}}\
body{margin:0 auto;padding:2rem 1.5rem;max-width:64rem;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back)}\
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
code{font:13px ui-monospace,monospace;color:var(--soft);overflow-wrap:anywhere}\
p{margin:.25rem 0}.cards{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0}\
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem 1rem;min-width:7rem}\
.card b{display:block;font-size:1.35rem;font-weight:600}.card span{color:var(--soft);font-size:.85rem}.bad b{color:var(--bad)}\
.path{display:flex;height:2.25rem;border-radius:.35rem;overflow:hidden;margin:.75rem 0 .25rem;background:var(--line)}\
.path div{display:flex;flex-direction:column;min-width:1px;border-right:1px solid var(--back)}\
.path i{display:block}.cpu{background:var(--cpu)}.queue{background:var(--queue)}.asleep{background:var(--asleep)}\
.key{color:var(--soft);font-size:.85rem}.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .35em 0 1em}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th{font-weight:500;color:var(--soft);font-size:.85rem}th,td{padding:.2rem .75rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top;\
text-align:right;white-space:nowrap}th:last-child,td:last-child{text-align:left;white-space:pre-wrap;width:100%;overflow-wrap:anywhere}";

/// Returns the page.
#[must_use]
pub fn html(report: &Report, comparison: Option<&Comparison>) -> String {
    let title = plain(&headline(report));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n\
         <p><code>{}</code></p>\n<p class=\"key\">started {}; taskscope job</p>\n",
        plain(&report.command.join(" ")),
        plain(&report.started),
    );
    cards(&mut out, report);
    for section in sections(report, comparison, MOST_ROWS) {
        let _ = writeln!(out, "<h2>{}</h2>", section.title);
        for sentence in &section.text {
            let _ = writeln!(out, "<p>{}</p>", plain(sentence));
        }
        if section.title == "Critical path" {
            draw_path(&mut out, report);
        }
        write_table(&mut out, &section);
        for sentence in &section.after {
            let _ = writeln!(out, "<p class=\"key\">{}</p>", plain(sentence));
        }
    }
    out.push_str("</body></html>\n");
    out
}

/// Writes the most important figures.
fn cards(out: &mut String, report: &Report) {
    let count = |count: usize| count.to_string();
    let cards = [
        (duration(report.wall_ns), "wall time", false),
        (duration(report.cost().cpu_ns), "CPU time", false),
        (duration(report.cost().run_delay_ns), "in the run queue", false),
        (report.processes.made.to_string(), "processes", false),
        (report.failures.count.to_string(), "failed", report.failures.count > 0),
        (report.zombies.count.to_string(), "zombies", report.zombies.count > 0),
        (count(report.leftovers.len()), "left behind", !report.leftovers.is_empty()),
    ];
    out.push_str("<div class=\"cards\">");
    for (figure, what, is_bad) in cards {
        let class = if is_bad { "card bad" } else { "card" };
        let _ = write!(out, "<div class=\"{class}\"><b>{figure}</b><span>{what}</span></div>");
    }
    out.push_str("</div>\n");
}

/// Draws the critical path as one bar. The width of a step is its duration, and its colours are the kinds of its time.
fn draw_path(out: &mut String, report: &Report) {
    let all = report.critical_path.time.wall_ns.max(1);
    out.push_str("<div class=\"path\">");
    for step in &report.critical_path.steps {
        let per_mille = step.time.wall_ns.saturating_mul(1000) / all;
        if per_mille >= LEAST_PER_MILLE {
            draw_step(out, step);
        }
    }
    out.push_str(
        "</div>\n<p class=\"key\"><i class=\"cpu\"></i>on a CPU<i class=\"queue\"></i>in the run queue<i class=\"asleep\"></i>\
         asleep or not known</p>\n",
    );
}

fn draw_step(out: &mut String, step: &Step) {
    let time = &step.time;
    let asleep = time.not_running_ns();
    let title = plain(&format!("{} ({}): {}", step.name, step.pid, duration(time.wall_ns)));
    let _ = write!(out, "<div style=\"flex:{}\" title=\"{title}\">", time.wall_ns / 1000);
    for (class, ns) in [("cpu", time.cpu_ns), ("queue", time.run_queue_ns), ("asleep", asleep)] {
        if ns > 0 {
            let _ = write!(out, "<i class=\"{class}\" style=\"flex:{}\"></i>", ns / 1000);
        }
    }
    out.push_str("</div>");
}

fn write_table(out: &mut String, section: &Section) {
    let Some(table) = section.table.as_ref().filter(|table| !table.rows.is_empty()) else { return };
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    for head in &table.heads {
        let _ = write!(out, "<th>{}</th>", head.to_lowercase());
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", plain(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// Escapes the characters with a meaning in HTML, also in attributes.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
