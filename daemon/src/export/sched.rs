//! Writes steps of the scheduler as lines of JSON. Field names are an interface, as in `json.rs`.

use probe_common::{COMM_LEN, OffCpu, SchedEvent, SchedKind, SchedValid, task_state};

use super::{
    Stamp,
    encode::{Key, Object, key},
    json::write_host,
    time::rfc3339,
};
use crate::lineage::id::{GroupKey, Ktime, Tgid};

/// Names of the steps. docs/events.md describes them.
pub const SCHED_ACTIONS: [&str; 3] = ["switched_out", "woken", "switched_in"];

/// Returns the step's name; `None` for an unknown kind.
#[must_use]
pub fn action(event: &SchedEvent) -> Option<&'static str> {
    SCHED_ACTIONS.get(event.kind as usize).copied()
}

/// Returns the state of a task that left its CPU; `runnable` if it was preempted.
pub(super) fn state(event: &SchedEvent) -> &'static str {
    if event.state == 0 {
        "runnable"
    } else if event.state & task_state::DEAD != 0 {
        "dead"
    } else {
        OffCpu::of_state(event.state).name()
    }
}

/// Returns a value of the event if it is known.
pub(super) fn known(event: &SchedEvent, bit: u32, value: u64) -> Option<u64> {
    (event.valid & bit != 0).then_some(value)
}

