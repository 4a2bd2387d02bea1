//! Values of labels: fixed sets whose series all exist from the first scrape on.

use std::fmt::Write as _;

use crate::{
    export::is_unsafe,
    lineage::{TaskKind, effect::ReparentKind, status::WaitStatus},
};

/// Kinds of tasks.
pub(in crate::service) const KINDS: [TaskKind; 5] =
    [TaskKind::Process, TaskKind::Thread, TaskKind::KernelThread, TaskKind::IoWorker, TaskKind::UserWorker];

/// Kinds of an orphan's new parent.
pub(in crate::service) const REPARENT_KINDS: [ReparentKind; 4] =
    [ReparentKind::SiblingThread, ReparentKind::Subreaper, ReparentKind::NamespaceInit, ReparentKind::Init];

/// How an exit ended.
pub(in crate::service) const REASONS: [&str; 5] = ["success", "failure", "signal", "core_dump", "unknown"];

/// Index into [`REASONS`].
pub(in crate::service) fn reason(status: Option<WaitStatus>) -> usize {
    match status {
        None => 4,
        Some(status) if status.core_dumped() => 3,
        Some(status) if status.signal().is_some() => 2,
        Some(status) if status.code() == Some(0) => 0,
        Some(_) => 1,
    }
}

/// Errors that `copy_process()` is known to return; all others are `other`.
pub(in crate::service) const ERRNOS: [&str; 8] =
    ["EAGAIN", "ENOMEM", "EINVAL", "EPERM", "ENOSPC", "EEXIST", "ERESTARTNOINTR", "other"];

/// The longest value of a label that another process chose, in characters. Any systemd unit name (`UNIT_NAME_MAX`) fits, so that
/// it can be joined with the series of other exporters.
const LABEL_MAX: usize = 256;

/// The label value of the sum of everything without a series of its own.
pub(in crate::service) const OTHER: &str = "other";
/// The label value of an unknown comm.
pub(in crate::service) const UNKNOWN: &str = "unknown";

/// Creates the label of a comm. Different comms give different labels. Control characters, characters that change the direction of
/// text or hide it, the backslash, and bytes that are not UTF-8 are written as one `\xNN` for each byte. If the comm equals
/// [`OTHER`] or [`UNKNOWN`], its first byte is written in that way too.
pub(in crate::service) fn comm_label(comm: &[u8]) -> String {
    if [OTHER, UNKNOWN].iter().any(|reserved| reserved.as_bytes() == comm) {
        let (first, rest) = comm.split_at_checked(1).unwrap_or_default();
        return escaped(first, "\\x", |_| true) + &escaped(rest, "\\x", |_| false);
    }
    escaped(comm, "\\x", |c| c == '\\' || is_unsafe(c))
}

/// Creates a label of a systemd unit's name or a cgroup's path. systemd itself writes `\xNN` into names; what it allows in them
/// stays as it is, so that the label can be joined with the series of other exporters. All other bytes, and `%`, are written as
/// `%NN`.
pub(in crate::service) fn unit_label(unit: &str) -> String {
    escaped(unit.as_bytes(), "%", |c| c == '%' || is_unsafe(c))
}

fn escaped(bytes: &[u8], mark: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    let push_hex = |text: &mut String, byte: u8| {
        // Writing to a String does not fail.
        let _ = write!(text, "{mark}{byte:02x}");
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_special(c) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_hex(&mut text, byte));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(&mut text, byte));
    }
    text.chars().take(LABEL_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::hostile_name;

    #[test]
    fn a_label_is_bounded_and_has_no_control_characters() {
        assert_eq!(comm_label(b"nginx"), "nginx");
        assert_eq!(comm_label(b"a\n\x1b[2Jb\xff"), "a\\x0a\\x1b[2Jb\\xff");
        assert_eq!(comm_label("ü".repeat(300).as_bytes()).chars().count(), LABEL_MAX);
    }

    #[test]
    fn a_byte_and_the_text_that_stands_for_it_are_two_labels() {
        assert_eq!(comm_label(b"\xff"), r"\xff");
        assert_eq!(comm_label(br"\xff"), r"\x5cxff");
    }

    #[test]
    fn a_process_named_other_is_not_the_rest() {
        assert_eq!(comm_label(b"other"), r"\x6fther");
        assert_eq!(comm_label(b"unknown"), r"\x75nknown");
        assert_eq!(comm_label(br"\x6fther"), r"\x5cx6fther");
    }

    #[test]
    fn a_unit_is_named_as_systemd_names_it() {
        let disk = r"dev-disk-by\x2duuid-a\x2db.device";
        assert_eq!(unit_label(disk), disk);
        assert_eq!(unit_label("a%\n.service"), "a%25%0a.service");
    }

    /// Decodes a label to its comm, as docs/metrics.md describes.
    fn comm_of(label: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = label.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            if first == b'\\' {
                let digits = std::str::from_utf8(&after[1..3]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[3..];
            } else {
                bytes.push(first);
                rest = after;
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_comm_comes_back_from_its_label(comm in hostile_name()) {
            let label = comm_label(&comm);
            prop_assert_eq!(comm_of(&label), comm);
            prop_assert!(label != OTHER && label != UNKNOWN);
            prop_assert!(!label.chars().any(is_unsafe), "{:?}", label);
        }
    }

    #[test]
    fn every_end_has_a_reason() {
        assert_eq!(REASONS[reason(None)], "unknown");
        assert_eq!(REASONS[reason(Some(WaitStatus(0)))], "success");
        assert_eq!(REASONS[reason(Some(WaitStatus(7 << 8)))], "failure");
        assert_eq!(REASONS[reason(Some(WaitStatus(9)))], "signal");
        assert_eq!(REASONS[reason(Some(WaitStatus(0x8b)))], "core_dump");
    }
}
