//! Waiting for what must come. Only a failing test waits until the deadline.

use std::{
    fmt::Display,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::setting;

const PAUSE: Duration = Duration::from_millis(10);

/// Returns how long the functions here wait. It is longer than [`setting::deadline`], because a release can be reported late
/// with tracepoints, and a missed one is found only by a comparison.
fn longest() -> Duration {
    setting::deadline() * 3
}

/// Waits until `is` returns true. `what` completes the sentence "waited until".
#[track_caller]
pub fn until(what: impl Display, mut is: impl FnMut() -> bool) {
    until_some(what, || is().then_some(()));
}

/// Calls `find` until it returns a value, and returns that. `what` completes the sentence "waited until".
#[track_caller]
pub fn until_some<T>(what: impl Display, mut find: impl FnMut() -> Option<T>) -> T {
    let missing = format!("waited until {what}");
    until_ok(|| find().ok_or(&missing))
}

/// Asks until an answer meets a condition, and returns that answer.
#[track_caller]
pub fn until_answer(mut ask: impl FnMut() -> Value, is: impl Fn(&Value) -> bool) -> Value {
    until_ok(|| {
        let answer = ask();
        if is(&answer) { Ok(answer) } else { Err(format!("the last answer: {answer:#}")) }
    })
}

/// Calls `attempt` until it succeeds, and returns its value. After the deadline the last error fails the test.
#[track_caller]
pub fn until_ok<T, E: Display>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + longest();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < end, "after {} s: {error}", longest().as_secs()),
        }
        sleep(PAUSE);
    }
}
