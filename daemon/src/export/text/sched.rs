//! A step of the scheduler as a line for people.

use probe_common::{SchedEvent, SchedValid};

use super::{ACTION, NAME, PID, column, escaped};
use crate::{
    export::{Stamp, encode::number, sched, time::time_of_day},
    lineage::id::Ktime,
};

/// Appends a step of the scheduler to `line`; returns false for an unknown kind.
pub fn write_sched(event: &SchedEvent, stamp: &Stamp, colour: bool, line: &mut Vec<u8>) -> bool {
    let Some(action) = sched::action(event) else { return false };
    time_of_day(line, stamp.wall_ns(Ktime(event.boottime_ns)), stamp.zone());
    line.push(b' ');
    let code = match action {
        "switched_in" if colour => "\x1b[32m",
        "woken" if colour => "\x1b[36m",
        _ => "",
    };
    line.extend_from_slice(code.as_bytes());
    column(line, ACTION, |out| out.extend_from_slice(action.as_bytes()));
    if !code.is_empty() {
        line.extend_from_slice(b"\x1b[0m");
    }
    column(line, PID, |out| number(out, u64::from(event.task.tgid)));
    column(line, PID, |out| number(out, u64::from(event.task.tid)));
    column(line, NAME, |out| escaped(out, sched::name(&event.comm)));
    line.extend_from_slice(b"cpu ");
    number(line, u64::from(event.cpu));
    let mut length = |what: &str, bit, ns: u64| {
        if sched::known(event, bit, ns).is_some() {
            line.extend_from_slice(what.as_bytes());
            number(line, ns / 1000);
            line.push(b'.');
            number(line, ns % 1000 / 100);
            line.extend_from_slice(b" us");
        }
    };
    let other = match action {
        "switched_out" => {
            let state = format!(", {}", sched::state(event));
            length(&format!("{state}, ran "), SchedValid::RAN, event.ran_ns);
            if event.valid & SchedValid::RAN == 0 {
                line.extend_from_slice(state.as_bytes());
            }
            ", then "
        }
        "woken" => {
            length(", slept ", SchedValid::OFF_CPU, event.off_cpu_ns);
            if event.valid & SchedValid::NEW != 0 { ", new, by " } else { ", by " }
        }
        _ => {
            length(", waited ", SchedValid::WAITED, event.waited_ns);
            length(", off cpu ", SchedValid::OFF_CPU, event.off_cpu_ns);
            ", after "
        }
    };
    if event.valid & SchedValid::OTHER != 0 {
        line.extend_from_slice(other.as_bytes());
        escaped(line, sched::name(&event.other_comm));
        line.extend_from_slice(b" (");
        number(line, u64::from(event.other_tid));
        line.push(b')');
    }
    line.push(b'\n');
    true
}
