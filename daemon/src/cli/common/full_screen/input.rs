//! Keys from the bytes that a terminal sends for them (ECMA-48; xterm's control sequences, "PC-Style Function Keys").
//!
//! crossterm's reader is not used: when a key and a change of size come together it leaves the key unread until the next one,
//! and after a hang-up it reads forever (`event/source/unix/mio.rs` of 0.29).

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Key {
    Char(char),
    Control(char),
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Tab,
    BackTab,
    Enter,
    Escape,
    Backspace,
    Help,
    Mouse(Mouse),
    /// Any other key.
    Other,
}

/// What a mouse did at a cell of the terminal; the first has the number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Mouse {
    pub(in crate::cli) what: MouseAction,
    pub(in crate::cli) x: u16,
    pub(in crate::cli) y: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum MouseAction {
    /// The left button went down.
    Click,
    WheelUp,
    WheelDown,
}

/// Switches reports of buttons and of the wheel on, in SGR coordinates (xterm's control sequences, "Mouse Tracking").
pub(in crate::cli) const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
pub(in crate::cli) const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

const ESCAPE: u8 = 0x1b;

/// Removes complete keys from the front of `bytes`. Bytes that may begin a key stay, unless no more bytes will come.
pub(in crate::cli) fn keys(bytes: &mut Vec<u8>, is_to_come: bool) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((key, length)) = first(rest, is_to_come) {
        keys.push(key);
        rest = rest.get(length..).unwrap_or_default();
    }
    let taken = bytes.len() - rest.len();
    bytes.drain(..taken);
    keys
}

/// Returns the first key and its length in bytes; `None` if it is not complete.
fn first(bytes: &[u8], is_to_come: bool) -> Option<(Key, usize)> {
    let (&byte, rest) = bytes.split_first()?;
    Some(match byte {
        ESCAPE => return sequence(rest, is_to_come).map(|(key, length)| (key, length + 1)),
        b'\r' | b'\n' => (Key::Enter, 1),
        b'\t' => (Key::Tab, 1),
        0x7f | 0x08 => (Key::Backspace, 1),
        1..=26 => (Key::Control(char::from(byte - 1 + b'a')), 1),
        0..=31 => (Key::Other, 1),
        _ => return character(bytes, is_to_come),
    })
}

/// Parses a character in UTF-8.
fn character(bytes: &[u8], is_to_come: bool) -> Option<(Key, usize)> {
    for length in 1..=bytes.len().min(4) {
        let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let Some(c) = text.and_then(|text| text.chars().next()) {
            return Some((Key::Char(c), length));
        }
    }
    (bytes.len() >= 4 || !is_to_come).then_some((Key::Other, 1))
}

/// Parses what follows an escape character: nothing (the Escape key), or `[` or `O`, parameters, and a letter or `~`.
fn sequence(bytes: &[u8], is_to_come: bool) -> Option<(Key, usize)> {
    let Some((&kind, rest)) = bytes.split_first() else {
        return (!is_to_come).then_some((Key::Escape, 0));
    };
    if !matches!(kind, b'[' | b'O') {
        // This is the Escape key, followed by something else.
        return Some((Key::Escape, 0));
    }
    let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return (!is_to_come).then_some((Key::Other, bytes.len()));
    };
    let parameters = rest.get(..end).unwrap_or_default();
    if let (Some(b'M' | b'm'), Some((b'<', report))) = (rest.get(end), parameters.split_first()) {
        return Some((mouse(report, rest.get(end) == Some(&b'M')), end + 2));
    }
    let number = parameters.split(|&byte| byte == b';').next().unwrap_or_default();
    let key = match (rest.get(end), number) {
        (Some(b'A'), _) => Key::Up,
        (Some(b'B'), _) => Key::Down,
        (Some(b'C'), _) => Key::Right,
        (Some(b'D'), _) => Key::Left,
        (Some(b'H'), _) | (Some(b'~'), b"1" | b"7") => Key::Home,
        (Some(b'F'), _) | (Some(b'~'), b"4" | b"8") => Key::End,
        (Some(b'~'), b"5") => Key::PageUp,
        (Some(b'~'), b"6") => Key::PageDown,
        (Some(b'Z'), _) => Key::BackTab,
        (Some(b'P'), _) | (Some(b'~'), b"11") => Key::Help,
        _ => Key::Other,
    };
    Some((key, end + 2))
}

