//! Tasks that this kernel hides from eBPF programs are reported once as a gap, and what they do does not count as drift.

use taskscope_tests::{service::Service, setting, wait};

/// Sums the samples of a family.
fn all(service: &Service, family: &str) -> f64 {
    let samples = service.metrics();
    samples.iter().filter(|(name, _)| name.starts_with(family)).map(|(_, value)| value).sum()
}

#[test]
fn what_the_kernel_hides_is_a_gap_and_no_drift() {
    let service = Service::start(&["--audit-every", "1s"]);
    let status = service.json("/v1/status");
    let gaps = status["degraded"].as_array().cloned().unwrap_or_default();
    let hides = gaps.iter().any(|gap| gap.as_str().is_some_and(|text| text.starts_with("hidden tasks: ")));
    assert!(!(setting::in_vm() && hides), "these kernels hide nothing: {status:#}");
    let audits = || service.metrics()["taskscope_resyncs_total{cause=\"audit\"}"];
    wait::until("there were three audits", || audits() >= 3.0);
    if hides {
        let reported =
            service.process().log().lines().iter().filter(|line| line.contains("hidden tasks: ")).count();
        assert_eq!(reported, 1, "it is not reported exactly once:\n{}", service.process().log());
    } else {
        assert!(all(&service, "taskscope_hidden_total") < 1.0, "no tasks are hidden, but some are counted");
    }
    let lost = service.json("/v1/status")["records_lost"].as_u64();
    assert!(
        lost > Some(0) || all(&service, "taskscope_drift_total") < 1.0,
        "drift: {:#?}",
        service.metrics()
    );
    drop(service.stop());
}
