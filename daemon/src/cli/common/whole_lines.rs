//! Lines of a body that comes in pieces.

/// Keeps the beginning of a line until its end has come.
#[derive(Debug, Default)]
pub(in crate::cli) struct WholeLines(Vec<u8>);

impl WholeLines {
    /// Takes a piece, and returns the lines that end in it, each with its newline.
    pub(in crate::cli) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(piece);
        let whole = self.0.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        self.0.drain(..whole).collect()
    }

    /// Returns the length of the line that has not ended.
    pub(in crate::cli) const fn pending(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_it_has_ended() {
        let mut lines = WholeLines::default();
        let pieces: [&[u8]; 4] = [b"a", b"b\nc\nd", b"", b"\n"];
        assert_eq!(pieces.map(|piece| lines.push(piece)), [&b""[..], b"ab\nc\n", b"", b"d\n"]);
        assert_eq!(lines.pending(), 0);
        lines.push(b"xyz");
        assert_eq!(lines.pending(), 3);
    }
}
