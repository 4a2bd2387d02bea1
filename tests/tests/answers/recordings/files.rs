//! Files of recordings: incomplete, damaged, on a full disk, and files that exist already.

use std::{fs, os::unix::process::ExitStatusExt as _, process::Command};

use serde_json::Value;
use taskscope_tests::{directory::Directory, setting, spawner, wait};

use super::{has_no_shell, record, replay, start, text};

#[test]
fn a_recorder_that_is_killed_leaves_what_it_has_written() {
    let directory = Directory::new("killed");
    let file = directory.file("a.rec");
    let recorder = start(&file, &[]);
    let size = || fs::metadata(&file).map_or(0, |metadata| metadata.len());
    wait::until("the snapshot is written", || size() > 2000);
    spawner::signal(&recorder, libc::SIGKILL);
    let status = recorder.wait_with_output().unwrap().status;
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    let whole = replay(&file, &["tree", "--kernel", "--format", "json"]);
    let tree: Value = serde_json::from_str(&text(&whole)).unwrap();
    let me = u64::from(std::process::id());
    let has_me = tree["processes"].as_array().unwrap().iter().any(|process| process["pid"] == me);
    assert!(has_me, "this process was there when it was recorded");
    // The last frame is torn.
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let torn = replay(&file, &[]);
    let stderr = String::from_utf8_lossy(&torn.stderr).into_owned();
    assert!(torn.status.success(), "{stderr}");
    assert!(stderr.contains("were not written whole"), "{stderr}");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_command() {
    if setting::in_vm() {
        return setting::skip("needs /dev/full and a tmpfs of its own");
    }
    let directory = Directory::new("full");
    let mount = directory.file("mount");
    fs::create_dir_all(&mount).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "none"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return setting::skip("mounting a tmpfs is not permitted");
    }
    let file = mount.join("a.rec");
    // The other tests of this program have processes too, which a frame of a second must hold.
    let script =
        "for i in $(seq 300); do /bin/true; done; sleep 1.2; for i in $(seq 300); do /bin/true; done; exit 9";
    let output = record(&file, &[], &["sh", "-c", script]);
    let kept = fs::read(&file);
    let _ = Command::new("umount").arg(&mount).status();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "the command goes on: {stderr}");
    assert!(stderr.contains("writing the recording at offset"), "{stderr}");
    let whole = directory.file("b.rec");
    fs::write(&whole, kept.unwrap()).unwrap();
    let replayed = replay(&whole, &[]);
    let stderr = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success() && !stderr.contains("damaged"), "{stderr}");
    assert!(!stderr.contains("not written whole"), "the part that was written is cut off: {stderr}");
}

#[test]
fn damage_is_named_with_its_offset_and_costs_only_itself() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("damage");
    let file = directory.file("a.rec");
    record(&file, &[], &["sh", "-c", "sleep 1.3; /bin/true; sleep 1.3; /bin/false"]);
    let bytes = fs::read(&file).unwrap();
    let frames: Vec<usize> =
        (0..bytes.len() - 4).filter(|&at| bytes[at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd])).collect();
    assert!(frames.len() >= 4, "{frames:?}");
    let mut wrong = bytes.clone();
    // The last bytes are the checksum. In the data, a wrong bit may be one that the decoder does not use.
    wrong[frames[3] - 1] ^= 1;
    fs::write(&file, &wrong).unwrap();
    let output = replay(&file, &[]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let named = format!("a.rec: {} bytes at offset {} are damaged", frames[3] - frames[2], frames[2]);
    assert!(stderr.contains(&named), "{named}\n{stderr}");
    assert!(stdout.contains("\"place\":\"recording\""), "the gap is an event too");
    for (content, said) in [
        (&b""[..], "an empty file"),
        (b"#!/bin/sh\n", "not a recording of taskscope"),
        (&bytes[..50], "offset 0"),
    ] {
        fs::write(&file, content).unwrap();
        let output = replay(&file, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("a.rec") && stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_recording_that_exists_is_not_overwritten_and_its_size_is_bounded() {
    if has_no_shell() {
        return;
    }
    let directory = Directory::new("bounds");
    let file = directory.file("a.rec");
    let script =
        "for i in $(seq 40); do /bin/true; done; sleep 1.2; for i in $(seq 1500); do /bin/true; done; exit 3";
    let output = record(&file, &["--max-size", "60K"], &["sh", "-c", script]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("--max-size was reached"), "{stderr}");
    let size = fs::metadata(&file).unwrap().len();
    assert!(size <= 60 << 10, "{size}");
    assert!(!text(&replay(&file, &["lives"])).is_empty());
    let again = record(&file, &[], &["true"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists and is not empty"));
    assert_eq!(fs::metadata(&file).unwrap().len(), size);
}
