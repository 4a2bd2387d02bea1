//! What a live task costs.

use super::scene::Scene;

use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::record::{Fact, Record};

/// The budget of DESIGN.md 7.
const BYTES_PER_TASK: usize = 256;

#[test]
fn a_live_task_costs_no_more_than_its_budget() {
    const PROCESSES: u32 = 100_000;
    let mut scene = Scene::new();
    let init = scene.init();
    let template = scene.new_of(init, 2, "sh");
    for tid in 2..PROCESSES {
        let start = Ktime(2_000_000 + u64::from(tid));
        let mut new = template;
        new.task = TaskRef { key: TaskKey { tid: Tid(tid), start }, tgid: Tgid(tid) };
        let record = Record { at: start, cpu: 0, fact: Fact::New(new) };
        scene.lineage.apply(&record, start, &mut scene.effects);
        scene.effects.clear();
    }
    let per_task = scene.lineage.memory().live / PROCESSES as usize;
    assert!(per_task <= BYTES_PER_TASK, "{per_task} bytes a live process");
}
