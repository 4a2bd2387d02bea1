//! taskscope's eBPF programs: they report what the kernel does with its tasks, and nothing else.
//!
//! Each hook has a file in `hooks/`. Only `kread` reads kernel memory, and only `emit` writes the ring.
// `cargo clippy` checks the programs for the host too. `core` alone cannot unwind there, `std` can, and nothing else differs.
#![cfg_attr(target_arch = "bpf", no_std)]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
// The macros of aya-ebpf make every program public; the head of each file says what its programs are for.
#![allow(missing_docs, unreachable_pub)]
#![allow(
    clippy::inline_always,
    clippy::needless_pass_by_value,
    clippy::needless_borrows_for_generic_args,
    reason = "each program is one function; the macros fix the signatures; a key that is passed by reference stays where the \
              verifier saw it written"
)]

mod emit;
mod globals;
mod hooks;
mod kread;
mod path;
mod sleepers;
mod switch;
mod task;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No loaded program can reach this: the verifier refuses endless loops, so it refuses a program that can panic.
    loop {}
}

/// The helpers in use are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
