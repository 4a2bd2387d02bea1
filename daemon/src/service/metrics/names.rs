//! Values of labels: closed sets, all of them there from the first scrape.

use crate::lineage::{TaskKind, effect::ReparentKind, status::WaitStatus};

/// Kinds of tasks.
pub(super) const KINDS: [TaskKind; 5] =
    [TaskKind::Process, TaskKind::Thread, TaskKind::KernelThread, TaskKind::IoWorker, TaskKind::UserWorker];

/// To what an orphan is handed.
pub(super) const HEIRS: [ReparentKind; 4] =
    [ReparentKind::SiblingThread, ReparentKind::Subreaper, ReparentKind::NamespaceInit, ReparentKind::Init];

/// How an exit ended.
pub(super) const REASONS: [&str; 5] = ["success", "failure", "signal", "core_dump", "unknown"];

/// Index into [`REASONS`].
pub(super) fn reason(status: Option<WaitStatus>) -> usize {
    match status {
        None => 4,
        Some(status) if status.core_dumped() => 3,
        Some(status) if status.signal().is_some() => 2,
        Some(status) if status.code() == Some(0) => 0,
        Some(_) => 1,
    }
}

/// Errors that `copy_process()` is known to give; the rest is `other`.
pub(super) const ERRNOS: [&str; 8] =
    ["EAGAIN", "ENOMEM", "EINVAL", "EPERM", "ENOSPC", "EEXIST", "ERESTARTNOINTR", "other"];

/// Longest value of a label that somebody else chose, in characters: any name of a systemd unit (`UNIT_NAME_MAX`) is whole, so
/// that it can be joined with what others export.
const LABEL_MAX: usize = 256;

/// Makes a label of bytes that somebody else chose: control characters, and what is not UTF-8, as `\xNN`.
pub(in crate::service) fn label(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    push_hex(&mut text, byte);
                }
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(&mut text, byte));
    }
    text.chars().take(LABEL_MAX).collect()
}

fn push_hex(text: &mut String, byte: u8) {
    use std::fmt::Write as _;
    // Writing to a String does not fail.
    let _ = write!(text, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_bounded_and_has_no_control_characters() {
        assert_eq!(label(b"nginx"), "nginx");
        assert_eq!(label(b"a\n\x1b[2Jb\xff"), "a\\x0a\\x1b[2Jb\\xff");
        assert_eq!(label("ü".repeat(300).as_bytes()).chars().count(), LABEL_MAX);
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
