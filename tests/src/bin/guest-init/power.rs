//! Ends the guest.

use std::io::Write as _;

/// The meaning of the exit code. QEMU ends with `(code << 1) | 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every test passed: QEMU ends with 33.
    Passed,
    /// A test failed: QEMU ends with 35.
    Failed,
    /// The guest could not run the tests: QEMU ends with 37.
    Broken,
}

impl Verdict {
    const fn code(self) -> u8 {
        match self {
            Self::Passed => 0x10,
            Self::Failed => 0x11,
            Self::Broken => 0x12,
        }
    }
}

/// Ends the machine. If the port of isa-debug-exit cannot be used, it powers off, and the host takes the verdict from the results.
pub(crate) fn leave(verdict: Verdict) -> ! {
    let flushed = std::io::stdout().flush();
    // SAFETY: tcdrain and sync take no pointers; descriptor 1 is the console that the kernel opened for init.
    unsafe {
        libc::tcdrain(1);
        libc::sync();
    }
    if let Err(error) = flushed {
        eprintln!("guest-init: flushing the console: {error}");
    }
    debug_exit(verdict.code());
    // SAFETY: reboot takes integers; only process 1 of a guest calls it.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    // Without power management, reboot(2) returns. The exit of init then makes the kernel panic, which ends QEMU.
    std::process::exit(i32::from(verdict.code()))
}

#[cfg(target_arch = "x86_64")]
fn debug_exit(code: u8) {
    /// Where `cargo xtask vm` puts QEMU's isa-debug-exit device.
    const PORT: u16 = 0x501;
    // SAFETY: ioperm takes integers, and its result is checked before the port is used.
    if unsafe { libc::ioperm(libc::c_ulong::from(PORT), 1, 1) } != 0 {
        eprintln!("guest-init: ioperm({PORT:#x}): {}", std::io::Error::last_os_error());
        return;
    }
    // SAFETY: ioperm gave this process the port; no memory is touched.
    unsafe { std::arch::asm!("out dx, al", in("dx") PORT, in("al") code, options(nomem, nostack)) };
}

#[cfg(not(target_arch = "x86_64"))]
fn debug_exit(_code: u8) {}
