//! The globals that the daemon sets before load. They are frozen then, so that the verifier folds the values.

use core::ptr::read_volatile;

use probe_common::{ABI_VERSION, NEVER_SHED, Offsets, SIGNALS_DEFAULT, Settings};

/// Read by the daemon before load; see [`probe_common::ABI_SYMBOL`].
#[used]
#[unsafe(no_mangle)]
static TASKSCOPE_ABI_VERSION: u32 = ABI_VERSION;

#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::ABSENT;

#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    args: 0,
    shed_details_above: NEVER_SHED,
    shed_threads_above: NEVER_SHED,
    shed_signals_above: NEVER_SHED,
    signals: SIGNALS_DEFAULT,
    pad: 0,
};

/// Reads a field of one of the globals here.
#[inline(always)]
pub fn read(pointer: *const u32) -> u32 {
    // SAFETY: only called with pointers into the statics above; volatile because the loader rewrites their values behind
    // the compiler's back.
    unsafe { read_volatile(pointer) }
}

/// Whether argument vectors are wanted.
#[inline(always)]
pub fn wants_args() -> bool {
    read(&raw const SETTINGS.args) != 0
}

/// Above this many bytes in the ring, records that the tree can do without are left out.
#[inline(always)]
pub fn shed_details_above() -> u32 {
    read(&raw const SETTINGS.shed_details_above)
}

/// Above this many bytes in the ring, records of new threads are left out too.
#[inline(always)]
pub fn shed_threads_above() -> u32 {
    read(&raw const SETTINGS.shed_threads_above)
}

/// Above this many bytes in the ring, records of signals are left out.
#[inline(always)]
pub fn shed_signals_above() -> u32 {
    read(&raw const SETTINGS.shed_signals_above)
}

/// Whether a signal is reported. Real-time signals never are.
#[inline(always)]
pub fn wants_signal(signal: u32) -> bool {
    signal.wrapping_sub(1) < 31 && read(&raw const SETTINGS.signals) >> (signal - 1) & 1 != 0
}

/// `offset!(task_pid)`: the offset of one field of [`Offsets`].
macro_rules! offset {
    ($field:ident) => {
        $crate::globals::read(&raw const $crate::globals::OFFSETS.$field)
    };
}
pub(crate) use offset;
