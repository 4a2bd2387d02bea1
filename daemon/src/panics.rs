//! Panics: one line in the log, a count, and an error for the client if the panic can be survived.
//!
//! A panic is a bug of taskscope. A panic in an answer is survived: the client gets an error, and no other client notices. Any
//! other panic ends the process, and systemd starts a new one: see "Panics" in ARCHITECTURE.md.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook},
    sync::atomic::{AtomicU64, Ordering},
};

/// Number of panics of this process, on all threads.
static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What the hook wrote about this thread's last panic.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Logs each panic as one line. The default hook's backtrace is left out: it needs files that the sandbox closes.
pub fn install_hook() {
    set_hook(Box::new(|info| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let text = describe(info);
        log::error!("{text}");
        // A thread that is about to end has no thread-local storage any more.
        let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = Some(text)));
    }));
}

/// Returns the number of panics of this process.
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// A panic that was caught. Its text names the version and the place, and asks to report it.
pub struct Panicked {
    text: String,
    payload: Box<dyn Any + Send>,
}

impl Panicked {
    /// Survives the panic if the state is consistent; otherwise resumes unwinding, which ends the process.
    #[must_use]
    pub fn unless_broken(self, whole: Result<(), String>) -> Self {
        if let Err(why) = whole {
            log::error!(
                "a panic left the task tree half changed ({why}): taskscope ends, and should be started again"
            );
            resume_unwind(self.payload);
        }
        self
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Runs `what`; a panic in it becomes an error.
///
/// Changes that `what` made before the panic stay: the caller must know that they are consistent, or check.
pub fn catch<T>(what: impl FnOnce() -> T) -> Result<T, Panicked> {
    LAST.with_borrow_mut(|last| *last = None);
    catch_unwind(AssertUnwindSafe(what)).map_err(|payload| {
        // Where the hook is not installed, as in tests of other modules, only the payload is known.
        let text =
            LAST.with_borrow_mut(Option::take).unwrap_or_else(|| report("an unknown place", &*payload));
        Panicked { text, payload }
    })
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    report(&place, info.payload())
}

fn report(place: &str, payload: &(dyn Any + Send)) -> String {
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    // One line, because the log and the JSON of an error are read by line.
    let message = message.unwrap_or("no message").replace('\n', " ");
    format!(
        "taskscope {} panicked at {place}: {message}; this is a bug: please report this line to the project",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_names_version_and_message_and_asks_for_a_report() {
        let panicked = catch(|| -> u32 { panic!("no such\ntask {}", 7) }).unwrap_err().to_string();
        assert!(panicked.contains(env!("CARGO_PKG_VERSION")), "{panicked}");
        assert!(panicked.contains("no such task 7"), "{panicked}");
        assert!(panicked.contains("please report"), "{panicked}");
    }

    #[test]
    fn what_does_not_panic_is_answered() {
        assert_eq!(catch(|| 7).unwrap(), 7);
    }

    #[test]
    fn a_panic_that_left_something_broken_goes_on() {
        let inner = catch(|| panic!("first")).unwrap_err();
        let outer = catch(|| inner.unless_broken(Err("zombies: kept 1, counted 2".into())));
        assert!(outer.unwrap_err().to_string().contains("first"));
        let survived = catch(|| panic!("second")).unwrap_err().unless_broken(Ok(()));
        assert!(survived.to_string().contains("second"));
    }
}
