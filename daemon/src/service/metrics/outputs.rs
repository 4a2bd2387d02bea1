//! What outputs have sent, and what they could not send.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::families::{Families, int, set};
use crate::outputs::Outputs;

/// Metrics of outputs: a series for each output of the configuration.
pub(super) struct OutputMetrics {
    up: IntGaugeVec,
    events: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    retries: IntCounterVec,
    queue: IntGaugeVec,
    spill: IntGaugeVec,
}

impl OutputMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        const BY: &[&str] = &["output"];
        Ok(Self {
            up: of.int_gauges(
                "taskscope_output_up",
                "1 while the last attempt to send events succeeded, or none was made; 0 if it failed: `taskscope status` says why.",
                BY,
            )?,
            events: of.counters(
                "taskscope_output_events_total",
                "Events that the output's target has acknowledged.",
                BY,
            )?,
            errors: of.counters("taskscope_output_errors_total", "Attempts to send events that failed.", BY)?,
            dropped: of.counters(
                "taskscope_output_dropped_events_total",
                "Events that were dropped because the queue was full or the target refused them. A gap record in the output has their number.",
                BY,
            )?,
            retries: of.counters(
                "taskscope_output_retries_total",
                "Attempts to send events that repeated a failed one.",
                BY,
            )?,
            queue: of.int_gauges(
                "taskscope_output_queue_records",
                "Records that wait to be sent, in memory and in the spill file.",
                BY,
            )?,
            spill: of.int_gauges("taskscope_output_spill_bytes", "Bytes in the output's spill file.", BY)?,
        })
    }

    pub(super) fn read(&self, outputs: &Outputs) {
        for output in outputs.stats() {
            let (name, figures) = (&[output.name.as_str()], output.figures());
            self.up.with_label_values(name).set(i64::from(figures.error.is_none()));
            set(&self.events.with_label_values(name), figures.sent);
            set(&self.errors.with_label_values(name), figures.errors);
            set(&self.dropped.with_label_values(name), figures.dropped);
            set(&self.retries.with_label_values(name), figures.retries);
            self.queue.with_label_values(name).set(int(figures.queued));
            self.spill.with_label_values(name).set(int(figures.spilled));
        }
    }
}
