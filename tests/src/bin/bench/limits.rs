//! Room for 100,000 tasks: the host's limits are raised for the time of the run.

use std::fs;

use anyhow::Context as _;

const ENOUGH: u64 = 262_144;
const LIMITS: [&str; 2] = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];

/// Puts them back.
pub(crate) struct Raised(Vec<(&'static str, u64)>);

/// Raises those that are lower, and says so.
pub(crate) fn raise() -> anyhow::Result<Raised> {
    let mut raised = Raised(Vec::new());
    for path in LIMITS {
        let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        let limit: u64 = text.trim().parse().with_context(|| format!("{path} says {text:?}"))?;
        if limit < ENOUGH {
            eprintln!("bench: {path} is {limit}; {ENOUGH} until the end of the run");
            fs::write(path, ENOUGH.to_string()).with_context(|| format!("writing {path}"))?;
            raised.0.push((path, limit));
        }
    }
    Ok(raised)
}

impl Drop for Raised {
    fn drop(&mut self) {
        for (path, limit) in &self.0 {
            if let Err(err) = fs::write(path, limit.to_string()) {
                eprintln!("bench: {path} stays {ENOUGH}, it was {limit}: {err}");
            }
        }
    }
}
