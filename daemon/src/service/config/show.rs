//! The settings in force, written as a configuration file.

use std::fmt;

use super::Settings;
use crate::{duration::text, size};

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |value: &str| toml::Value::from(value).to_string();
        let age = |duration| quoted(&text(duration));
        let listen = self.listen.map(|address| address.to_string()).unwrap_or_default();
        let socket = self.socket.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
        writeln!(f, "listen = {}", quoted(&listen))?;
        writeln!(f, "socket = {}", quoted(&socket))?;
        writeln!(f, "socket_group = {}", quoted(&self.socket_group))?;
        writeln!(f, "api_on_tcp = {}", self.api_on_tcp)?;
        let hosts: Vec<_> = self.allowed_hosts.iter().map(|name| quoted(name)).collect();
        writeln!(f, "allowed_hosts = [{}]", hosts.join(", "))?;
        let web = self.web_config_file.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
        writeln!(f, "web_config_file = {}", quoted(&web))?;
        writeln!(f, "attach = {}", quoted(&self.attach))?;
        writeln!(f, "ring_kib = {}", self.ring_kib)?;
        writeln!(f, "zombie_after = {}", age(self.zombie_after))?;
        writeln!(f, "blocked_after = {}", age(self.blocked_after))?;
        writeln!(f, "leak_window = {}", age(self.leak_window))?;
        writeln!(f, "thread_leak = {}", self.thread_leak)?;
        writeln!(f, "respawn_loop = {}", self.respawn_loop)?;
        writeln!(f, "fork_storm = {}", self.fork_storm)?;
        writeln!(f, "living_orphans = {}", self.living_orphans)?;
        writeln!(f, "audit_every = {}", age(self.audit_every))?;
        writeln!(f, "canary_every = {}", age(self.canary_every))?;
        writeln!(f, "dead_lives = {}", self.dead_lives)?;
        writeln!(f, "dead_lives_age = {}", age(self.dead_lives_age))?;
        writeln!(f, "backlog = {}", self.backlog)?;
        let memory_max = self.memory_max.map(size::text).unwrap_or_default();
        writeln!(f, "memory_max = {}", quoted(&memory_max))?;
        writeln!(f, "top = {}", self.top)?;
        let history = self.history.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
        writeln!(f, "history = {}", quoted(&history))?;
        writeln!(f, "history_size = {}", quoted(&size::text(self.history_size)))?;
        writeln!(f, "history_age = {}", age(self.history_age))?;
        writeln!(f, "args = {}", self.args)?;
        writeln!(f, "sched = {}", self.sched)?;
        writeln!(f, "sandbox = {}", self.sandbox)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KEYS, Partial};

    #[test]
    fn what_is_shown_is_a_configuration_that_says_the_same() {
        let text = r#"
            listen = ""
            allowed_hosts = ["a.example", "b"]
            socket = "/a \"b\"/s"
            zombie_after = "1500ms"
            audit_every = "0s"
            attach = "kprobe"
            memory_max = "96M"
            top = 7
        "#;
        for text in ["", text] {
            let settings = Partial::parse("t.toml", text).unwrap().settle().unwrap();
            let shown = settings.to_string();
            let again = Partial::parse("shown", &shown).unwrap().settle().unwrap();
            assert_eq!(again, settings, "{shown}");
            let keys: Vec<_> = shown.lines().filter_map(|line| line.split(" = ").next()).collect();
            assert_eq!(keys, KEYS);
        }
    }
}
