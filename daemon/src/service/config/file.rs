//! The configuration file: TOML. Every error names its line.
//!
//! The table is read by hand and not by serde with `deny_unknown_fields`: serde's error for a wrong value does not say which key
//! it belongs to and names Rust's types (`expected usize`), and its error for an unknown key lists all keys but does not say which
//! one was meant.

use std::{io, path::Path};

use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::{
    KEYS, Partial,
    output::{OUTPUT_KEYS, outputs},
    value::{Wrong, age, number, text, texts, yes_or_no},
};
use crate::bounded;

/// The longest configuration that is read, bytes. The shipped one, which explains every key, has about 6 KB.
const FILE_MAX: usize = 1 << 20;

/// An error in the settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not valid TOML.
    #[error("{file}: line {line}: {what}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The file has an unknown key.
    #[error("{file}: line {line}: unknown key `{key}`{}", hint(key, KEYS))]
    UnknownKey {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// An output has an unknown key.
    #[error("{file}: line {line}: unknown key `{key}` in [[output]]{}", hint(key, &OUTPUT_KEYS))]
    UnknownOutputKey {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// An output is wrong.
    #[error("{place}: [[output]]: {key}: {what}")]
    Output {
        /// `FILE: line N`.
        place: String,
        /// The key.
        key: &'static str,
        /// What it should be.
        what: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("{file}: line {line}: {key}: {what}")]
    Value {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What it should be.
        what: String,
    },
    /// A flag, or a combination of settings, is invalid.
    #[error("{key}: {what}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it should be.
        what: String,
    },
}

/// Returns a hint: the most similar key, or all keys.
fn hint(key: &str, keys: &[&str]) -> String {
    let near = keys
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(key.len()) / 3);
    match near {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => format!("; there are: {}", keys.join(", ")),
    }
}

