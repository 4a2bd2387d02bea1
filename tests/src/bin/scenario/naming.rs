//! Names that a task chose to confuse who reads them.

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::Fact,
    look, sys,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("rename", "a child renames itself once", rename),
    ("hostile-comm", "newline, escape sequence, invalid UTF-8, quotes, JSON, a name too long", hostile_comm),
];

const HOSTILE: [&[u8]; 8] = [
    b"two\nlines",
    b"\x1b[31mred\x1b[0m",
    b"h\xffl\xfe",
    b"\"quo'ted\\",
    b"a) R 1 (b",
    b"\",\"x\":1,\"y\":\"",
    b"much too long for a comm",
    b"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
];

fn rename(_: &[String]) {
    let child = spawn("child", || {
        name("child", b"renamed");
        28
    });
    wait("scenario", "child", child);
}

fn hostile_comm(_: &[String]) {
    let child = spawn("child", || {
        for bytes in HOSTILE {
            name("child", bytes);
        }
        29
    });
    wait("scenario", "child", child);
}

/// Sets the comm and prints what the kernel made of it.
fn name(role: &str, bytes: &[u8]) {
    let before = sys::now_ns();
    sys::set_comm(bytes);
    let comm = look::Stat::read(sys::getpid(), sys::gettid()).map(|stat| stat.comm).unwrap_or_default();
    Fact::new("renamed")
        .text("role", role)
        .bytes("asked", bytes)
        .bytes("comm", &comm)
        .number("before_ns", before)
        .number("after_ns", sys::now_ns())
        .emit();
}