/// Returns a comm up to its NUL.
pub(super) fn name(comm: &[u8; COMM_LEN]) -> &[u8] {
    comm.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Appends a step to `line`; returns false for an unknown kind.
pub fn write_sched(event: &SchedEvent, sequence: u64, stamp: &Stamp, line: &mut Vec<u8>) -> bool {
    let Some(action) = action(event) else { return false };
    let at = Ktime(event.boottime_ns);
    let mut object = Object::open(line);
    object.text(key!("@timestamp"), |out| rfc3339(out, stamp.wall_ns(at)));
    object.object(key!("event"), |object| {
        object.name(key!("action"), action);
        object.number(key!("sequence"), sequence);
    });
    object.number(key!("boottime_ns"), event.boottime_ns);
    write_host(&mut object, stamp);
    object.object(key!("process"), |process| {
        process.number(key!("pid"), event.task.tgid);
        if let Some(start) = known(event, SchedValid::GROUP_START, event.group_start_ns) {
            let start = Ktime(start);
            let group = GroupKey { tgid: Tgid(event.task.tgid), start: Some(start) };
            process.text(key!("entity_id"), |out| stamp.write_entity_id(out, group, start));
        }
    });
    object.object(key!("thread"), |thread| {
        thread.number(key!("id"), event.task.tid);
        thread.bytes(key!("name"), name(&event.comm));
    });
    object.object(key!("sched"), |sched| write_step(sched, event));
    object.close();
    line.push(b'\n');
    true
}

fn write_step(sched: &mut Object<'_>, event: &SchedEvent) {
    sched.number(key!("cpu"), event.cpu);
    let mut number = |key: Key, bit, value| {
        if let Some(value) = known(event, bit, value) {
            sched.number(key, value);
        }
    };
    let other = match event.kind {
        kind if kind == SchedKind::SwitchedOut as u32 => {
            number(key!("ran_ns"), SchedValid::RAN, event.ran_ns);
            sched.name(key!("state"), state(event));
            key!("next")
        }
        kind if kind == SchedKind::Woken as u32 => {
            number(key!("slept_ns"), SchedValid::OFF_CPU, event.off_cpu_ns);
            if event.valid & SchedValid::NEW != 0 {
                sched.yes(key!("new"));
            }
            key!("waker")
        }
        _ => {
            number(key!("waited_ns"), SchedValid::WAITED, event.waited_ns);
            number(key!("off_cpu_ns"), SchedValid::OFF_CPU, event.off_cpu_ns);
            key!("previous")
        }
    };
    if event.valid & SchedValid::OTHER != 0 {
        sched.object(other, |task| {
            task.number(key!("pid"), event.other_tgid);
            task.number(key!("tid"), event.other_tid);
            task.bytes(key!("name"), name(&event.other_comm));
        });
    }
}

#[cfg(test)]
mod tests {
    use probe_common::{TaskId, Wire as _};

    use super::{super::text::write_sched as write_text, *};

    fn event(kind: SchedKind, valid: u32) -> SchedEvent {
        let mut comm = [0; COMM_LEN];
        comm[..3].copy_from_slice(b"nap");
        SchedEvent {
            kind: kind as u32,
            cpu: 1,
            boottime_ns: 1_000_000_000,
            task: TaskId { tid: 8, tgid: 7, start_ns: 5 },
            group_start_ns: 4,
            ran_ns: 1500,
            waited_ns: 20_000,
            off_cpu_ns: 3_000_000,
            state: 0x102,
            valid,
            other_tid: 0,
            other_tgid: 0,
            comm,
            other_comm: comm,
        }
    }

    fn lines(kind: SchedKind, valid: u32) -> (String, String) {
        let stamp = Stamp::new("0123456789", 0);
        let (mut json, mut text) = (Vec::new(), Vec::new());
        assert!(write_sched(&event(kind, valid), 3, &stamp, &mut json));
        assert!(write_text(&event(kind, valid), &stamp, false, &mut text));
        (String::from_utf8(json).unwrap(), String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_step_says_what_is_known_of_it_and_no_more() {
        let (json, text) = lines(SchedKind::SwitchedOut, SchedValid::RAN | SchedValid::OTHER);
        assert_eq!(
            json,
            "{\"@timestamp\":\"1970-01-01T00:00:01.000000000Z\",\"event\":{\"action\":\"switched_out\",\"sequence\":3},\
             \"boottime_ns\":1000000000,\"process\":{\"pid\":7},\"thread\":{\"id\":8,\"name\":\"nap\"},\"sched\":{\"cpu\":1,\
             \"ran_ns\":1500,\"state\":\"killable\",\"next\":{\"pid\":0,\"tid\":0,\"name\":\"nap\"}}}\n"
        );
        assert!(text.ends_with("cpu 1, killable, ran 1.5 us, then nap (0)\n"), "{text}");
        let (json, text) = lines(SchedKind::Woken, SchedValid::OFF_CPU | SchedValid::GROUP_START);
        assert!(json.contains("\"entity_id\":\"01234567-7-4\""), "{json}");
        assert!(json.ends_with("\"sched\":{\"cpu\":1,\"slept_ns\":3000000}}\n"), "{json}");
        assert!(text.ends_with("cpu 1, slept 3000.0 us\n"), "{text}");
        let (json, _) = lines(SchedKind::SwitchedIn, SchedValid::WAITED);
        assert!(json.ends_with("\"sched\":{\"cpu\":1,\"waited_ns\":20000}}\n"), "{json}");
    }

    #[test]
    fn any_bytes_are_a_line_that_can_be_read() {
        let mut numbers = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..5_000 {
            let mut bytes = [0; SchedEvent::SIZE];
            for byte in &mut bytes {
                numbers ^= numbers << 13;
                numbers ^= numbers >> 7;
                numbers ^= numbers << 17;
                *byte = (numbers >> 32) as u8;
            }
            let mut event = SchedEvent::read(&bytes).unwrap();
            event.kind %= 4;
            let stamp = Stamp::new("0123456789", 0);
            let (mut json, mut text) = (Vec::new(), Vec::new());
            let is_written = write_sched(&event, 1, &stamp, &mut json);
            assert_eq!(is_written, event.kind < 3);
            assert_eq!(write_text(&event, &stamp, true, &mut text), is_written);
            if is_written {
                let _: serde_json::Value = serde_json::from_slice(&json).unwrap();
                let text = String::from_utf8(text).unwrap().replace("\x1b[32m", "").replace("\x1b[36m", "");
                let text = text.replace("\x1b[0m", "");
                assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn a_kind_of_another_version_is_no_line() {
        let mut line = Vec::new();
        let other = SchedEvent { kind: 9, ..event(SchedKind::Woken, 0) };
        assert!(!write_sched(&other, 1, &Stamp::new("0", 0), &mut line) && line.is_empty());
    }
}
