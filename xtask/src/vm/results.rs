//! The lines that guest-init writes to the results port.

use std::time::Duration;

/// One line of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Init runs on this kernel release.
    Boot(String),
    /// A note about the guest.
    Note(String),
    Start(Id),
    Pass(Id, Duration),
    Fail(Id, Duration, String),
    Ignored(Id),
    /// The test cannot run in this guest, for this reason.
    Skip(Id, String),
    /// A process that a test left running.
    Left(Id, String),
    /// `key=value` printed by a test.
    Report {
        attach: String,
        key: String,
        value: String,
    },
    /// Output of an `--exec` command.
    Out(String),
    /// The tests have ended, with these numbers of passed and failed tests.
    End {
        passed: u32,
        failed: u32,
    },
    /// The line is not of this protocol: it is damaged, or from another version of guest-init.
    Unknown(String),
}

/// A test under one attach family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) attach: String,
    pub(super) program: String,
    pub(super) test: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attach, program, test } = self;
        write!(f, "{attach} {program} {test}")
    }
}

/// Parses a line. A line that cannot be parsed is [`Line::Unknown`], which fails the run.
pub(super) fn parse(line: &str) -> Line {
    let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split('\t').collect();
    known(&fields).unwrap_or_else(|| Line::Unknown(line.to_owned()))
}

fn known(fields: &[&str]) -> Option<Line> {
    let millis = |text: &str| text.parse().ok().map(Duration::from_millis);
    Some(match *fields {
        ["BOOT", release] => Line::Boot(release.to_owned()),
        ["NOTE", text] => Line::Note(text.to_owned()),
        ["START", a, p, t] => Line::Start(id(a, p, t)),
        ["PASS", a, p, t, time] => Line::Pass(id(a, p, t), millis(time)?),
        ["FAIL", a, p, t, time, why] => Line::Fail(id(a, p, t), millis(time)?, why.to_owned()),
        ["IGNORED", a, p, t] => Line::Ignored(id(a, p, t)),
        ["SKIP", a, p, t, why] => Line::Skip(id(a, p, t), why.to_owned()),
        ["LEFT", a, p, t, process] => Line::Left(id(a, p, t), process.to_owned()),
        ["REPORT", attach, text] => {
            let (key, value) = text.trim().split_once(['=', ' ']).unwrap_or((text.trim(), ""));
            let [attach, key, value] = [attach, key, value.trim()].map(str::to_owned);
            Line::Report { attach, key, value }
        }
        ["OUT", _, text] => Line::Out(text.to_owned()),
        ["END", passed, failed, _ignored, _skipped] => {
            Line::End { passed: passed.parse().ok()?, failed: failed.parse().ok()? }
        }
        _ => return None,
    })
}

fn id(attach: &str, program: &str, test: &str) -> Id {
    let [attach, program, test] = [attach, program, test].map(str::to_owned);
    Id { attach, program, test }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_protocol_is_read() {
        let id = id("kprobe", "lifecycle", "fork_exit");
        let second = Duration::from_secs(1);
        for (text, line) in [
            ("BOOT\t6.1.0-56-cloud-amd64\n", Line::Boot("6.1.0-56-cloud-amd64".into())),
            ("START\tkprobe\tlifecycle\tfork_exit", Line::Start(id.clone())),
            ("PASS\tkprobe\tlifecycle\tfork_exit\t1000\r\n", Line::Pass(id.clone(), second)),
            (
                "FAIL\tkprobe\tlifecycle\tfork_exit\t1000\texit code 101",
                Line::Fail(id.clone(), second, "exit code 101".into()),
            ),
            ("IGNORED\tkprobe\tlifecycle\tfork_exit", Line::Ignored(id.clone())),
            ("SKIP\tkprobe\tlifecycle\tfork_exit\tno shell", Line::Skip(id.clone(), "no shell".into())),
            ("LEFT\tkprobe\tlifecycle\tfork_exit\t7 sleep", Line::Left(id, "7 sleep".into())),
            (
                "REPORT\tfentry\trung.do_exit=fentry do_exit",
                Line::Report {
                    attach: "fentry".into(),
                    key: "rung.do_exit".into(),
                    value: "fentry do_exit".into(),
                },
            ),
            ("OUT\tauto\thello", Line::Out("hello".into())),
            ("END\t3\t1\t2\t0", Line::End { passed: 3, failed: 1 }),
        ] {
            assert_eq!(parse(text), line);
        }
    }

    #[test]
    fn a_cut_line_is_unknown_at_every_length() {
        let whole = "FAIL\tkprobe\tlifecycle\tfork_exit\t1000\texit code 101";
        let cuts = (0..whole.rfind('\t').unwrap()).map(|length| &whole[..length]);
        for cut in cuts {
            assert!(matches!(parse(cut), Line::Unknown(_)), "{cut:?}");
        }
    }
}
