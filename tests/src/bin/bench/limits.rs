//! Raises the host's limits during the run, so that 100,000 tasks fit.

use std::fs;

use anyhow::Context as _;

const ENOUGH: u64 = 262_144;
const LIMITS: [&str; 2] = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];

/// The former limits, which are restored when this is dropped.
pub(crate) struct Raised(Vec<(&'static str, u64)>);

/// Raises limits that are lower, and logs that.
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
