//! Exhausts pids, memory or CPUs of a machine. It is for guests, unless it runs under a limit of its own.

use crate::{
    Entry,
    actor::spawn,
    fact::{Fact, pause},
    number,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    (
        "hog-pids",
        "makes children of USER until the kernel refuses one, N (100000) at most; they stay until `go`",
        pids,
    ),
    (
        "hog-memory",
        "takes memory until the OOM killer kills the process; repeated until no process is left",
        memory,
    ),
    ("hog-cpu", "N (200) children spin under POLICY (normal, fifo) until `go`", cpu),
];

/// Priorities of the process that ends the spinning children, and of these children.
const KEEPER: i32 = 50;
const SPINNER: i32 = 10;

fn end_all(children: &[Pid]) {
    for &pid in children {
        sys::kill(pid, libc::SIGKILL);
    }
    for &pid in children {
        // Only this process waits for the child.
        let _ = sys::wait4(pid, 0);
    }
}

fn pids(args: &[String]) {
    let most = usize::try_from(number(args, 0, 100_000)).unwrap_or_default();
    if args.len() > 1 {
        sys::become_user(number(args, 1, 0).unsigned_abs());
    }
    let mut children: Vec<Pid> = Vec::new();
    let mut errno = 0;
    while children.len() < most {
        match sys::clone(0, libc::SIGCHLD) {
            Ok(None) => sys::sleep_for_ever(),
            Ok(Some(pid)) => children.push(pid),
            Err(refused) => {
                errno = refused;
                break;
            }
        }
    }
    let count = i64::try_from(children.len()).unwrap_or(i64::MAX);
    Fact::new("hog").number("children", count).number("errno", errno).emit();
    pause("full");
    end_all(&children);
}

fn memory(_: &[String]) {
    let killed = Channel::new();
    spawn("keeper", || {
        loop {
            match sys::fork() {
                None => take_memory(),
                Some(hog) => {
                    let _ = sys::wait4(hog, 0);
                    killed.send(hog);
                }
            }
        }
    });
    let first = killed.receive();
    Fact::new("hog").number("killed", first).emit();
    pause("killed");
    // SIGKILL goes to all processes of the group, this one included, because the present process that takes memory has no parent
    // that could end it.
    sys::kill(0, libc::SIGKILL);
}

/// Takes memory, a MiB at a time, and writes to each page.
fn take_memory() -> ! {
    const PIECE: usize = 1 << 20;
    const PAGE: usize = 4096;
    loop {
        let mut piece = vec![0_u8; PIECE].into_boxed_slice();
        for page in piece.chunks_mut(PAGE) {
            if let Some(byte) = page.first_mut() {
                *byte = 1;
            }
        }
        Box::leak(std::hint::black_box(piece));
    }
}

fn cpu(args: &[String]) {
    let count = number(args, 0, 200);
    let is_fifo = args.get(1).is_some_and(|policy| policy == "fifo");
    // Spinning children must not keep their parent from ending them.
    sys::be_real_time(0, KEEPER);
    let go = Channel::new();
    let children: Vec<Pid> = (0..count)
        .map(|_| {
            sys::fork().unwrap_or_else(|| {
                go.receive();
                loop {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    for &pid in children.iter().filter(|_| is_fifo) {
        sys::be_real_time(pid, SPINNER);
    }
    for _ in &children {
        go.send(0);
    }
    Fact::new("hog").number("children", count).emit();
    pause("spinning");
    end_all(&children);
}
