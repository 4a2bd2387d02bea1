//! Kernel messages on a guest's console that show a fault.

/// Prefixes of kernel messages that must not appear in a passing run.
const TROUBLE: [&str; 14] = [
    "Kernel panic",
    "BUG:",
    "Oops:",
    "WARNING:",
    "kernel BUG at",
    "general protection fault",
    "int3:",
    "Internal error",
    "INFO: task",
    "INFO: rcu",
    "rcu: INFO",
    "watchdog: BUG",
    "invalid opcode",
    "Out of memory",
];

/// Returns kernel messages that show a fault. Output of tests, which has the prefix `| `, is not searched.
pub(super) fn trouble(console: &str) -> Vec<&str> {
    console.lines().filter_map(kernel_message).filter(|message| is_trouble(message)).collect()
}

/// Returns the last panic message.
pub(super) fn panic(console: &str) -> Option<&str> {
    console.lines().rev().filter_map(kernel_message).find(|message| message.starts_with("Kernel panic"))
}

/// Returns the output of a test.
pub(super) fn of_test<'a>(console: &'a str, id: &str) -> Vec<&'a str> {
    let start = format!("guest-init: OUTPUT {id}");
    let mut lines = console.lines().skip_while(|line| line.trim_end() != start);
    lines.next();
    lines.take_while(|line| !line.starts_with("guest-init: ")).collect()
}

/// Returns the text of `[    1.234567] text`; a CPU or task number may follow the time.
fn kernel_message(line: &str) -> Option<&str> {
    let rest = line.trim_end().strip_prefix('[')?;
    let (time, mut text) = rest.split_once(']')?;
    if !time.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text = text.trim_start();
    if let Some((caller, tail)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
        && caller.trim().starts_with(['T', 'C'])
    {
        text = tail.trim_start();
    }
    Some(text)
}

fn is_trouble(message: &str) -> bool {
    TROUBLE.iter().any(|start| message.starts_with(start)) && !is_asked_for(message)
}

/// Whether the message is about a scenario that takes all memory until it is killed; no other process may be killed.
fn is_asked_for(message: &str) -> bool {
    message.starts_with("Out of memory: Killed process ") && message.contains(" (scenario) ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
[    0.000000] Linux version 6.1
guest-init: BOOT 6.1
guest-init: START kprobe a one
| BUG: what a test prints is not the kernel's
guest-init: PASS kprobe a one 12
guest-init: START kprobe a two
guest-init: OUTPUT kprobe a two
| thread 'two' panicked
[    2.500000] WARNING: CPU: 1 PID: 40 at kernel/exit.c:1
guest-init: LEFT kprobe a two 40 sleep
guest-init: FAIL kprobe a two 30 exit code 101
[    2.700000] Out of memory: Killed process 12580 (scenario) total-vm:790352kB, anon-rss:784768kB
[    2.800000] Out of memory: Killed process 12581 (taskscope) total-vm:790352kB, anon-rss:784768kB
[    3.000000][  T120] BUG: unable to handle page fault
[    3.100000] Kernel panic - not syncing: Fatal exception\r
";

    #[test]
    fn only_the_kernels_own_lines_are_trouble() {
        assert_eq!(
            trouble(CONSOLE),
            [
                "WARNING: CPU: 1 PID: 40 at kernel/exit.c:1",
                "Out of memory: Killed process 12581 (taskscope) total-vm:790352kB, anon-rss:784768kB",
                "BUG: unable to handle page fault",
                "Kernel panic - not syncing: Fatal exception",
            ]
        );
        assert_eq!(panic(CONSOLE), Some("Kernel panic - not syncing: Fatal exception"));
        assert_eq!(panic("[    0.0] fine"), None);
    }

    #[test]
    fn the_output_of_one_test_is_cut_out() {
        let lines = of_test(CONSOLE, "kprobe a two");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "| thread 'two' panicked");
        assert!(of_test(CONSOLE, "kprobe a three").is_empty());
    }
}
