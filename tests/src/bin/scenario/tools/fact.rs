//! Facts of a scenario. Each is one JSON line and one write(2), so that the lines of several processes never mix.

use std::fmt::Write as _;

use crate::sys;

/// A fact under construction.
pub(crate) struct Fact(String);

impl Fact {
    pub(crate) fn new(kind: &str) -> Self {
        Self(String::from("{")).text("fact", kind)
    }

    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.0.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                c if c < ' ' => self.push(format_args!("\\u{:04x}", u32::from(c))),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
        self
    }

    pub(crate) fn number(mut self, key: &str, value: impl Into<i64>) -> Self {
        self.key(key);
        self.push(format_args!("{}", value.into()));
        self
    }

    pub(crate) fn numbers(mut self, key: &str, values: &[i32]) -> Self {
        self.key(key);
        let list: Vec<String> = values.iter().map(i32::to_string).collect();
        self.push(format_args!("[{}]", list.join(",")));
        self
    }

    /// Adds pairs as `[[a,b],...]`.
    pub(crate) fn pairs(mut self, key: &str, values: &[(i32, i32)]) -> Self {
        self.key(key);
        let list: Vec<String> = values.iter().map(|(a, b)| format!("[{a},{b}]")).collect();
        self.push(format_args!("[{}]", list.join(",")));
        self
    }

    pub(crate) fn flag(mut self, key: &str, value: bool) -> Self {
        self.key(key);
        self.push(format_args!("{value}"));
        self
    }

    /// Adds bytes in hexadecimal.
    pub(crate) fn bytes(mut self, key: &str, value: &[u8]) -> Self {
        let mut hex = String::new();
        for byte in value {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        self.key(key);
        self.push(format_args!("\"{hex}\""));
        self
    }

    /// Adds the time and writes the line.
    pub(crate) fn emit(self) {
        let mut line = self.number("boottime_ns", sys::now_ns()).0;
        line.push_str("}\n");
        sys::write_all(1, line.as_bytes());
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.push(format_args!("\"{key}\":"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

/// Holds the scenario in a state until the test says `go`.
pub(crate) fn pause(at: &str) {
    Fact::new("pause").text("at", at).emit();
    let mut byte = [0_u8];
    while sys::read(0, &mut byte) == 1 {
        if byte[0] == b'\n' {
            return;
        }
    }
    die_with("waiting for `go` on stdin", libc::EPIPE);
}

/// Reports the failure of a call that must not fail, and ends the calling process.
pub(crate) fn die(call: &str) -> ! {
    die_with(call, sys::errno())
}

/// Does what [`die`] does, with an error that is not in errno.
pub(crate) fn die_with(call: &str, errno: i32) -> ! {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    Fact::new("error").text("call", call).number("errno", errno).text("message", &text).emit();
    sys::exit_group(70)
}

/// Reports that this kernel or machine does not support the scenario: the call and its errno.
pub(crate) fn skip(call: &str, errno: i32) -> ! {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    Fact::new("skip").text("call", call).number("errno", errno).text("message", &text).emit();
    Fact::new("done").emit();
    sys::exit_group(0)
}
