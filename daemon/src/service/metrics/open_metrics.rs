//! /metrics in the `OpenMetrics` text format 1.0.0, which can carry exemplars. The registry's own encoder writes the older format only.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The process that a sample points to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exemplar {
    /// The name of the counter, with `_total`.
    pub(super) counter: &'static str,
    /// A label and its value that the sample has, if the counter has labels.
    pub(super) label: Option<(&'static str, &'static str)>,
    /// The `process.entity_id` of events.
    pub(super) entity_id: String,
    /// Seconds since 1970.
    pub(super) at: f64,
}

/// Returns the text of all families.
pub(super) fn encode(families: &[MetricFamily], exemplars: &[Exemplar]) -> String {
    let mut out = String::with_capacity(32 << 10);
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        let kind = family.get_field_type();
        let name = family.name();
        // A counter's family has the name without the suffix of its sample.
        let (base, kind_name) = match (kind, name.strip_suffix("_total")) {
            (MetricType::COUNTER, Some(base)) => (base, "counter"),
            (MetricType::GAUGE, _) => (name, "gauge"),
            (MetricType::HISTOGRAM, _) => (name, "histogram"),
            (MetricType::SUMMARY, _) => (name, "summary"),
            _ => (name, "unknown"),
        };
        let help = escaped(family.help());
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {base} {help}\n# TYPE {base} {kind_name}");
        for metric in family.get_metric() {
            write_metric(&mut out, name, kind, metric, exemplars);
        }
    }
    out.push_str("# EOF\n");
    out
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
fn write_metric(out: &mut String, name: &str, kind: MetricType, metric: &Metric, exemplars: &[Exemplar]) {
    let labels = metric.get_label();
    match kind {
        MetricType::COUNTER => {
            let value = metric.get_counter().get_value();
            let exemplar = exemplars.iter().find(|exemplar| value > 0.0 && exemplar.is_of(name, labels));
            sample(out, name, labels, None, value, exemplar);
        }
        MetricType::GAUGE => sample(out, name, labels, None, metric.get_gauge().get_value(), None),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let (bucket, count) = (format!("{name}_bucket"), histogram.get_sample_count() as f64);
            let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
            for one in finite {
                // The specification wants 1.0 and not 1.
                let bound = format!("{:?}", one.upper_bound());
                sample(out, &bucket, labels, Some(("le", &bound)), one.cumulative_count() as f64, None);
            }
            sample(out, &bucket, labels, Some(("le", "+Inf")), count, None);
            sample(out, &format!("{name}_sum"), labels, None, histogram.get_sample_sum(), None);
            sample(out, &format!("{name}_count"), labels, None, count, None);
        }
        // The daemon has no metric of another type.
        _ => {}
    }
}

fn sample(
    out: &mut String,
    name: &str,
    labels: &[LabelPair],
    more: Option<(&str, &str)>,
    value: f64,
    exemplar: Option<&Exemplar>,
) {
    out.push_str(name);
    let pairs = labels.iter().map(|pair| (pair.name(), pair.value())).chain(more);
    for (number, (label, text)) in pairs.enumerate() {
        let opening = if number == 0 { '{' } else { ',' };
        let _ = write!(out, "{opening}{label}=\"{}\"", escaped(text));
    }
    if !labels.is_empty() || more.is_some() {
        out.push('}');
    }
    let _ = write!(out, " {value}");
    if let Some(exemplar) = exemplar {
        let _ = write!(out, " # {{entity_id=\"{}\"}} 1 {:.3}", escaped(&exemplar.entity_id), exemplar.at);
    }
    out.push('\n');
}

impl Exemplar {
    fn is_of(&self, name: &str, labels: &[LabelPair]) -> bool {
        let has = |(label, value): (&str, &str)| {
            labels.iter().any(|pair| pair.name() == label && pair.value() == value)
        };
        self.counter == name && self.label.is_none_or(has)
    }
}

/// Escapes what ends a text or a line.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use prometheus::{Counter, Gauge, Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn families_are_written_as_the_specification_says() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("a_total", "Say \"a\"."), &["cause"]).unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.with_label_values(&["oom"]).inc();
        counter.with_label_values(&["x\n\"\\"]).inc();
        let odd = Counter::new("odd", "No suffix.").unwrap();
        registry.register(Box::new(odd)).unwrap();
        let gauge = Gauge::new("g", "G.").unwrap();
        registry.register(Box::new(gauge)).unwrap();
        let histogram = Histogram::with_opts(HistogramOpts::new("h", "H.").buckets(vec![0.5, 1.0])).unwrap();
        registry.register(Box::new(histogram.clone())).unwrap();
        histogram.observe(0.7);
        let exemplar = Exemplar {
            counter: "a_total",
            label: Some(("cause", "oom")),
            entity_id: "b-1-2".into(),
            at: 1.5,
        };
        let text = encode(&registry.gather(), &[exemplar]);
        assert_eq!(
            text,
            "# HELP a Say \\\"a\\\".\n# TYPE a counter\n\
             a_total{cause=\"oom\"} 1 # {entity_id=\"b-1-2\"} 1 1.500\n\
             a_total{cause=\"x\\n\\\"\\\\\"} 1\n\
             # HELP g G.\n# TYPE g gauge\ng 0\n\
             # HELP h H.\n# TYPE h histogram\n\
             h_bucket{le=\"0.5\"} 0\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0.7\nh_count 1\n\
             # HELP odd No suffix.\n# TYPE odd unknown\nodd 0\n# EOF\n"
        );
    }

    #[test]
    fn a_counter_that_is_zero_points_to_no_process() {
        let registry = Registry::new();
        registry.register(Box::new(Counter::new("z_total", "Z.").unwrap())).unwrap();
        let exemplar = Exemplar { counter: "z_total", label: None, entity_id: "b-1-2".into(), at: 1.5 };
        assert!(encode(&registry.gather(), &[exemplar]).contains("z_total 0\n"));
    }
}
