//! The settings in force, written as a configuration file.

use std::{fmt, path::Path};

use super::Settings;
use crate::{
    duration::text,
    outputs::{OutputSettings, ServerSettings, TargetSettings},
    size,
};

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
        writeln!(f, "sandbox = {}", self.sandbox)?;
        writeln!(f, "journald = {}", self.journald)?;
        if self.outputs.is_empty() {
            writeln!(f, "output = []")?;
        }
        self.outputs.iter().try_for_each(|output| show_output(f, output))
    }
}

/// Writes an output, with all that is in force.
fn show_output(f: &mut fmt::Formatter<'_>, output: &OutputSettings) -> fmt::Result {
    let quoted = |value: &str| toml::Value::from(value).to_string();
    let list = |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    writeln!(f, "\n[[output]]")?;
    writeln!(f, "type = {}", quoted(output.target.name()))?;
    writeln!(f, "name = {}", quoted(&output.name))?;
    if let TargetSettings::Journald { socket } = &output.target {
        writeln!(f, "socket = {}", quoted(&socket.to_string_lossy()))?;
    }
    if let Some(server) = output.target.server() {
        writeln!(f, "url = {}", quoted(&server.url.text))?;
        // A header can be a secret. It is shown all the same, because the output must be a complete configuration file.
        let headers = server.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        if !matches!(output.target, TargetSettings::Nats { .. }) {
            writeln!(f, "headers = {}", list(&headers))?;
        }
        let file = |key: &str, path: &Path| writeln!(f, "{key} = {}", quoted(&path.to_string_lossy()));
        show_tls(server, file)?;
    }
    if let TargetSettings::Otlp { protocol, .. } = &output.target {
        writeln!(f, "protocol = {}", quoted(protocol.name()))?;
    }
    if let Some(schema) = output.target.schema() {
        writeln!(f, "schema = {}", quoted(schema.name()))?;
    }
    if let TargetSettings::Nats { credentials: Some(file), .. } = &output.target {
        writeln!(f, "credentials = {}", quoted(&file.to_string_lossy()))?;
    }
    let selection = &output.selection;
    writeln!(f, "actions = {}", list(&selection.actions))?;
    writeln!(f, "deaths = {}", quoted(output.deaths.name()))?;
    writeln!(f, "pids = {:?}", selection.pids)?;
    if let Some(root) = selection.subtree {
        writeln!(f, "subtree = {root}")?;
    }
    writeln!(f, "comms = {}", list(&selection.comms))?;
    writeln!(f, "units = {}", list(&selection.units))?;
    writeln!(f, "containers = {}", list(&selection.containers))?;
    writeln!(f, "queue = {}", output.queue)?;
    let spill = output.spill.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
    writeln!(f, "spill = {}", quoted(&spill))?;
    writeln!(f, "spill_size = {}", quoted(&size::text(output.spill_size)))
}

/// Writes the files for TLS by a function that gets their keys.
fn show_tls(server: &ServerSettings, mut file: impl FnMut(&str, &Path) -> fmt::Result) -> fmt::Result {
    let Some(tls) = &server.tls else { return Ok(()) };
    if let Some(ca) = &tls.ca {
        file("ca", ca)?;
    }
    if let Some((cert, key)) = &tls.pair {
        file("cert", cert)?;
        file("key", key)?;
    }
    Ok(())
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
        let with_outputs = r#"
            [[output]]
            type = "otlp"
            url = "https://[::1]/"
            ca = "/ca.pem"
            cert = "/cert.pem"
            key = "/key.pem"
            headers = ["X-Scope-OrgID: 7"]
            actions = []
            subtree = 1
            spill = "/var/lib/taskscope/otlp"
            [[output]]
            type = "journald"
            deaths = "all"
            comms = ["a*"]
            [[output]]
            type = "http"
            url = "http://h/insert/jsonline?_time_field=@timestamp"
            schema = "ecs"
        "#;
        let shown = Partial::parse("t.toml", with_outputs).unwrap().settle().unwrap().to_string();
        let again = Partial::parse("shown", &shown).unwrap().settle().unwrap();
        assert_eq!(again.to_string(), shown);
        assert_eq!((again.outputs.len(), again.outputs[0].selection.subtree), (3, Some(1)));
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
