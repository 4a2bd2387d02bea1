//! Passes the architecture of the target kernel to the programs, also if they are only type-checked on the host.

use std::env;

/// The architectures whose registers aya knows.
const ARCHITECTURES: [&str; 8] =
    ["aarch64", "arm", "loongarch64", "mips", "powerpc64", "riscv64", "s390x", "x86_64"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(bpf_target_arch, values(\"{}\"))", ARCHITECTURES.join("\", \""));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    // For the BPF target, the flags in `daemon/build/compile.rs` pass it.
    if arch != "bpf" {
        println!("cargo::rustc-cfg=bpf_target_arch=\"{arch}\"");
    }
}
