//! The web page in headless Chromium, behind a proxy that adds a prefix.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use common::scenario;
use taskscope_tests::{
    browser::{self, Browser, DESKTOP, open},
    service::Service,
    setting, spawner,
};

const PHONE: (u32, u32) = (390, 844);
/// What the whole page may have on the wire.
const MOST: u64 = 150 * 1024;

#[track_caller]
fn start(program: &str, args: &[&str]) -> Child {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    spawner::spawn(command).unwrap_or_else(|error| panic!("starting {program}: {error}"))
}

#[test]
fn a_zombie_is_shown_by_its_parent_and_is_gone_after_the_wait() {
    let Some((service, browser, _)) = open("#/") else { return };
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let name = format!("scenario ({parent})");
    browser.shows("Zombies by parent", &name, true);
    browser.go("#/culprits");
    browser.shows("Zombies by parent", &name, true);
    browser.go("#/tree");
    browser.shows("Process tree", &name, true);
    browser.fill("#filter", "zombie");
    browser.shows("Process tree", "zombie for", true);
    browser.go(&format!("#/life/{parent}"));
    browser.shows("Verdict", "zombie", true);
    browser.shows("Verdict", "What to do", true);
    zombie.go();
    zombie.finish();
    browser.go("#/");
    browser
        .until("an answer", "document.querySelector('[aria-label=\"Zombies by parent\"] table td') !== null");
    browser.shows("Zombies by parent", &name, false);
    browser.assert_no_problems();
    service.stop_clean();
}

#[test]
fn a_kill_is_shown_with_sender_and_victim() {
    let Some((service, browser, _)) = open("#/timeline?span=10") else { return };
    browser.until("the timeline with this test", &life_is(std::process::id(), "true"));
    let mut victim = start("sleep", &["1000"]);
    browser.until("the victim's life", &life_is(victim.id(), "lives.exit[n] === Infinity"));
    spawner::signal(&victim, libc::SIGKILL);
    let _ = victim.wait();
    // An arrow goes from the sender's bar to the victim's.
    let sent = format!(
        "lives.signal[n] === 9 && lives.sender[n] >= 0 && lives.pid[lives.sender[n]] === {} && lives.ends[n].includes('SIGKILL from ')",
        std::process::id()
    );
    browser.until("sender and victim in the timeline", &life_is(victim.id(), &sent));
    browser.until("an arrow", "JSON.parse(document.querySelector('canvas').dataset.drawn).arrows > 0");
    browser.go("#/");
    let name = format!("sleep ({})", victim.id());
    browser.shows("Deaths", &name, true);
    let row = format!(
        "[...document.querySelectorAll('[aria-label=\"Deaths\"] tr')].find((row) => row.innerText.includes('{name}')).innerText"
    );
    let row = browser.evaluate(&row).as_str().unwrap_or_default().to_owned();
    assert!(
        row.contains("killed by SIGKILL from ") && row.contains(&std::process::id().to_string()),
        "{row}"
    );
    browser.assert_no_problems();
    service.stop_clean();
}

/// Returns an expression that is true if the timeline has the life with this pid, and the condition holds for it (`n` is its
/// index).
fn life_is(pid: u32, condition: &str) -> String {
    format!(
        "(() => {{ const lives = document.querySelector('canvas')?.lives; if (!lives) return false; \
         const n = lives.pid.lastIndexOf({pid}, lives.count - 1); return n >= 0 && ({condition}); }})()"
    )
}

#[test]
fn the_page_reconnects_to_the_next_daemon_and_says_what_is_missing() {
    // A busy host would move the gap out of a list of all events.
    let Some((service, browser, _)) = open("#/events?since=1s&comm=true") else { return };
    let state = |text: &str| format!("document.getElementById('state').innerText.includes('{text}')");
    browser.until("that it is live", &state("live"));
    let mut before = start("true", &[]);
    browser.shows("Events", &format!("true ({})", before.id()), true);
    let _ = before.wait();
    let (end, directory) = service.stop();
    end.assert_clean();
    browser.until("that it says so", &state("disconnected since"));
    let service = Service::start_in(directory, &[]);
    browser.until("the gap", &state("the daemon was restarted"));
    browser.shows("Events", "events are missing here (restart)", true);
    let mut after = start("true", &[]);
    browser.shows("Events", &format!("true ({})", after.id()), true);
    let _ = after.wait();
    service.stop_clean();
}

