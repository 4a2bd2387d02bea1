//! Pictures of the page and of `taskscope top`, as the documentation has them. They are a program of their own: another test that
//! ends processes in the meantime would move these from the few deaths that a terminal shows.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use taskscope_tests::{
    browser::{DESKTOP, open},
    spawner, terminal_page, top,
};

/// A terminal in columns and rows, and in pixels as `terminal_page` draws it.
const TERMINAL: ((u16, u16), (u32, u32)) = ((120, 36), (1120, 704));

/// A process and all of its group, which end with this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: a signal to the process group that this test made.
        unsafe { libc::kill(-self.0.id().cast_signed(), libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

/// What the pictures show: a zombie, orphans, kills, workers. `$S` has programs with these names.
const BUSY: &str = "\
    $S/web-master -c 'for i in 1 2 3 4 5 6 7; do $S/web-worker 1.$i & sleep 0.5; done; wait' & \
    $S/backup -c '$S/dump-table 0.8 & exec $S/backup.sleep 1000' & \
    for i in 1 2; do $S/launcher -c '$S/orphaned 4 & sleep 0.3; exit 0'; sleep 0.6; $S/stubborn 1000 & sleep 1; kill -9 $!; done; \
    $S/importer -c 'sleep 0.7; exit 3'; wait";

/// Creates the pictures of the documentation if `TASKSCOPE_PICTURES` is set; otherwise only checks that it can.
#[test]
fn pictures_of_the_page() {
    let Some((service, browser, url)) = open("#/") else { return };
    let names = taskscope_tests::service::directory();
    let link = |name: &str, program: &str| {
        let outcome = std::os::unix::fs::symlink(program, names.join(name));
        outcome.unwrap_or_else(|error| panic!("linking {name}: {error}"));
    };
    for name in ["supervisor", "web-master", "backup", "launcher", "importer"] {
        link(name, "/bin/bash");
    }
    for name in ["web-worker", "dump-table", "backup.sleep", "orphaned", "stubborn"] {
        link(name, "/bin/sleep");
    }
    let mut command = Command::new(names.join("supervisor"));
    command.args(["-c", BUSY]).env("S", &names).stdin(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let busy = Group(spawner::spawn(command).unwrap_or_else(|error| panic!("starting bash: {error}")));
    let folder = match std::env::var_os("TASKSCOPE_PICTURES") {
        Some(_) => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures")),
        None => service.directory().to_owned(),
    };
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("making {}: {error}", folder.display()));
    browser.shows("Deaths", "importer", true);
    browser.shows("Zombies by parent", "backup.sleep", true);
    browser.shows("Zombies by parent", "its parent's exec", true);
    browser.shows("Reparented processes", "? (", false);
    let take = |name: &str| {
        let path = folder.join(name);
        browser.picture(&path);
        let size = fs::metadata(&path).map_or(0, |it| it.len());
        assert!(size > 10_000 && size <= 256 * 1024, "{}: {size} bytes", path.display());
    };
    take("page-overview.png");
    let Some(tmux) = top::start(&service, TERMINAL.0, "") else { return };
    let is_full =
        |screen: &str| ["importer", "backup.sleep", "its parent's exec"].iter().all(|it| screen.contains(it));
    tmux.until("deaths and zombies", is_full);
    let screen = service.directory().join("top.html");
    let written = fs::write(&screen, terminal_page::html(&tmux.coloured()));
    written.unwrap_or_else(|error| panic!("writing {}: {error}", screen.display()));
    browser.open(&format!("file://{}", screen.display()), TERMINAL.1, "dark");
    take("top.png");
    drop(tmux);
    let supervisor = &service.json(&format!("/v1/tasks/{}", busy.0.id()))["process"]["entity_id"];
    let supervisor = supervisor.as_str().unwrap_or_default();
    browser.open(&format!("{url}#/timeline?span=8&root={supervisor}"), DESKTOP, "light");
    let drawn = "(() => { const drawn = document.querySelector('canvas')?.dataset.drawn; if (!drawn) return false; \
                 const { bars, rows } = JSON.parse(drawn); return bars > 20 && rows < 40; })()";
    browser.until("the bars of its descendants", drawn);
    take("page-timeline.png");
    browser.assert_no_problems();
    drop(busy);
    let _ = fs::remove_dir_all(names);
    service.stop_clean();
}
