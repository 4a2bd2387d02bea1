//! Tells the programs the architecture of the kernel they are for, also where they are only type-checked on the host.

fn main() -> aya_build::Result<()> {
    aya_build::emit_bpf_target_arch_cfg()
}
