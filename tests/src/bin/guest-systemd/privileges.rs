//! Checks the privileges of the running service.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use anyhow::{Context as _, ensure};

use crate::daemon::{SOCKET, status};
use crate::run::Run;
use crate::systemctl::{journal, main_pid};

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Checks that the daemon has its own user and at most one capability, and cannot get more.
pub(crate) fn are_few(run: &mut Run) -> anyhow::Result<()> {
    let pid = main_pid()?;
    let user = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let user = user.lines().find(|line| line.starts_with("taskscope:")).context("no user taskscope")?;
    let id = user.split(':').nth(2).unwrap_or_default();
    let (uids, gids) = (status(pid, "Uid")?, status(pid, "Gid")?);
    ensure!(uids.split_whitespace().all(|uid| uid == id), "taskscope is {id}, the daemon's ids are {uids}");
    run.report("privileges.user", format!("taskscope, groups {gids} {}", status(pid, "Groups")?))?;
    for set in SETS {
        let value = status(pid, set)?;
        run.report(&format!("privileges.{set}"), names(mask(&value)?))?;
    }
    let allowed = |set: &str, allowed: u64| -> anyhow::Result<()> {
        let value = status(pid, set)?;
        ensure!(mask(&value)? & !allowed == 0, "{set} is {value}: more than {}", names(allowed));
        Ok(())
    };
    allowed("CapPrm", CAP_BPF)?;
    allowed("CapEff", CAP_BPF)?;
    allowed("CapInh", 0)?;
    allowed("CapAmb", 0)?;
    allowed("CapBnd", CAP_BPF | CAP_PERFMON)?;
    for (field, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let value = status(pid, field)?;
        ensure!(value == wanted, "{field} of the daemon is {value}, not {wanted}");
    }
    let reported = journal()?;
    let reported = reported.lines().rev().find_map(|line| line.split_once("capabilities: "));
    run.report("privileges.reported", reported.context("the journal has no line about capabilities")?.1)?;

    let socket = std::fs::metadata(SOCKET).with_context(|| format!("looking at {SOCKET}"))?;
    let mode = socket.permissions().mode() & 0o777;
    ensure!(mode == 0o660, "the mode of {SOCKET} is {mode:o}, not 660");
    ensure!(socket.uid().to_string() == id, "{SOCKET} belongs to {}", socket.uid());
    Ok(())
}

fn mask(hex: &str) -> anyhow::Result<u64> {
    u64::from_str_radix(hex, 16).with_context(|| format!("`{hex}` is no set of capabilities"))
}

fn names(set: u64) -> String {
    let mut names = Vec::new();
    for (bit, name) in [(CAP_PERFMON, "CAP_PERFMON"), (CAP_BPF, "CAP_BPF")] {
        if set & bit != 0 {
            names.push(name.to_owned());
        }
    }
    let rest = set & !(CAP_PERFMON | CAP_BPF);
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}
