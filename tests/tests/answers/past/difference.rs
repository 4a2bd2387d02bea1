//! What two times differ by.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;
use taskscope_tests::{client, history::History, setting, spawner::Spawned, wait};

use super::{FORGETFUL, asked, have_ended, is_skipped, json, reaped};

#[test]
fn a_difference_has_what_began_ended_and_moved_between_two_times() {
    if is_skipped() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let me = std::process::id().to_string();
    // A process that ends between the two times, and one whose parent, a shell, ends first.
    let mut ends = Spawned::new(Command::new("sleep").arg("1000"));
    let mut shell = Spawned::new(
        Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    let mut line = String::new();
    let stdout = shell.stdout.take().unwrap_or_else(|| panic!("no output"));
    BufReader::new(stdout).read_line(&mut line).unwrap_or_else(|error| panic!("{error}"));
    let orphan: i64 = line.trim().parse().unwrap_or_else(|error| panic!("{error}: {line}"));
    let first = setting::date();
    ends.kill();
    let begins = Spawned::new(Command::new("sleep").arg("1000"));
    // More than memory holds.
    let Some((storm, pids)) = reaped(300) else { return };
    drop(shell.stdin.take());
    shell.wait();
    wait::until("the end of the shell is reported", || have_ended(&service, [shell.id().into()]));
    let output = asked(&service, &["diff", &first, "now", "--format", "json"]);
    let of_me = asked(&service, &["diff", &first, "now", &me, "--format", "json"]);
    let text = asked(&service, &["diff", &first, "now"]).stdout;
    let (all, own) = (json(&output), json(&of_me));
    let pids_of = |answer: &Value, key: &str| -> BTreeSet<i64> {
        let list = answer[key].as_array().into_iter().flatten();
        list.filter_map(|it| it["process"]["pid"].as_i64()).collect()
    };
    let (begun, ended) = (i64::from(begins.id()), i64::from(ends.id()));
    for difference in [&all, &own] {
        assert!(pids_of(difference, "new").contains(&begun), "{difference:#}");
        assert!(
            pids_of(difference, "gone").is_superset(&[ended, i64::from(shell.id())].into()),
            "{difference:#}"
        );
        assert!(difference["came_and_went"].as_u64() >= Some(301), "{difference:#}");
        let used: Vec<_> = difference["used"].as_array().into_iter().flatten().collect();
        let scenario = used.iter().find(|used| used["name"] == "scenario");
        assert!(scenario.is_some_and(|used| used["processes"].as_u64() >= Some(301)), "{used:#?}");
    }
    assert!(pids_of(&all, "moved").contains(&orphan), "{all:#}");
    let gone = all["gone"].as_array().into_iter().flatten().find(|it| it["process"]["pid"] == ended);
    assert_eq!(gone.map(|gone| &gone["death"]["cause"]), Some(&Value::from("killed")), "{all:#}");
    assert!(!pids_of(&all, "new").contains(&storm) && pids.len() == 300);
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains(&format!("sleep (pid {begun})")), "{text}");
    let _ = Command::new("kill").arg(orphan.to_string()).status();
    drop(begins);
    service.stop_clean();
    // Compare by the directory alone: it has all processes that have ended, and none that still exists.
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let alone = client::json(&["diff", &first, "now", "--from", path, "--format", "json"]);
    assert!(pids_of(&alone, "gone").contains(&ended), "{alone:#}");
    assert!(alone["came_and_went"].as_u64() >= Some(301), "{alone:#}");
}
