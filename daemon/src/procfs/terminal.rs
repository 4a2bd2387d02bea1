//! The controlling terminal of a stopped process, and whether the process is in its background.

use std::{fs, path::Path};

use super::{Procfs, read, stat::end_of_comm};
use crate::{
    lineage::id::{GroupKey, Tgid},
    verdict::facts::{BackgroundStop, Call, Named, ProcessFacts, TerminalAccess, ThreadFacts},
};

/// Majors of pseudo terminals: `UNIX98_PTY_SLAVE_MAJOR` and the seven after it, with 256 minors each.
const PTY_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// `TTY_MAJOR`: virtual consoles, and serial lines from minor 64 on.
const TTY_MAJOR: u32 = 4;

/// Fields 5 to 8 of /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terminal {
    group: u32,
    session: u32,
    device: u32,
    foreground: i32,
}

impl Terminal {
    /// Returns `None` if the process has no controlling terminal, or the line was cut.
    fn parse(stat: &[u8]) -> Option<Self> {
        let close = end_of_comm(stat)?;
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(2).map(str::parse::<i32>);
        let mut next = || fields.next()?.ok();
        let (group, session, device, foreground) = (next()?, next()?, next()?, next()?);
        let found = Self {
            group: group.try_into().ok()?,
            session: session.try_into().ok()?,
            device: device.cast_unsigned(),
            foreground,
        };
        (found.device != 0).then_some(found)
    }

    /// The path of the device, by its number (`new_encode_dev()`).
    fn path(self) -> String {
        let (major, minor) = (self.device >> 8 & 0xfff, (self.device & 0xff) | (self.device >> 12 & 0xfff00));
        match (major, minor) {
            _ if PTY_MAJORS.contains(&major) => {
                format!("/dev/pts/{}", (major - PTY_MAJORS.start()) * 256 + minor)
            }
            (TTY_MAJOR, 0..64) => format!("/dev/tty{minor}"),
            (TTY_MAJOR, _) => format!("/dev/ttyS{}", minor - 64),
            _ => format!("device {major}:{minor}"),
        }
    }
}

impl Procfs {
    /// Returns the terminal of a process that is stopped in the background of that terminal; `None` for other processes.
    pub(super) fn background_stop(&self, tgid: Tgid, facts: &ProcessFacts) -> Option<BackgroundStop> {
        facts.common_state().filter(|&state| state == b'T')?;
        let directory = self.root.join(tgid.to_string());
        let terminal = Terminal::parse(&read(&directory.join("stat")).ok()?)?;
        if u32::try_from(terminal.foreground) == Ok(terminal.group) {
            return None;
        }
        let leader = Tgid(terminal.session);
        let shell = self.stat(leader).ok().flatten().filter(|_| leader != tgid);
        Some(BackgroundStop {
            terminal: terminal.path(),
            groups: (terminal.group, terminal.foreground),
            shell: shell
                .map(|stat| Named { key: GroupKey { tgid: leader, start: None }, name: Some(stat.comm) }),
            access: access(&directory, facts),
        })
    }
}

/// Returns how a stopped process used its terminal, from the system call that each of its threads was in when the signal stopped
/// it.
fn access(process: &Path, facts: &ProcessFacts) -> Option<TerminalAccess> {
    let of = |thread: &ThreadFacts| {
        let (fd, access) = match thread.call? {
            Call::Read(fd) => (fd, TerminalAccess::Read),
            Call::Write(fd) => (fd, TerminalAccess::Write),
            Call::SetTerminal(fd) => (fd, TerminalAccess::Set),
            _ => return Some(TerminalAccess::Other),
        };
        let target = fs::read_link(process.join("fd").join(fd.to_string())).ok()?;
        Some(if is_terminal(&target) { access } else { TerminalAccess::Other })
    };
    let found: Vec<_> = facts.live().map(of).collect();
    let wanted = found.iter().flatten().find(|&&access| access != TerminalAccess::Other);
    wanted.copied().or_else(|| found.iter().all(Option::is_some).then_some(TerminalAccess::Other))
}

/// Returns whether a path is that of a terminal. The device number is not compared: in a container it can differ from that on the
/// host.
fn is_terminal(path: &Path) -> bool {
    ["/dev/pts", "/dev/console"].iter().any(|directory| path.starts_with(directory))
        || path.to_str().is_some_and(|path| path.starts_with("/dev/tty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"1761 (a) b) T 1760 1761 1760 34816 1760 4194368 246 0";

    #[test]
    fn a_terminal_is_known_by_its_number() {
        let terminal = Terminal::parse(LINE).unwrap();
        assert_eq!((terminal.group, terminal.session, terminal.foreground), (1761, 1760, 1760));
        for (device, path) in [
            (0x8800, "/dev/pts/0"),
            (0x88ff, "/dev/pts/255"),
            (0x8901, "/dev/pts/257"),
            (0x10_8800, "/dev/pts/256"),
            (0x0401, "/dev/tty1"),
            (0x0441, "/dev/ttyS1"),
            (0xcc40, "device 204:64"),
        ] {
            assert_eq!(Terminal { device, ..terminal }.path(), path);
        }
        assert_eq!(Terminal::parse(b"7 (x) T 1 7 7 0 -1 0"), None, "it has none");
    }

    #[test]
    fn every_cut_of_a_line_is_a_terminal_or_none() {
        for len in 0..LINE.len() {
            let _ = Terminal::parse(LINE.get(..len).unwrap()).map(Terminal::path);
        }
    }
}
