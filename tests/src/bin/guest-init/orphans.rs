//! Processes that a test left behind.

use std::fs;

const PF_KTHREAD: u64 = 0x0020_0000;

/// Kills every process but this one and the kernel's threads. The caller reaps them.
pub(crate) fn kill_all() {
    // SAFETY: no pointers. From process 1, -1 means every process but process 1.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// One line for each user process but this one: what a hanging test waits for, or what it left running.
pub(crate) fn describe() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != 1)
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let process = parse(&stat)?;
            let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            // A zombie here is dead and about to be reaped.
            (process.flags & PF_KTHREAD == 0 && process.state != "Z").then(|| {
                format!(
                    "{pid} {} state {} parent {} wchan {wchan}",
                    process.comm, process.state, process.parent
                )
            })
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Process<'a> {
    comm: &'a str,
    state: &'a str,
    parent: &'a str,
    flags: u64,
}

/// The name stands in parentheses and may itself hold any byte, parentheses too: the last one ends it.
fn parse(stat: &str) -> Option<Process<'_>> {
    let (head, tail) = stat.rsplit_once(')')?;
    let comm = head.split_once('(')?.1;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    Some(Process {
        comm,
        state: fields.first()?,
        parent: fields.get(1)?,
        flags: fields.get(6)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_does_not_shift_the_fields() {
        let process = parse("42 (a) b) S 7 42 42 0 -1 4194304 0 0").unwrap();
        assert_eq!(process, Process { comm: "a) b", state: "S", parent: "7", flags: 0x0040_0000 });
        assert_eq!(parse("42 (short) S 7"), None);
    }
}