#[test]
fn a_hostile_name_is_shown_as_text() {
    let Some((service, browser, _)) = open("#/tree") else { return };
    // A comm has 15 bytes.
    let directory = taskscope_tests::service::directory();
    let program = directory.join("<img src=x on>");
    fs::copy("/bin/sleep", &program).unwrap_or_else(|error| panic!("copying sleep: {error}"));
    let mut named = start(&program.to_string_lossy(), &["1000"]);
    let name = format!("<img src=x on> ({})", named.id());
    browser.shows("Process tree", &name, true);
    browser.go(&format!("#/life/{}", named.id()));
    browser.shows("Facts", &program.to_string_lossy(), true);
    browser.go("#/timeline");
    browser.until("its life", &life_is(named.id(), "lives.names[n] === '<img src=x on>'"));
    browser.click("button[aria-controls=in-view]");
    browser.fill("input[type=search]", "<img");
    browser.go(&format!("#/events?pid={}", named.id()));
    spawner::signal(&named, libc::SIGKILL);
    let _ = named.wait();
    browser.shows("Events", "group_exited", true);
    browser.shows("Events", &name, true);
    // A link can be hostile, too.
    browser.go("#/life/%3Cimg%20src%3Dx%3E");
    browser.shows("Process tree", "anything", false);
    browser.until("the error", "document.querySelector('main').innerText.includes('<img src=x>')");
    assert_eq!(browser.evaluate("document.querySelectorAll('img, iframe, object').length"), 0);
    let _ = fs::remove_dir_all(directory);
    service.stop_clean();
}

#[test]
fn every_view_is_accessible_in_light_and_dark_and_writes_nothing_to_the_console() {
    let Some((service, browser, url)) = open("#/") else { return };
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    for (size, scheme) in [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")] {
        browser.open(&url, size, scheme);
        browser.shows("Zombies by parent", &format!("scenario ({parent})"), true);
        browser.assert_accessible();
        let tree = format!("scenario ({parent})");
        for (hash, region, text) in [
            ("#/timeline", "Legend", "zombie"),
            ("#/tree", "Process tree", tree.as_str()),
            ("#/culprits", "Zombies by parent", tree.as_str()),
            ("#/budget", "Limits on pids, the fullest first", "kernel.pid_max"),
            ("#/events", "Events", "Process"),
            (&format!("#/life/{parent}"), "Facts", "Entity id"),
        ] {
            browser.go(hash);
            browser.shows(region, text, true);
            browser.assert_accessible();
            let wide = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
            assert!(wide.as_i64().is_some_and(|wide| wide <= 0), "{hash} is wider than its window by {wide}");
        }
        browser.assert_no_problems();
    }
    zombie.go();
    zombie.finish();
    service.stop_clean();
}

#[test]
fn the_page_is_usable_by_keys_and_its_addresses_can_be_shared() {
    let Some((service, browser, url)) = open("#/timeline") else { return };
    browser.until("the timeline with this test", &life_is(std::process::id(), "true"));
    browser.until("a drawn bar", "JSON.parse(document.querySelector('canvas').dataset.drawn).bars > 0");
    browser.evaluate("document.querySelector('canvas').focus()");
    for key in ["+", "-", "ArrowLeft", "ArrowDown", "ArrowUp", "End", "n", "n", "p"] {
        browser.press(key);
    }
    browser.until("the address of the chosen life", "location.hash.includes('life=')");
    let shared = browser.evaluate("location.href").as_str().unwrap_or_default().to_owned();
    assert!(shared.starts_with(&url), "{shared}");
    let chosen = browser
        .evaluate("document.getElementById('chosen').innerText")
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = chosen.split("  ").nth(1).unwrap_or_default().to_owned();
    browser.open(&shared, DESKTOP, "light");
    browser.until(
        "the same life",
        &format!("document.getElementById('chosen').innerText.includes({})", serde_json::json!(name)),
    );
    browser.evaluate("document.querySelector('canvas').focus()");
    browser.press("Enter");
    browser.until("its story", "location.hash.startsWith('#/life/')");
    browser.shows("Facts", "Entity id", true);
    // The timeline changes its address a moment after a key. If another view was opened in that moment, its address stays.
    let address = browser.evaluate(
        "import('./page/address.js').then((module) => { \
         location.hash = '#/tree'; module.setParameters('timeline', { since: '1h' }); return location.hash; })",
    );
    assert_eq!(address, "#/tree");
    browser.assert_no_problems();
    service.stop_clean();
}

