//! Names that a task chooses to confuse readers of output.

use crate::{
    Entry,
    actor::{peek, spawn, wait},
    fact::{Fact, pause},
    proc,
    sys::{self, Channel},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("rename", "a child renames itself once", rename),
    (
        "hostile-comm",
        "newline, escape sequence, invalid UTF-8, quotes, JSON, C1 and bidirectional controls, a name too long",
        hostile_comm,
    ),
    ("namesakes", "parents whose names could be taken for others, each with a zombie", namesakes),
];

const HOSTILE: [&[u8]; 13] = [
    b"two\nlines",
    b"\x1b[31mred\x1b[0m",
    b"h\xffl\xfe",
    b"\"quo'ted\\",
    b"a) R 1 (b",
    b"\",\"x\":1,\"y\":\"",
    b"much too long for a comm",
    b"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
    b"\xff",
    b"\\xff",
    b"\xef\xbf\xbd",
    // NEL, RIGHT-TO-LEFT OVERRIDE, LEFT-TO-RIGHT ISOLATE, LINE SEPARATOR, ARABIC LETTER MARK.
    b"\xc2\x85\xe2\x80\xae\xe2\x81\xa6a\xe2\x80\xa8",
    b"\xd8\x9c\xe2\x80\x8f\xe2\x80\xa9b",
];

/// Names that equal label values of /metrics for the sum of other parents and for unknown names; a byte that is not UTF-8, and its
/// escape.
const NAMESAKES: [(&str, &[u8]); 4] =
    [("other", b"other"), ("unknown", b"unknown"), ("byte", b"\xff"), ("text", b"\\xff")];

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

fn namesakes(_: &[String]) {
    let parents = NAMESAKES.map(|(role, bytes)| {
        let (ready, go) = (Channel::new(), Channel::new());
        let parent = spawn(role, || {
            name(role, bytes);
            let child = spawn("zombie", || 1);
            peek(role, "zombie", child, 0);
            ready.send(0);
            go.receive();
            wait(role, "zombie", child);
            0
        });
        ready.receive();
        (role, parent, go)
    });
    pause("named");
    for (role, parent, go) in parents {
        go.send(0);
        wait("scenario", role, parent);
    }
}

/// Sets the comm and prints what the kernel stored.
fn name(role: &str, bytes: &[u8]) {
    let before = sys::now_ns();
    sys::set_comm(bytes);
    let comm = proc::Stat::read(sys::getpid(), sys::gettid()).map(|stat| stat.comm).unwrap_or_default();
    Fact::new("renamed")
        .text("role", role)
        .bytes("asked", bytes)
        .bytes("comm", &comm)
        .number("before_ns", before)
        .number("after_ns", sys::now_ns())
        .emit();
}
