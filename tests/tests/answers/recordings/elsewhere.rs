//! A recording of a guest, which `cargo xtask vm` replays on the host.

use std::fmt::Write as _;
use std::fs;

use sha2::{Digest as _, Sha256};
use taskscope_tests::{directory::Directory, setting};

use super::{record, replay, scenario};

/// Bytes of the recording in one line: a guest's init cuts longer lines.
const PART: usize = 1024;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_recording_and_digests_of_its_replay_are_reported_to_the_host() {
    if !setting::in_vm() {
        return setting::skip("runs in guests only: `cargo xtask vm` replays their recordings on the host");
    }
    let directory = Directory::new("elsewhere");
    let file = directory.file("a.rec");
    let recorded = record(&file, &[], &[&scenario(), "burst", "20"]);
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let events = replay(&file, &[]);
    assert!(events.status.success(), "{}", String::from_utf8_lossy(&events.stderr));
    let tree = replay(&file, &["tree", "--kernel", "--format", "json"]);
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    setting::report("recording", format!("{} {}", digest(&events.stdout), digest(&tree.stdout)));
    for part in fs::read(&file).unwrap().chunks(PART) {
        setting::report("recording.part", hex(part));
    }
}
