//! Names of `si_code`.

use crate::lineage::flags::{SI_KERNEL, SIGSYS};

/// The name of an `si_code`: <https://elixir.bootlin.com/linux/v6.18/source/include/uapi/asm-generic/siginfo.h>.
pub(super) const fn code_name(signal: i32, code: i32) -> Option<&'static str> {
    Some(match (signal, code) {
        (_, 0) => "SI_USER",
        (_, SI_KERNEL) => "SI_KERNEL",
        (_, -1) => "SI_QUEUE",
        (_, -2) => "SI_TIMER",
        (_, -3) => "SI_MESGQ",
        (_, -4) => "SI_ASYNCIO",
        (_, -5) => "SI_SIGIO",
        (_, -6) => "SI_TKILL",
        (11, 1) => "SEGV_MAPERR",
        (11, 2) => "SEGV_ACCERR",
        (11, 3) => "SEGV_BNDERR",
        (11, 4) => "SEGV_PKUERR",
        (7, 1) => "BUS_ADRALN",
        (7, 2) => "BUS_ADRERR",
        (7, 3) => "BUS_OBJERR",
        (7, 4) => "BUS_MCEERR_AR",
        (4, 1) => "ILL_ILLOPC",
        (4, 2) => "ILL_ILLOPN",
        (8, 1) => "FPE_INTDIV",
        (8, 2) => "FPE_INTOVF",
        (5, 1) => "TRAP_BRKPT",
        (5, 2) => "TRAP_TRACE",
        (SIGSYS, 1) => "SYS_SECCOMP",
        _ => return None,
    })
}
