//! A terminal for tests: tmux with a server of its own.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::wait;

/// A terminal with a shell. The tmux server ends when this is dropped.
pub struct Tmux {
    socket: PathBuf,
}

/// Whether tmux is installed.
#[must_use]
pub fn is_there() -> bool {
    Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success())
}

impl Tmux {
    /// Starts a terminal of this size with a shell.
    #[track_caller]
    pub fn start(columns: u16, rows: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("taskscope-tmux-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let tmux = Self { socket: std::env::temp_dir().join(name) };
        let (x, y) = (columns.to_string(), rows.to_string());
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &x, "-y", &y, "exec env PS1='prompt> ' sh"]);
        tmux.shows("prompt>");
        tmux
    }

    /// Returns the path of the server's socket.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        // The locale has line-drawing characters; with -u the server need not detect UTF-8.
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("TMUX");
        command.arg("-u").arg("-S").arg(&self.socket).args(args);
        let output = command.output().unwrap_or_else(|error| panic!("running tmux: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Types a text literally.
    #[track_caller]
    pub fn types(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
    }

    /// Presses a key by tmux's name, such as `Enter` or `C-c`.
    #[track_caller]
    pub fn presses(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    /// Changes the size of the terminal.
    #[track_caller]
    pub fn resizes(&self, columns: u16, rows: u16) {
        self.run(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// Returns the text of the screen.
    #[track_caller]
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Returns the text of the screen with its colour sequences.
    #[track_caller]
    pub fn coloured(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Returns a variable of tmux about the terminal, such as `#{alternate_on}`.
    #[track_caller]
    pub fn asks(&self, format: &str) -> String {
        self.run(&["display-message", "-p", format]).trim().to_owned()
    }

    /// Waits until the screen meets a condition, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        wait::until_ok(|| {
            let screen = self.screen();
            if is(&screen) { Ok(screen) } else { Err(format!("the screen never shows {what}:\n{screen}")) }
        })
    }

    /// Waits until the screen contains this text.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // The server may have ended already.
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
        let _ = std::fs::remove_file(&self.socket);
    }
}
