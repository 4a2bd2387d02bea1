//! Replays the guests' recordings on the host and checks that the output is byte for byte that of the guest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::hex;

/// The key of a report that begins a recording, and that of its parts.
const BEGINS: &str = "recording";
const PART: &str = "recording.part";

/// The views of a replay that a guest has printed, in the order of their digests in the report.
const VIEWS: [&[&str]; 2] = [&["events"], &["tree", "--kernel", "--format", "json"]];

/// A recording that a test made in a guest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) attach: String,
    /// SHA-256 of what each of [`VIEWS`] printed in the guest.
    digests: [String; VIEWS.len()],
    /// The file, in hexadecimal.
    hex: String,
}

/// Takes a report of a test that is about a recording; returns false if it is not.
pub(super) fn take(recordings: &mut Vec<Recording>, attach: &str, key: &str, value: &str) -> bool {
    match key {
        BEGINS => {
            let mut digests = value.split(' ').map(str::to_owned);
            let digests = [(); VIEWS.len()].map(|()| digests.next().unwrap_or_default());
            recordings.push(Recording { attach: attach.to_owned(), digests, hex: String::new() });
        }
        PART => {
            if let Some(recording) = recordings.iter_mut().rfind(|it| it.attach == attach) {
                recording.hex.push_str(value);
            }
        }
        _ => return false,
    }
    true
}

impl Recording {
    /// Replays it with `program`, and returns the number of bytes that were printed and compared.
    pub(super) fn compare(&self, program: &Path, file: &Path) -> anyhow::Result<usize> {
        let bytes =
            hex::decode(&self.hex).context("the recording in the guest's report is not hexadecimal")?;
        fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))?;
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
    fn the_parts_of_a_recording_are_joined() {
        let mut recordings = Vec::new();
        for (attach, key, value) in [
            ("kprobe", BEGINS, "aa bb"),
            ("kprobe", PART, "00ff"),
            ("fentry", BEGINS, "cc dd"),
            ("kprobe", PART, "7e"),
        ] {
            assert!(take(&mut recordings, attach, key, value));
        }
        assert!(!take(&mut recordings, "kprobe", "recording_bytes", "7"));
        let kprobe = &recordings[0];
        assert_eq!((kprobe.digests[1].as_str(), kprobe.hex.as_str()), ("bb", "00ff7e"));
        assert_eq!(recordings.len(), 2);
    }
}
