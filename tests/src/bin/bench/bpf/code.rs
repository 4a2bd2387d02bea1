//! Instructions of eBPF: <https://docs.kernel.org/bpf/standardization/instruction-set.html>.

pub(crate) const LOAD_64: u8 = 0x18;
pub(crate) const MOVE: u8 = 0xb7;
pub(crate) const MOVE_REGISTER: u8 = 0xbf;
pub(crate) const CALL: u8 = 0x85;
pub(crate) const IF_ZERO: u8 = 0x15;
/// `dst = *(u64 *)(src + offset)`.
const LOAD: u8 = 0x79;
/// `*(u64 *)(dst + offset) = imm`.
const STORE: u8 = 0x7a;
const ADD: u8 = 0x07;

/// Encodes one instruction.
pub(crate) const fn instruction(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    (code as u64)
        | ((dst | src << 4) as u64) << 8
        | (offset.cast_unsigned() as u64) << 16
        | (imm.cast_unsigned() as u64) << 32
}

/// Returns a program of a task iterator that writes this many zero bytes for each task, a multiple of 8 and at most 512.
pub(crate) fn write_for_each(bytes: i16) -> Vec<u64> {
    const STACK: u8 = 10;
    const SEQ_WRITE: i32 = 127;
    let zeroes = bytes / 8;
    let mut code = vec![
        instruction(MOVE_REGISTER, 6, 1, 0, 0),
        // Loads the task, which is null at the end of the walk.
        instruction(LOAD, 7, 6, 8, 0),
        instruction(IF_ZERO, 7, 0, 2 + zeroes + 4, 0),
        // Loads the file `meta->seq`.
        instruction(LOAD, 1, 6, 0, 0),
        instruction(LOAD, 1, 1, 0, 0),
    ];
    code.extend((1..=zeroes).map(|n| instruction(STORE, STACK, 0, -8 * n, 0)));
    code.extend([
        instruction(MOVE_REGISTER, 2, STACK, 0, 0),
        instruction(ADD, 2, 0, 0, -i32::from(bytes)),
        instruction(MOVE, 3, 0, 0, bytes.into()),
        instruction(CALL, 0, 0, 0, SEQ_WRITE),
    ]);
    code.extend(super::NOTHING);
    code
}
