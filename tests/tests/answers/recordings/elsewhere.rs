//! A recording of a guest, which `cargo xtask vm` replays on the host.

use std::fmt::Write as _;
use std::fs;

use sha2::{Digest as _, Sha256};
use taskscope_tests::{directory::Directory, setting};

use super::{record, replay, scenario};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_recording_leads_to_the_same_events_and_tree_on_another_machine() {
    if !setting::in_vm() {
        return setting::skip("it needs another machine: `cargo xtask vm` replays recordings of guests here");
    }
    let directory = Directory::new("elsewhere");
    let file = directory.file("a.rec");
    let live = record(&file, &["--print"], &[&scenario(), "burst", "20"]);
    assert!(live.status.success(), "{}", String::from_utf8_lossy(&live.stderr));
    let events = replay(&file, &[]);
    assert!(live.stdout == events.stdout, "the replay differs from what was printed");
    let tree = replay(&file, &["tree", "--kernel", "--format", "json"]);
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let recording = hex(&fs::read(&file).unwrap());
    setting::report("recording", format!("{} {} {recording}", digest(&events.stdout), digest(&tree.stdout)));
}
