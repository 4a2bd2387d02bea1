//! Parses /proc/PID/stat, see `proc_pid_stat(5)`.

use thiserror::Error;

/// The fields of /proc/PID/stat that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 1.
    pub pid: u32,
    /// Field 2, without its parentheses; any byte but NUL.
    pub comm: Vec<u8>,
    /// Field 3: `Z` is a zombie, or a dead leader whose threads live on.
    pub state: u8,
    /// Field 4.
    pub ppid: u32,
    /// Field 9: PF_ bits.
    pub flags: u32,
    /// Fields 11, 13, 16 and 17: whether waited-for children had used anything. Every child that ever ran has: its first
    /// instruction causes a page fault.
    pub children_used: Option<bool>,
    /// Field 20: threads of the group.
    pub num_threads: u32,
    /// Field 22: start after boot, in ticks of `USER_HZ`.
    pub start_ticks: u64,
    /// Field 38: signal for the parent at the end; absent where the line was cut.
    pub exit_signal: Option<i32>,
}

/// What is malformed in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StatError {
    /// No parentheses around the comm.
    #[error("no comm in parentheses")]
    NoComm,
    /// A field is missing or not a number.
    #[error("field {0} is missing or malformed")]
    Field(usize),
}

impl Stat {
    /// Parses the text. The comm may contain parentheses and blanks: it ends at the last closing parenthesis.
    pub fn parse(text: &[u8]) -> Result<Self, StatError> {
        let open = text.iter().position(|&byte| byte == b'(').ok_or(StatError::NoComm)?;
        let close = end_of_comm(text).ok_or(StatError::NoComm)?;
        let comm = text.get(open + 1..close).ok_or(StatError::NoComm)?.to_vec();
        let pid = text.get(..open).and_then(|bytes| number(bytes.trim_ascii())).ok_or(StatError::Field(1))?;
        let rest: Vec<&[u8]> = text
            .get(close + 1..)
            .unwrap_or_default()
            .split(u8::is_ascii_whitespace)
            .filter(|field| !field.is_empty())
            .collect();
        // The first of these is field 3.
        let field = |n: usize| rest.get(n - 3).copied().ok_or(StatError::Field(n));
        Ok(Self {
            pid,
            comm,
            state: field(3)?.first().copied().ok_or(StatError::Field(3))?,
            ppid: number(field(4)?).ok_or(StatError::Field(4))?,
            flags: number(field(9)?).ok_or(StatError::Field(9))?,
            children_used: children_used(field),
            num_threads: number(field(20)?).ok_or(StatError::Field(20))?,
            start_ticks: number(field(22)?).ok_or(StatError::Field(22))?,
            exit_signal: field(38).ok().and_then(number),
        })
    }
}

/// Returns the place of the parenthesis after the comm, which may contain parentheses itself.
pub(super) fn end_of_comm(text: &[u8]) -> Option<usize> {
    text.iter().rposition(|&byte| byte == b')')
}

/// Returns what waited-for children used; `None` if a field is missing.
fn children_used<'a>(field: impl Fn(usize) -> Result<&'a [u8], StatError>) -> Option<bool> {
    let mut any = false;
    for n in [11, 13, 16, 17] {
        any |= number::<i64>(field(n).ok()?)? > 0;
    }
    Some(any)
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        b"4711 (tricky) (\n name) S 1 4711 4711 0 -1 4194560 103 0 0 0 1 2 0 0 20 0 3 0 98765 1 2\n";

    #[test]
    fn a_comm_may_hold_parentheses_blanks_and_newlines() {
        let stat = Stat::parse(LINE).unwrap();
        assert_eq!(stat.comm, b"tricky) (\n name");
        assert_eq!(
            (stat.pid, stat.state, stat.ppid, stat.num_threads, stat.start_ticks),
            (4711, b'S', 1, 3, 98765)
        );
    }

    #[test]
    fn a_parent_that_has_waited_is_known_by_what_its_children_used() {
        assert_eq!(Stat::parse(LINE).unwrap().children_used, Some(false));
        let waited = b"7 (x) S 1 7 7 0 -1 4194560 103 88 0 0 1 2 0 0 20 0 3 0 98765 1 2\n";
        assert_eq!(Stat::parse(waited).unwrap().children_used, Some(true));
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_number_and_never_a_panic() {
        for len in 0..LINE.len() {
            if let Ok(stat) = Stat::parse(LINE.get(..len).unwrap()) {
                assert!(stat.start_ticks <= 98765, "{len}");
            }
        }
        assert_eq!(Stat::parse(b""), Err(StatError::NoComm));
        assert_eq!(Stat::parse(b")("), Err(StatError::NoComm));
        assert_eq!(Stat::parse(b"x (y) S 1"), Err(StatError::Field(1)));
        assert_eq!(Stat::parse(b"1 (y) S x"), Err(StatError::Field(4)));
    }
}
