//! Bytes as a kernel's type information: it is parsed, and every field that the programs want is looked up.

use taskscope::kernel::{btf::Types, fields};

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(types) = Types::from_bytes(bytes) {
        let (offsets, missing) = fields::resolve(&types);
        // A field that is not found must be listed as missing.
        assert!(fields::identity_known(&offsets) || !missing.is_empty());
        let _ = types.has_function("do_exit");
        let _ = types.size_of("task_struct");
    }
}
