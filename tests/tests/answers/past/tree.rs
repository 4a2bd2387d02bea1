//! The tree and one process of a past time.

use std::process::Command;

use serde_json::Value;
use taskscope_tests::{client, history::History, proc, setting, spawner::Spawned, wait};

use super::{FORGETFUL, asked, have_ended, is_skipped, json};

#[test]
fn the_tree_and_a_process_of_a_time_before_this_daemon_come_from_the_history() {
    if is_skipped() {
        return;
    }
    let directory = History::new();
    let service = directory.start(&FORGETFUL);
    let mut shell = Spawned::new(Command::new("sh").args(["-c", "sleep 1000 & wait"]));
    let (parent, me) = (i64::from(shell.id()), i64::from(std::process::id()));
    // Wait until the child has called execve, as /proc shows.
    let child = wait::until_some("sh has the child sleep", || {
        proc::children(parent).into_iter().find(|pid| proc::name(pid) == "sleep")
    });
    let then = setting::date();
    let killed = Command::new("kill").args(["-TERM", &child.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    shell.wait();
    wait::until(format_args!("the ends of {parent} and {child} are reported"), || {
        have_ended(&service, [parent, child])
    });
    service.stop_clean();
    let service = directory.start(&FORGETFUL);
    let path = directory.path();
    let path = path.to_str().unwrap_or_default();
    let daemon = |args: &[&str]| json(&asked(&service, args));
    let from = |args: &[&str]| client::json(&[args, &["--from", path]].concat());
    for tree in [
        daemon(&["tree", "--at", &then, "--format", "json"]),
        from(&["tree", "--at", &then, "--format", "json"]),
    ] {
        let of = |pid: i64| {
            let all: Vec<_> = tree["processes"].as_array().into_iter().flatten().collect();
            let found: Vec<_> = all.into_iter().filter(|node| node["pid"] == pid).collect();
            assert!(found.len() <= 1, "{pid} is there twice");
            found.first().copied().cloned().unwrap_or(Value::Null)
        };
        let (sh, sleep) = (of(parent), of(child));
        assert_eq!(
            (sh["parent_pid"].as_i64(), sleep["parent_pid"].as_i64()),
            (Some(me), Some(parent)),
            "sh {parent} of {me} at {then}: {sh:#}\nsleep {child}: {sleep:#}"
        );
        assert_eq!(sleep["name"], "sleep");
        assert_eq!(sleep["depth"].as_u64(), sh["depth"].as_u64().map(|depth| depth + 1));
        assert!(tree["history"]["known_since"].is_string(), "{:#}", tree["history"]);
    }
    let below = daemon(&["tree", &parent.to_string(), "--at", &then, "--format", "json"]);
    assert_eq!(below["processes"].as_array().map(Vec::len), Some(2), "{below:#}");
    let of_pid = ["explain", &child.to_string(), "--at", &then, "--format", "json"].map(str::to_owned);
    let of_pid: Vec<&str> = of_pid.iter().map(String::as_str).collect();
    for (past, knows_present) in [(daemon(&of_pid), true), (from(&of_pid), false)] {
        let process = &past["processes"][0];
        assert_eq!(process["process"]["name"], "sleep", "{past:#}");
        assert_eq!(process["life"]["death"]["cause"], "killed", "{past:#}");
        let ancestors: Vec<_> = process["ancestors"].as_array().into_iter().flatten().collect();
        let states: Vec<_> = ancestors.iter().filter_map(|it| it["state"].as_str()).collect();
        assert_eq!((ancestors[0]["pid"].as_i64(), states[0]), (Some(parent), "ended"), "{past:#}");
        let ours = if knows_present { "running" } else { "unknown" };
        assert_eq!((ancestors[1]["pid"].as_i64(), states[1]), (Some(me), ours), "{past:#}");
        if knows_present {
            assert!(ancestors.last().is_some_and(|last| last["pid"] == 1), "{past:#}");
        }
    }
    let text = asked(&service, &["explain", &child.to_string(), "--at", &then]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("killed by SIGTERM from kill"), "{text}");
    // The name that the process had at that time selects it too.
    let named = daemon(&["explain", "sleep", "--at", &then, "--format", "json"]);
    let pids: Vec<_> =
        named["processes"].as_array().into_iter().flatten().map(|it| &it["process"]["pid"]).collect();
    assert!(pids.contains(&&Value::from(child)), "{named:#}");
    let present = asked(&service, &["explain", &me.to_string(), "--at", &then]).stdout;
    assert!(String::from_utf8_lossy(&present).contains("it still exists"));
    service.stop_clean();
}