/// Parses a report `button;column;row`.
fn mouse(report: &[u8], is_press: bool) -> Key {
    let numbers = std::str::from_utf8(report).unwrap_or_default().split(';');
    let numbers: Vec<u16> = numbers.map_while(|number| number.parse().ok()).collect();
    let &[button, x, y] = numbers.as_slice() else { return Key::Other };
    // Shift, Alt and Control add 4, 8 and 16.
    let what = match (button & !0b1_1100, is_press) {
        (0, true) => MouseAction::Click,
        (64, true) => MouseAction::WheelUp,
        (65, true) => MouseAction::WheelDown,
        _ => return Key::Other,
    };
    Key::Mouse(Mouse { what, x: x.saturating_sub(1), y: y.saturating_sub(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], is_to_come: bool) -> (Vec<Key>, usize) {
        let mut bytes = bytes.to_vec();
        let keys = keys(&mut bytes, is_to_come);
        (keys, bytes.len())
    }

    #[test]
    fn keys_are_known_by_what_terminals_send() {
        for (bytes, key) in [
            (&b"q"[..], Key::Char('q')),
            ("ü".as_bytes(), Key::Char('ü')),
            (b"\r", Key::Enter),
            (b"\x03", Key::Control('c')),
            (b"\x7f", Key::Backspace),
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[1;5C", Key::Right),
            (b"\x1b[H", Key::Home),
            (b"\x1b[4~", Key::End),
            (b"\x1b[5~", Key::PageUp),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[Z", Key::BackTab),
            (b"\x1bOP", Key::Help),
            (b"\x1b[200~", Key::Other),
            (b"\x1b[<0;5;3M", Key::Mouse(Mouse { what: MouseAction::Click, x: 4, y: 2 })),
            (b"\x1b[<20;1;1M", Key::Mouse(Mouse { what: MouseAction::Click, x: 0, y: 0 })),
            (b"\x1b[<64;200;50M", Key::Mouse(Mouse { what: MouseAction::WheelUp, x: 199, y: 49 })),
            (b"\x1b[<65;0;0M", Key::Mouse(Mouse { what: MouseAction::WheelDown, x: 0, y: 0 })),
            (b"\x1b[<0;5;3m", Key::Other),
            (b"\x1b[<2;5;3M", Key::Other),
            (b"\x1b[<0;99999;3M", Key::Other),
            (b"\x1b[<;M", Key::Other),
        ] {
            assert_eq!(all(bytes, true), (vec![key], 0), "{bytes:?}");
        }
    }

    #[test]
    fn a_key_that_comes_in_pieces_waits_for_its_end() {
        for bytes in [&b"\x1b"[..], b"\x1b[", b"\x1b[1;", b"\xc3", b"\x1b[<0;5;3"] {
            assert_eq!(all(bytes, true), (vec![], bytes.len()), "{bytes:?}");
        }
        assert_eq!(all(b"\x1b", false), (vec![Key::Escape], 0));
        assert_eq!(all(b"\x1b[1;", false), (vec![Key::Other], 0));
        assert_eq!(all(b"\x1bq", true), (vec![Key::Escape, Key::Char('q')], 0));
    }

    #[test]
    fn no_bytes_make_it_panic_or_stay_for_ever() {
        for a in 0..=255 {
            for b in 0..=255 {
                let (_, left) = all(&[a, b, 0x1b, a], false);
                assert_eq!(left, 0, "{a} {b}");
            }
        }
    }
}
