//! More threads than a thread library can make: bare tasks on one block of stacks. They wait, and end together.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die_with, pause},
    number, proc,
    sys::{self, Pid},
};

pub(crate) const SCENARIOS: &[Entry] =
    &[("crowd", "a group with N (1000) bare threads that all end at once", crowd)];

/// Size of a stack, enough for a function that makes two system calls.
const STACK_BYTES: usize = 4096;

/// A thread of the caller's group, without thread-local storage of its own.
const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

/// The futex word: 0 while all threads wait, then 1.
static GO_AHEAD: AtomicU32 = AtomicU32::new(0);

fn crowd(args: &[String]) {
    let count = usize::try_from(number(args, 0, 1000)).unwrap_or_default();
    let go = sys::Channel::new();
    let group = spawn("group", || {
        let tids: Vec<Pid> = Stacks::new(count).map(start).collect();
        Fact::new("crowd").text("role", "thread").numbers("tids", &tids).emit();
        go.receive();
        open();
        let me = sys::getpid();
        proc::until("waiting for all threads to end", || proc::tasks(me).len() == 1);
        30
    });
    proc::until("waiting for all threads", || proc::tasks(group).len() > count);
    pause("all-alive");
    go.send(0);
    wait("scenario", "group", group);
}

/// Stacks in one mapping, which is never unmapped.
struct Stacks {
    next: usize,
    end: usize,
}

impl Stacks {
    fn new(count: usize) -> Self {
        let bytes = (count * STACK_BYTES).max(STACK_BYTES);
        // SAFETY: this creates a new anonymous mapping.
        let block = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if block == libc::MAP_FAILED {
            die_with("mmap of stacks", sys::errno());
        }
        let first = block as usize + STACK_BYTES;
        Self { next: first, end: first + count * STACK_BYTES }
    }
}

impl Iterator for Stacks {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let top = self.next;
        self.next += STACK_BYTES;
        (top < self.end).then_some(top)
    }
}

fn start(stack_top: usize) -> Pid {
    // SAFETY: only this thread uses the stack, which is never unmapped. The thread shares thread-local storage with its creator, so
    // it makes system calls only; these write only errno there, which the creator does not read meanwhile.
    let tid = unsafe { libc::clone(stand, stack_top as *mut libc::c_void, THREAD, std::ptr::null_mut()) };
    if tid < 0 { die_with("clone of a thread", sys::errno()) } else { tid }
}

extern "C" fn stand(_: *mut libc::c_void) -> libc::c_int {
    while GO_AHEAD.load(Ordering::Acquire) == 0 {
        // SAFETY: the word is static; there is no timeout.
        unsafe {
            libc::syscall(libc::SYS_futex, GO_AHEAD.as_ptr(), libc::FUTEX_WAIT, 0, std::ptr::null::<u8>())
        };
    }
    sys::exit_task(0)
}

fn open() {
    GO_AHEAD.store(1, Ordering::Release);
    // SAFETY: the word is static.
    unsafe { libc::syscall(libc::SYS_futex, GO_AHEAD.as_ptr(), libc::FUTEX_WAKE, libc::c_int::MAX) };
}
