//! The names of pods and containers, as labels of samples that have `pod_uid`.
//!
//! They are added when the metrics are read and are no part of the registry's labels: the name of a container is known only once it
//! runs, and the registry would make a second series from the changed label. A sample whose names are unknown has no such label,
//! which Prometheus treats like an empty one.

use std::collections::HashMap;

use prometheus::proto::{LabelPair, Metric, MetricFamily};

use crate::cgroup::{Cgroups, Place, PodName};

/// The names of the pods and containers that cgroups belong to.
#[derive(Default)]
struct Names<'a> {
    pods: HashMap<&'a str, &'a PodName>,
    /// Names of containers by short id.
    containers: HashMap<&'a str, &'a str>,
}

impl<'a> Names<'a> {
    fn add(&mut self, place: &'a Place) {
        if let (Some(uid), Some(name)) = (&place.pod_uid, &place.pod_name) {
            self.pods.insert(uid, name);
        }
        if let Some(container) = &place.container
            && let Some(name) = &container.name
        {
            self.containers.insert(container.short_id(), name);
        }
    }

    fn label(&self, metric: &mut Metric) {
        let value = |name: &str| {
            let label = metric.get_label().iter().find(|label| label.name() == name)?;
            Some(label.value()).filter(|value| !value.is_empty())
        };
        let Some(uid) = value("pod_uid") else { return };
        let pod = self.pods.get(uid);
        let container = value("container_id").and_then(|id| self.containers.get(id));
        let found = [
            ("k8s_container", container.copied()),
            ("k8s_namespace", pod.map(|pod| pod.namespace.as_str())),
            ("k8s_pod", pod.map(|pod| pod.name.as_str())),
        ];
        let found = found.into_iter().filter_map(|(name, value)| Some(label(name, value?)));
        let mut labels: Vec<_> = found.chain(metric.get_label().iter().cloned()).collect();
        labels.sort_by(|one, other| one.name().cmp(other.name()));
        metric.set_label(labels);
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// Adds the names that are known.
pub(in crate::service) fn add(families: &mut [MetricFamily], cgroups: &Cgroups) {
    if cgroups.named_pods().is_none() {
        return;
    }
    let mut names = Names::default();
    cgroups.places().for_each(|place| names.add(place));
    for family in families {
        family.mut_metric().iter_mut().for_each(|metric| names.label(metric));
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntGaugeVec, Opts, TextEncoder, core::Collector as _};

    use super::*;

    const EXPECTED: &str = "\
x{container_id=\"\",parent=\"a\",pod_uid=\"\",unit=\"\"} 1
x{container_id=\"\",parent=\"a\",pod_uid=\"unknown\",unit=\"\"} 0
x{container_id=\"0123456789ab\",k8s_container=\"nginx\",k8s_namespace=\"shop\",k8s_pod=\"web-0\",parent=\"a\",pod_uid=\"UID\",unit=\"\"} 1
x{container_id=\"0123456789ab\",parent=\"a\",pod_uid=\"\",unit=\"\"} 1
x{container_id=\"ffffffffffff\",k8s_namespace=\"shop\",k8s_pod=\"web-0\",parent=\"a\",pod_uid=\"UID\",unit=\"\"} 1";

    #[test]
    fn samples_of_a_pod_get_its_names_and_others_stay_as_they_are() {
        let id = "0123456789abcdef".repeat(4);
        let mut place = Place::of(&format!("/kubepods/pod11111111-2222-3333-4444-555555555555/{id}"));
        place.pod_name = Some(PodName { namespace: "shop".into(), name: "web-0".into() });
        let mut sandbox = place.clone();
        if let Some(container) = &mut place.container {
            container.name = Some("nginx".into());
        }
        if let Some(container) = &mut sandbox.container {
            container.id = "f".repeat(64);
        }
        let gauges =
            IntGaugeVec::new(Opts::new("x", "x"), &["unit", "container_id", "pod_uid", "parent"]).unwrap();
        let uid = place.pod_uid.clone().unwrap();
        for (container, pod) in
            [("0123456789ab", &*uid), ("ffffffffffff", &uid), ("", ""), ("0123456789ab", "")]
        {
            gauges.with_label_values(&["", container, pod, "a"]).set(1);
        }
        let _ = gauges.with_label_values(&["", "", "unknown", "a"]);
        let mut names = Names::default();
        names.add(&place);
        names.add(&sandbox);
        let mut families = gauges.collect();
        families.iter_mut().flat_map(MetricFamily::mut_metric).for_each(|metric| names.label(metric));
        let text = TextEncoder::new().encode_to_string(&families).unwrap();
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        assert_eq!(lines.join("\n"), EXPECTED.replace("UID", &uid));
    }
}
