//! What the history has written to disk, and what it could not write.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::history::History;
use crate::service::metrics::families::{Families, int, set};

/// Metrics of the history; zero where it is off.
pub(in crate::service) struct HistoryMetrics {
    up: IntGauge,
    lines: IntCounterVec,
    bytes: IntCounter,
    text_bytes: IntCounter,
    lost: IntCounterVec,
    disk: IntGauge,
    segments: IntGauge,
    cut: IntCounter,
}

impl HistoryMetrics {
    pub(in crate::service) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            up: of.int_gauge(
                "taskscope_history_up",
                "1 while history can be written; 0 if it is off or cannot be written: `taskscope status` says why.",
            )?,
            lines: of.counters(
                "taskscope_history_lines_total",
                "Lines that were written to the history: lives and events.",
                &["kind"],
            )?,
            bytes: of.counter("taskscope_history_bytes_total", "Compressed bytes that were written to the history.")?,
            text_bytes: of.counter(
                "taskscope_history_text_bytes_total",
                "Bytes of the lines in taskscope_history_bytes_total before they were compressed.",
            )?,
            lost: of.counters(
                "taskscope_history_lost_lines_total",
                "Lines that are missing in the history, because the queue of the writer was full or the disk could not be written. A gap line in the history has their number.",
                &["why"],
            )?,
            disk: of.int_gauge("taskscope_history_disk_bytes", "Bytes of all segments of the history.")?,
            segments: of.int_gauge("taskscope_history_segments", "Segments of the history.")?,
            cut: of.counter(
                "taskscope_history_cut_bytes_total",
                "Bytes of incomplete frames at the end of segments, which taskscope cut off when it started.",
            )?,
        })
    }

    pub(in crate::service) fn read(&self, history: Option<&History>) {
        let figures = history.map(|history| history.stats().figures()).unwrap_or_default();
        let is_up = history.is_some_and(History::is_on) && figures.error.is_none();
        self.up.set(i64::from(is_up));
        set(&self.lines.with_label_values(&["lives"]), figures.lives_written);
        set(&self.lines.with_label_values(&["events"]), figures.events_written);
        set(&self.bytes, figures.bytes_written);
        set(&self.text_bytes, figures.text_bytes_written);
        set(&self.lost.with_label_values(&["queue"]), figures.lost_queue);
        set(&self.lost.with_label_values(&["disk"]), figures.lost_disk);
        self.disk.set(int(figures.disk_bytes));
        self.segments.set(int(figures.segments));
        set(&self.cut, figures.cut_bytes);
    }
}