#[test]
fn the_page_on_tcp_is_small_and_has_a_strict_policy() {
    if !browser::is_there() {
        setting::skip("a guest has no browser, and the page does not depend on the kernel");
        return;
    }
    let closed = Service::start(&[]);
    let answer = closed.ask("GET / HTTP/1.0\r\naccept: text/html\r\n\r\n");
    assert!(answer.status == 200 && answer.head.contains("text/plain"), "{answer:?}");
    assert_eq!(closed.get("/page/main.js").status, 404);
    closed.stop_clean();

    let service = Service::start(&["--api-on-tcp"]);
    let answer = service.ask("GET / HTTP/1.0\r\naccept: text/html\r\n\r\n");
    for part in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
        "referrer-policy: no-referrer",
        "etag: w/\"",
    ] {
        assert!(answer.head.contains(part), "no {part}: {}", answer.head);
    }
    let rebound =
        service.ask("GET / HTTP/1.1\r\nhost: evil.example\r\naccept: text/html\r\nconnection: close\r\n\r\n");
    assert_eq!(rebound.status, 421, "{rebound:?}");
    let foreign = "GET /page/main.js HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(service.ask(foreign).status, 403);

    let browser = Browser::start();
    browser.open(&format!("http://{}/", service.address()), DESKTOP, "light");
    browser.until("that it is live", "document.getElementById('state').innerText.includes('live')");
    browser.until("the budget", "document.querySelector('.meter') !== null");
    let received = browser.received();
    let page = received.as_object().into_iter().flatten().filter(|(path, _)| !path.starts_with("/v1/"));
    let sum: u64 = page.map(|(_, bytes)| bytes.as_u64().unwrap_or(0)).sum();
    println!("{sum} bytes received for the page, headers included");
    assert!(sum > 10_000 && sum <= MOST, "{received:#}");
    browser.assert_no_problems();
    service.stop_clean();
}

#[test]
fn pictures_for_reports_are_drawn_by_a_browser() {
    let Some((service, browser, _)) = open("#/") else { return };
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let parent = zombie.facts().role("scenario").pid;
    let picture = |args: &[&str]| {
        let socket = service.socket();
        let mut command = Command::new(setting::taskscope());
        let output = command.args(args).arg("--socket").arg(socket).output();
        let output = output.unwrap_or_else(|error| panic!("starting {args:?}: {error}"));
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let pid = parent.to_string();
    for (args, classes) in [
        (["timeline", "--since", "1m", "--format=svg", &pid].as_slice(), [".living", ".zombie"]),
        (["tree", "--format=svg"].as_slice(), [".bad", ".soft"]),
    ] {
        let file = service.directory().join("picture.svg");
        fs::write(&file, picture(args)).unwrap_or_else(|error| panic!("writing {}: {error}", file.display()));
        browser.open(&format!("file://{}", file.display()), DESKTOP, "light");
        let root = browser
            .evaluate("document.documentElement.localName + document.querySelectorAll('parsererror').length");
        assert_eq!(root, "svg0", "{args:?}");
        for class in classes {
            let count = format!("document.querySelectorAll('{class}').length > 0");
            assert_eq!(browser.evaluate(&count), true, "{args:?} has no {class}");
        }
        let text = browser.evaluate("document.documentElement.textContent");
        assert!(text.as_str().is_some_and(|text| text.contains(&pid)), "{args:?}: {text}");
    }
    let dot = picture(&["tree", "--format=dot"]);
    assert!(dot.starts_with("digraph") && dot.contains(&format!("p{pid} -> p")), "{dot}");
    zombie.go();
    zombie.finish();
    service.stop_clean();
}

#[test]
fn viewers_share_an_answer_if_they_say_so() {
    let service = Service::start(&["--api-on-tcp"]);
    let made = |header: &str| {
        let answer = service.ask(&format!("GET /v1/zombies HTTP/1.0\r\n{header}\r\n"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let body: serde_json::Value =
            serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        (body["boottime_ns"].as_u64(), answer.head.contains("\nage: "))
    };
    // On a busy host more than five seconds may pass between the two requests.
    let is_shared = (0..10).any(|_| {
        let first = made("cache-control: max-age=5\r\n");
        let second = made("cache-control: max-age=5\r\n");
        first.0 == second.0 && second.1
    });
    assert!(is_shared, "each was made anew");
    for header in
        ["", "cache-control: no-cache\r\n", "cache-control: max-age=0\r\n", "cache-control: max-age=x\r\n"]
    {
        let (first, second) = (made(header), made(header));
        assert!(first.0 < second.0 && !second.1, "{header}: {first:?} {second:?}");
    }
    service.stop_clean();
}
