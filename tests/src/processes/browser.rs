//! A browser for tests: headless Chromium, driven by playwright-core.

use std::{
    cell::RefCell,
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{service::Service, setting, spawner};

/// The size of a window on a desktop, in pixels.
pub const DESKTOP: (u32, u32) = (1280, 800);

/// How long a page may take to become what it must become. Polls of the page are up to 5 s apart.
const DEADLINE_MS: u64 = 60_000;

/// A driver with its browser. It ends with the test.
pub struct Browser {
    driver: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

/// Starts a daemon, and a browser that shows this view of its page, such as `#/tree`, at the address returned; `None` in a guest.
#[track_caller]
pub fn open(hash: &str) -> Option<(Service, Browser, String)> {
    if !is_there() {
        setting::skip("a guest has no browser, and the page does not depend on the kernel");
        return None;
    }
    let service = Service::start(&[]);
    let browser = Browser::start();
    let url = browser.proxy(&service.socket());
    browser.open(&format!("{url}{hash}"), DESKTOP, "light");
    Some((service, browser, url))
}

fn variable(name: &str, what: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("{name} names {what}; cargo xtask test provides it"))
}

impl Browser {
    /// Starts a driver.
    #[track_caller]
    pub fn start() -> Self {
        let chromium = variable("TASKSCOPE_CHROMIUM", "the browser");
        let modules =
            variable("TASKSCOPE_NODE_MODULES", "a node_modules folder with playwright-core and axe-core");
        let mut command = Command::new("node");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/page/driver.mjs"));
        command.env("TASKSCOPE_CHROMIUM", chromium).env("TASKSCOPE_NODE_MODULES", modules);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut driver = spawner::spawn(command).unwrap_or_else(|error| panic!("starting node: {error}"));
        let pipes = driver.stdin.take().zip(driver.stdout.take());
        let (stdin, stdout) = pipes.unwrap_or_else(|| panic!("the driver has no pipes"));
        Self { driver, pipes: RefCell::new((stdin, BufReader::new(stdout))) }
    }

    #[track_caller]
    fn run(&self, command: &Value) -> Value {
        let (stdin, stdout) = &mut *self.pipes.borrow_mut();
        writeln!(stdin, "{command}").unwrap_or_else(|error| panic!("{command}: {error}"));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap_or_else(|error| panic!("{command}: {error}"));
        let mut answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {error}: {line}"));
        if let Some(error) = answer["error"].as_str() {
            panic!("{command}: {error}");
        }
        answer["value"].take()
    }

    /// Makes the daemon on this socket reachable by TCP, behind a prefix; returns the address of the page.
    #[track_caller]
    pub fn proxy(&self, socket: &Path) -> String {
        let url = self.run(&json!({ "command": "proxy", "socket": socket }));
        url.as_str().unwrap_or_default().to_owned()
    }

    /// Opens a page in a new window of this size.
    #[track_caller]
    pub fn open(&self, url: &str, (width, height): (u32, u32), scheme: &str) {
        self.run(
            &json!({ "command": "open", "url": url, "width": width, "height": height, "scheme": scheme }),
        );
    }

    /// Opens a page as another user does, in a window that the other methods do not reach.
    #[track_caller]
    pub fn open_another(&self, url: &str) {
        self.run(&json!({ "command": "openAnother", "url": url }));
    }

    /// Goes to another view, such as `#/tree`.
    #[track_caller]
    pub fn go(&self, hash: &str) {
        self.run(&json!({ "command": "go", "hash": hash }));
    }

    /// Returns the value of an expression in the page.
    #[track_caller]
    pub fn evaluate(&self, expression: &str) -> Value {
        self.run(&json!({ "command": "evaluate", "expression": expression }))
    }

    /// Waits until an expression in the page is true, and returns its value.
    #[track_caller]
    pub fn until(&self, what: &str, expression: &str) -> Value {
        self.run(
            &json!({ "command": "until", "expression": expression, "what": what, "deadline": DEADLINE_MS }),
        )
    }

    /// Waits until the region or section with this label shows a text, or no longer shows it.
    #[track_caller]
    pub fn shows(&self, region: &str, text: &str, is_shown: bool) {
        let what = format!("`{text}` {} in `{region}`", if is_shown { "shown" } else { "gone" });
        let selector = json!(format!("[aria-label={}]", json!(region))).to_string();
        let there = format!("document.querySelector({selector})?.innerText.includes({})", json!(text));
        self.until(&what, &if is_shown { there } else { format!("!({there})") });
    }

    /// Fills a field.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.run(&json!({ "command": "fill", "selector": selector, "text": text }));
    }

    /// Clicks at an element.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.run(&json!({ "command": "click", "selector": selector }));
    }

    /// Presses a key.
    #[track_caller]
    pub fn press(&self, key: &str) {
        self.run(&json!({ "command": "press", "key": key }));
    }

    /// Writes a picture of the window.
    #[track_caller]
    pub fn picture(&self, path: &Path) {
        self.run(&json!({ "command": "picture", "path": path }));
    }

    /// Checks that axe-core finds no serious fault of accessibility in the page.
    #[track_caller]
    pub fn assert_accessible(&self) {
        let faults = self.run(&json!({ "command": "axe" }));
        assert_eq!(faults, json!([]), "{faults:#}");
    }

    /// Checks that the page wrote nothing to the console, threw no error, and requested nothing from other hosts.
    #[track_caller]
    pub fn assert_no_problems(&self) {
        let problems = self.run(&json!({ "command": "problems" }));
        assert_eq!(problems, json!([]), "{problems:#}");
    }

    /// Returns the bytes received by path, headers included, of requests that have ended.
    #[track_caller]
    pub fn received(&self) -> Value {
        self.run(&json!({ "command": "received" }))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that has failed may have broken the pipe.
        let _ = writeln!(self.pipes.borrow_mut().0, "{}", json!({ "command": "close" }));
        let mut line = String::new();
        let _ = self.pipes.borrow_mut().1.read_line(&mut line);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Whether the browser can be started here; a guest has none.
pub fn is_there() -> bool {
    !setting::in_vm()
}
