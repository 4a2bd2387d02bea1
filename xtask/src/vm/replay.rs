//! Replays the guests' recordings on the host and checks that the output is byte for byte that of the guest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::hex;

/// The key of a report that has a recording.
pub(super) const KEY: &str = "recording";

/// The views of a replay that a guest has printed, in the order of their digests in the report.
const VIEWS: [&[&str]; 2] = [&["events"], &["tree", "--kernel", "--format", "json"]];

/// A recording that a test made in a guest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) attach: String,
    /// SHA-256 of what each of [`VIEWS`] printed in the guest.
    digests: [String; VIEWS.len()],
    bytes: Vec<u8>,
}

impl Recording {
    /// Parses the value of a report.
    pub(super) fn of(attach: &str, value: &str) -> Option<Self> {
        let mut parts = value.split(' ');
        let mut next = || parts.next().map(str::to_owned);
        let digests = [next()?, next()?];
        Some(Self { attach: attach.to_owned(), digests, bytes: hex::decode(&next()?)? })
    }

    /// Replays it with `program`, and returns the number of bytes that were printed and compared.
    pub(super) fn compare(&self, program: &Path, file: &Path) -> anyhow::Result<usize> {
        fs::write(file, &self.bytes).with_context(|| format!("writing {}", file.display()))?;
        let mut printed = 0;
        for (view, expected) in VIEWS.iter().zip(&self.digests) {
            let output = Command::new(program)
                .arg("replay")
                .arg(file)
                .args(*view)
                .output()
                .with_context(|| format!("running {}", program.display()))?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "replay {view:?}: {error}");
            let digest = hex::encode(&Sha256::digest(&output.stdout));
            ensure!(
                digest == *expected,
                "replay {view:?} of {} differs from that in the guest",
                file.display()
            );
            printed += output.stdout.len();
        }
        Ok(printed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_parsed_and_a_damaged_one_refused() {
        let recording = Recording::of("kprobe", "aa bb 00ff7e").unwrap();
        assert_eq!((recording.digests[1].as_str(), &recording.bytes), ("bb", &vec![0, 255, 0x7e]));
        for damaged in ["", "aa", "aa bb", "aa bb 0", "aa bb 0g"] {
            assert_eq!(Recording::of("kprobe", damaged), None, "{damaged}");
        }
    }
}
