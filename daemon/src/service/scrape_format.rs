//! The format of a scrape, which a client chooses and the metrics are encoded in.

/// The format of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScrapeFormat {
    /// The text format of Prometheus 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.0, with exemplars.
    OpenMetrics,
}
