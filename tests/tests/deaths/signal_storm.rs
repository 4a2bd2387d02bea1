//! A storm of signals, apart from all other tests: every daemon on the host gets its records, and drops some of them.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::service::Service;

#[test]
fn a_storm_of_signals_loses_no_life_and_is_counted() {
    let service = Service::start(&["--ring-kib", "256"]);
    let mut storm = scenario("death-signals", &["300000", "15"]);
    let facts = storm.finish();
    let death = service.death(facts.role("child").pid);
    let metrics = service.metrics();
    let of =
        |name: &str, kind: &str| metrics.get(&format!("{name}{{kind=\"{kind}\"}}")).copied().unwrap_or(-1.0);
    let received = of("taskscope_records_received_total", "signal_sent");
    let shed = of("taskscope_records_shed_total", "signal_sent");
    assert!(received + shed >= 300_000.0, "{received} received, {shed} shed");
    assert!(shed > 0.0, "{received} received");
    for kind in ["task_new", "exiting", "exited", "released"] {
        assert!(of("taskscope_records_dropped_total", kind).abs() < 0.5, "{kind}");
        assert!(of("taskscope_records_shed_total", kind).abs() < 0.5, "{kind}");
    }
    assert_eq!(death["exit"]["signal"], 9, "{death:#}");
    service.stop_clean();
}
