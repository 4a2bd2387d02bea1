//! Bytes as a kernel's type information: parsed, and every field looked for that the programs want.

use taskscope::kernel::{btf::Types, fields};

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(types) = Types::from_bytes(bytes) {
        let (offsets, missing) = fields::resolve(&types);
        // What is not found is said to be missing.
        assert!(fields::identity_known(&offsets) || !missing.is_empty());
        let _ = types.has_function("do_exit");
        let _ = types.size_of("task_struct");
    }
}
