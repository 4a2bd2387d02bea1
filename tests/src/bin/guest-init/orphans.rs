//! Finds the processes of a test, wherever they are in the tree.

use std::fs;
use std::process::Command;

const PF_KTHREAD: u64 = 0x0020_0000;
/// The environment variable that every process of a test inherits, even if its parent, session and group change.
const VARIABLE: &str = "TASKSCOPE_TEST";

/// A number that distinguishes the processes of one test from those of another that runs beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u32);

impl Tag {
    pub(crate) fn put(self, command: &mut Command) {
        command.env(VARIABLE, self.0.to_string());
    }

    fn is_in(self, environment: &[u8]) -> bool {
        let wanted = format!("{VARIABLE}={}", self.0);
        environment.split(|&byte| byte == 0).any(|entry| entry == wanted.as_bytes())
    }
}

/// Kills every process but this one and the kernel's threads. The caller reaps them.
pub(crate) fn kill_all() {
    // SAFETY: kill takes integers. From process 1, -1 means every process but process 1.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Kills the processes of one test that are still alive; returns their number.
pub(crate) fn kill(tag: Tag) -> usize {
    let pids = living(Some(tag));
    for &pid in &pids {
        // SAFETY: kill takes integers, so a pid that was reused since cannot harm memory.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    pids.len()
}

/// Returns a line for each living user process, or for each process of one test: where it waits.
pub(crate) fn describe(tag: Option<Tag>) -> Vec<String> {
    living(tag)
        .into_iter()
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let process = parse(&stat)?;
            let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            let Process { comm, state, parent, .. } = process;
            Some(format!("{pid} {comm} state {state} parent {parent} wchan {wchan}"))
        })
        .collect()
}

fn living(tag: Option<Tag>) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid != 1)
        .filter(|pid| {
            tag.is_none_or(|tag| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| tag.is_in(&env)))
        })
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
                parse(&stat).is_some_and(|process| {
                    // A zombie is dead already and waits for its parent.
                    process.flags & PF_KTHREAD == 0 && process.state != "Z" && process.state != "X"
                })
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

/// Parses a line of /proc/PID/stat. The name is in parentheses and can contain any byte, so the last parenthesis ends it.
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
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_does_not_shift_the_fields() {
        let process = parse("42 (a) b) S 7 42 42 0 -1 4194304 0 0").unwrap();
        assert_eq!(process, Process { comm: "a) b", state: "S", parent: "7", flags: 0x0040_0000 });
        assert_eq!(parse("42 (short) S 7"), None);
    }

    #[test]
    fn a_tag_is_found_in_an_environment_and_does_not_match_a_longer_tag() {
        let environment = b"PATH=/bin\0TASKSCOPE_TEST=12\0HOME=/\0";
        assert!(Tag(12).is_in(environment));
        assert!(!Tag(1).is_in(environment));
        assert!(!Tag(12).is_in(b"X=TASKSCOPE_TEST=12\0"));
        assert!(!Tag(12).is_in(b""), "kernel threads have no environment");
    }

    #[test]
    fn the_processes_of_a_tag_are_found_and_killed() {
        let tag = Tag(std::process::id());
        let mut command = Command::new("sleep");
        tag.put(&mut command);
        let mut child = command.arg("60").spawn().unwrap();
        // spawn() returns when the child has left our memory, which is before the kernel has laid out its environment.
        let deadline = Instant::now() + Duration::from_secs(10);
        let described = loop {
            let described = describe(Some(tag));
            if !described.is_empty() || Instant::now() > deadline {
                break described;
            }
            std::thread::yield_now();
        };
        assert_eq!(kill(tag), 1);
        child.wait().unwrap();
        assert!(described.len() == 1 && described[0].starts_with(&child.id().to_string()), "{described:?}");
        assert_eq!(kill(tag), 0);
    }
}
