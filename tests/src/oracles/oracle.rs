//! The fields of an event that follow from a status of wait(2).

use crate::{facts::Waited, matcher::Matcher};

/// Names of the signals that scenarios use.
const SIGNALS: [(i32, &str); 8] = [
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGCHLD, "SIGCHLD"),
    (libc::SIGHUP, "SIGHUP"),
];

/// Returns the name of a signal.
#[must_use]
pub fn signal_name(signal: i32) -> &'static str {
    SIGNALS
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| panic!("signal {signal} has no name here"), |(_, name)| name)
}

impl Matcher {
    /// Adds: `process.exit` equals the status of wait(2), field by field.
    pub fn exit_as(self, waited: &Waited) -> Self {
        let status = waited.status;
        let matcher = self.field("process.exit.status", status);
        if libc::WIFEXITED(status) {
            return matcher
                .field("process.exit.code", libc::WEXITSTATUS(status))
                .absent("process.exit.signal")
                .absent("process.exit.signal_name")
                .absent("process.exit.core_dumped");
        }
        let signal = libc::WTERMSIG(status);
        let matcher = matcher
            .absent("process.exit.code")
            .field("process.exit.signal", signal)
            .field("process.exit.signal_name", signal_name(signal));
        if libc::WCOREDUMP(status) {
            matcher.field("process.exit.core_dumped", true)
        } else {
            matcher.absent("process.exit.core_dumped")
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        event::{Event, tests::SAMPLE},
        facts::Waited,
        matcher::event,
    };

    fn waited(status: i32) -> Waited {
        Waited { status, before_ns: 0, after_ns: 0 }
    }

    #[test]
    fn a_status_is_compared_in_every_part() {
        let code = Event::parse(SAMPLE).unwrap();
        assert!(event("exited").exit_as(&waited(7 << 8)).matches(&code));
        assert!(!event("exited").exit_as(&waited(6 << 8)).matches(&code));
        let exit = r#""status":139,"signal":11,"signal_name":"SIGSEGV","core_dumped":true"#;
        let dumped = Event::parse(&SAMPLE.replace(r#""status":1792,"code":7"#, exit)).unwrap();
        assert!(event("exited").exit_as(&waited(139)).matches(&dumped));
        assert!(!event("exited").exit_as(&waited(11)).matches(&dumped));
    }
}
