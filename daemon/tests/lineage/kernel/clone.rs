//! Parameters of clone(2).

use super::SIGCHLD;

/// How to clone.
#[expect(clippy::struct_excessive_bools, reason = "as the flags of clone(2)")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clone {
    pub(crate) parent: bool,
    pub(crate) vfork: bool,
    pub(crate) vm: bool,
    pub(crate) new_pid_ns: bool,
    pub(crate) exit_signal: i32,
}

impl Default for Clone {
    fn default() -> Self {
        Self { parent: false, vfork: false, vm: false, new_pid_ns: false, exit_signal: SIGCHLD }
    }
}

impl Clone {
    pub(super) fn flags(self) -> u64 {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        bit(self.parent, 0x8000)
            | bit(self.vfork, 0x4100)
            | bit(self.vm, 0x100)
            | bit(self.new_pid_ns, 0x2000_0000)
    }
}