impl Partial {
    /// Reads and parses a file.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
        let text = bounded::read(file, FILE_MAX).and_then(|bytes| String::from_utf8(bytes).map_err(not_text));
        let text = text.map_err(|source| ConfigError::Read { file: name.clone(), source })?;
        Self::parse(&name, &text)
    }

    /// Parses the text of a file named `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let line_of = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            file: file.to_owned(),
            line: line_of(error.span().map_or(0, |span| span.start)),
            what: error.message().to_owned(),
        })?;
        let mut partial = Self::default();
        for (key, value) in table.get_ref() {
            let name: &str = key.get_ref();
            if name == "output" {
                let place = |at| format!("{file}: line {}", line_of(at));
                let found = outputs(value.get_ref(), value.span().start, place);
                partial.outputs = Some(found.map_err(|wrong| {
                    let (file, line, key) = (file.to_owned(), line_of(wrong.at), wrong.key);
                    match wrong.wrong {
                        Wrong::Key => ConfigError::UnknownOutputKey { file, line, key },
                        Wrong::Value(what) => ConfigError::Value { file, line, key, what },
                    }
                })?);
                continue;
            }
            partial.set(name, value.get_ref()).map_err(|wrong| match wrong {
                Wrong::Key => ConfigError::UnknownKey {
                    file: file.to_owned(),
                    line: line_of(key.span().start),
                    key: name.to_owned(),
                },
                Wrong::Value(what) => ConfigError::Value {
                    file: file.to_owned(),
                    line: line_of(value.span().start),
                    key: name.to_owned(),
                    what,
                },
            })?;
        }
        Ok(partial)
    }

    fn set(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), Wrong> {
        match key {
            "listen" => self.listen = Some(text(value)?),
            "socket" => self.socket = Some(text(value)?),
            "socket_group" => self.socket_group = Some(text(value)?),
            "api_on_tcp" => self.api_on_tcp = Some(yes_or_no(value)?),
            "allowed_hosts" => self.allowed_hosts = Some(texts(value)?),
            "web_config_file" => self.web_config_file = Some(text(value)?),
            "attach" => self.attach = Some(text(value)?),
            "ring_kib" => self.ring_kib = Some(number(value)?),
            "zombie_after" => self.zombie_after = Some(age(value)?),
            "blocked_after" => self.blocked_after = Some(age(value)?),
            "leak_window" => self.leak_window = Some(age(value)?),
            "thread_leak" => self.thread_leak = Some(number(value)?),
            "respawn_loop" => self.respawn_loop = Some(number(value)?),
            "fork_storm" => self.fork_storm = Some(number(value)?),
            "living_orphans" => self.living_orphans = Some(yes_or_no(value)?),
            "audit_every" => self.audit_every = Some(age(value)?),
            "canary_every" => self.canary_every = Some(age(value)?),
            "dead_lives" => self.dead_lives = Some(number(value)?),
            "dead_lives_age" => self.dead_lives_age = Some(age(value)?),
            "backlog" => self.backlog = Some(number(value)?),
            "memory_max" => self.memory_max = Some(text(value)?),
            "top" => self.top = Some(number(value)?),
            "history" => self.history = Some(text(value)?),
            "history_size" => self.history_size = Some(text(value)?),
            "history_age" => self.history_age = Some(age(value)?),
            "args" => self.args = Some(yes_or_no(value)?),
            "sched" => self.sched = Some(yes_or_no(value)?),
            "sandbox" => self.sandbox = Some(yes_or_no(value)?),
            "journald" => self.journald = Some(yes_or_no(value)?),
            _ => return Err(Wrong::Key),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Partial::parse("t.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            listen = "127.0.0.1:1"
            socket = "/s"
            socket_group = "g"
            api_on_tcp = true
            allowed_hosts = ["node1.example.org"]
            web_config_file = "/w"
            attach = "kprobe"
            ring_kib = 64
            zombie_after = "3s"
            blocked_after = "4s"
            leak_window = "1m"
            thread_leak = 7
            respawn_loop = 7
            fork_storm = 7
            living_orphans = false
            audit_every = "1m"
            canary_every = "0s"
            dead_lives = 7
            dead_lives_age = "2m"
            backlog = 9
            memory_max = "64M"
            top = 5
            history = "/h"
            history_size = "64M"
            history_age = "1h"
            args = true
            sched = true
            sandbox = false
            journald = false
            [[output]]
            type = "otlp"
            url = "http://127.0.0.1:4318"
        "#;
        let settings = Partial::parse("t.toml", text).unwrap().settle().unwrap();
        let defaults = Partial::default().settle().unwrap();
        assert_eq!(settings.changes(&defaults), KEYS, "a key is not read, or its value here is the default");
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line_and_a_near_match() {
        assert_eq!(
            error("top = 3\nzombie_atfer = \"3s\"\n"),
            "t.toml: line 2: unknown key `zombie_atfer`; did you mean `zombie_after`?"
        );
        assert!(error("completely = 1").contains("there are: listen, socket,"));
    }

    #[test]
    fn an_error_in_an_output_has_its_line_and_key() {
        assert_eq!(
            error("[[output]]\ntype = \"otlp\"\nqeue = 7\n"),
            "t.toml: line 3: unknown key `qeue` in [[output]]; did you mean `queue`?"
        );
        assert_eq!(
            error("output = 1"),
            "t.toml: line 1: output: should be tables, each after a line `[[output]]`"
        );
        assert_eq!(
            error("[[output]]\npids = [\"a\"]\n"),
            "t.toml: line 2: pids: should be a list of whole numbers"
        );
        let settle = |text: &str| Partial::parse("t.toml", text).unwrap().settle().unwrap_err().to_string();
        assert_eq!(
            settle("top = 1\n[[output]]\ntype = \"kafka\"\n"),
            "t.toml: line 2: [[output]]: type: `kafka` is not one of journald, otlp, alertmanager, http, nats"
        );
        let two = "[[output]]\ntype = \"journald\"\n".repeat(2);
        assert!(settle(&two).contains("name: `journald` is the name of another output"), "{}", settle(&two));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        assert_eq!(
            error("\n\ntop = -1"),
            "t.toml: line 3: top: should be a whole number that is not negative"
        );
        assert_eq!(error("args = 1"), "t.toml: line 1: args: should be true or false");
        assert_eq!(
            error("allowed_hosts = [1]"),
            "t.toml: line 1: allowed_hosts: should be a list of strings"
        );
        assert!(error("zombie_after = \"soon\"").starts_with("t.toml: line 1: zombie_after: "));
        assert!(error("top = \n").starts_with("t.toml: line "));
    }
}
