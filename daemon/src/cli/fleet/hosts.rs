//! The hosts to ask: from the command line and from a file, each once.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Read as _},
    net::{IpAddr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use axum::http::{HeaderValue, Uri, uri::Authority};

use crate::bounded;

/// The port of `listen` that is the default.
const PORT: u16 = 9753;

/// The longest file, bytes.
const FILE_MAX: usize = 1 << 20;

/// The most hosts.
const HOSTS_MAX: usize = 10_000;

/// The longest name that a list may give a host, bytes.
const NAME_MAX: usize = 253;

/// The most wrong or double lines that are named.
const NAMED: usize = 10;

/// A daemon to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// How rows name it: as the list says, else name or address, and the port unless it is the default.
    pub(super) name: Arc<str>,
    pub(super) is_https: bool,
    /// Name or address, without brackets.
    pub(super) node: String,
    pub(super) port: u16,
    /// For the header `host`.
    pub(super) authority: HeaderValue,
}

/// Hosts of a list, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) hosts: Vec<Host>,
    /// Entries that name a host that is listed before.
    pub(super) doubles: Vec<String>,
    wrong: Vec<String>,
    /// Where each host was listed first.
    seen: HashMap<(String, u16), String>,
    /// Where each name was listed first.
    names: HashMap<Arc<str>, String>,
}

impl Host {
    /// Parses `host`, `host:port` or a URL of these with http or https, and `NAME=` before it. Without a scheme it is https if
    /// `is_https`.
    pub(super) fn parse(text: &str, is_https: bool) -> Result<Self, String> {
        let Some((name, address)) = text.split_once('=') else { return Self::parse_address(text, is_https) };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_fine) {
            return Err(format!("`{}` is not NAME=HOST with a name such as node1", text.escape_debug()));
        }
        Ok(Self { name: name.into(), ..Self::parse_address(address, is_https)? })
    }

    fn parse_address(text: &str, is_https: bool) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{}` is not a host such as node1 or node1:{PORT}{why}", text.escape_debug());
        let (authority, is_https) = if text.contains("://") {
            let uri: Uri = text.parse().map_err(|_| wrong(""))?;
            let is_https = match uri.scheme_str() {
                Some("https") => true,
                Some("http") => false,
                _ => return Err(wrong(": only http and https are known")),
            };
            if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
                return Err(wrong(": it has a path"));
            }
            (uri.authority().cloned().ok_or_else(|| wrong(""))?, is_https)
        } else {
            let bracketed = text.parse::<Ipv6Addr>().map(|ip| format!("[{ip}]"));
            let authority: Authority =
                bracketed.unwrap_or_else(|_| text.to_owned()).parse().map_err(|_| wrong(""))?;
            (authority, is_https)
        };
        if authority.as_str().contains('@') {
            return Err(wrong(": it has a user name; use --basic-auth-file"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        // DNS tools print absolute names, which no certificate has.
        let host = host.strip_suffix('.').map_or(host.clone(), str::to_owned);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if host.is_empty() || (host.parse::<IpAddr>().is_err() && !host.chars().all(is_name)) {
            return Err(wrong(""));
        }
        let has_port = authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest);
        let port = match (has_port.rsplit_once(':'), authority.port_u16()) {
            (None, _) => PORT,
            (Some(_), Some(port)) if port > 0 => port,
            _ => return Err(wrong(": its port is not a number from 1 to 65535")),
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let name = if port == PORT { bracketed.clone() } else { format!("{bracketed}:{port}") };
        let authority = HeaderValue::try_from(format!("{bracketed}:{port}")).map_err(|_| wrong(""))?;
        Ok(Self { name: name.into(), is_https, node: host, port, authority })
    }

    /// Returns its address, unless it has a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.node.parse().ok()
    }
}

impl List {
    /// Adds an entry; `place` is where it was listed.
    pub(super) fn add(&mut self, text: &str, place: &str, is_https: bool) {
        match Host::parse(text, is_https) {
            Err(why) => self.wrong.push(format!("{place}: {why}")),
            Ok(host) => {
                let key = (host.node.clone(), host.port);
                if let Some(before) = self.seen.get(&key) {
                    self.doubles.push(format!("{place}: {} is listed before, {before}", host.name));
                    return;
                }
                if let Some(before) = self.names.get(&host.name) {
                    self.wrong.push(format!("{place}: {} is the name of another host, {before}", host.name));
                    return;
                }
                self.seen.insert(key, place.to_owned());
                self.names.insert(host.name.clone(), place.to_owned());
                self.hosts.push(host);
            }
        }
    }

    /// Adds the lines of a file, or of standard input if the name is `-`.
    pub(super) fn add_file(&mut self, file: &Path, is_https: bool) -> Result<(), String> {
        let name = file.display();
        let bytes = if file == Path::new("-") {
            let mut bytes = Vec::new();
            let read = io::stdin().take(FILE_MAX as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| format!("reading hosts from standard input: {error}"))?;
            if bytes.len() > FILE_MAX {
                return Err(format!("standard input has more than {FILE_MAX} bytes of hosts"));
            }
            bytes
        } else {
            bounded::read(file, FILE_MAX).map_err(|error| format!("reading hosts from {name}: {error}"))?
        };
        let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not text in UTF-8"))?;
        for (number, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if !entry.is_empty() {
                self.add(entry, &format!("{name} line {}", number + 1), is_https);
            }
        }
        Ok(())
    }

    /// Returns why the list cannot be used.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.wrong.is_empty() {
            return Err(first_of(&self.wrong, "entries are wrong"));
        }
        if self.hosts.len() > HOSTS_MAX {
            return Err(format!("{} hosts are listed; the limit is {HOSTS_MAX}", self.hosts.len()));
        }
        Ok(())
    }

    /// Returns a message about entries that name a host again; `None` if there are none.
    pub(super) fn doubles(&self) -> Option<String> {
        (!self.doubles.is_empty())
            .then(|| first_of(&self.doubles, "entries are double") + "\nEach host is asked once")
    }
}

/// Returns the first of several messages, and how many there are.
fn first_of(all: &[String], what: &str) -> String {
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("\n");
    if all.len() > NAMED {
        let _ = write!(text, "\n{} {what}; these were the first", all.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port_and_a_scheme() {
        for (text, name, is_https, authority) in [
            ("node1", "node1", false, "node1:9753"),
            ("Node1:9753", "node1", false, "node1:9753"),
            ("node1.example.org.:9464", "node1.example.org:9464", false, "node1.example.org:9464"),
            ("node1:9464", "node1:9464", false, "node1:9464"),
            ("https://node1/", "node1", true, "node1:9753"),
            ("http://10.0.0.1:80", "10.0.0.1:80", false, "10.0.0.1:80"),
            ("::1", "[::1]", false, "[::1]:9753"),
            ("[::1]:9464", "[::1]:9464", false, "[::1]:9464"),
            ("node7=https://10.0.0.7", "node7", true, "10.0.0.7:9753"),
        ] {
            let host = Host::parse(text, false).unwrap();
            assert_eq!((&*host.name, host.is_https), (name, is_https), "{text}");
            assert_eq!(host.authority, authority, "{text}");
        }
        assert!(Host::parse("node1", true).unwrap().is_https);
        assert!(!Host::parse("http://node1", true).unwrap().is_https);
        assert_eq!(Host::parse("[::1]:9", false).unwrap().ip(), "::1".parse().ok());
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "such as node1"),
            ("a b", "such as node1"),
            ("node1:", "port"),
            ("node1:0", "port"),
            ("node1:99999", "such as node1"),
            ("node1:http", "such as node1"),
            ("ftp://node1", "http and https"),
            ("http://node1/v1/zombies", "path"),
            ("me:secret@node1", "--basic-auth-file"),
            ("node\u{1b}[2J", "such as node1"),
            ("nöde", "such as node1"),
            ("*", "such as node1"),
            ("=node1", "NAME=HOST"),
            ("a b=node1", "NAME=HOST"),
            ("a=b=c", "such as node1"),
        ] {
            let error = Host::parse(text, false).unwrap_err();
            assert!(error.contains(why) && !error.contains('\u{1b}'), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_has_comments_and_doubles_are_asked_once() {
        let path = std::env::temp_dir().join(format!("taskscope-hosts-{}", std::process::id()));
        std::fs::write(
            &path,
            "# nodes\nnode1\n\n  node2:9464  # the second\nNODE1:9753\nhttps://node2:9464\n",
        )
        .unwrap();
        let mut list = List::default();
        list.add_file(&path, false).unwrap();
        std::fs::remove_file(&path).unwrap();
        list.check().unwrap();
        let names: Vec<&str> = list.hosts.iter().map(|host| &*host.name).collect();
        assert_eq!(names, ["node1", "node2:9464"]);
        let message = list.doubles().unwrap();
        assert!(
            message.contains("line 5: node1 is listed before") && message.contains("line 2"),
            "{message}"
        );
        assert_eq!(list.doubles.len(), 2);
    }

    #[test]
    fn all_wrong_lines_are_reported_but_not_a_thousand() {
        let mut list = List::default();
        (0..1000).for_each(|n| list.add("a b", &format!("line {n}"), false));
        let message = list.check().unwrap_err();
        assert!(
            message.lines().count() == NAMED + 1 && message.contains("1000 entries are wrong"),
            "{message}"
        );
        let mut many = List::default();
        let mut same = List::default();
        for entry in ["a=node1", "a=node2"] {
            same.add(entry, "list", false);
        }
        assert!(same.check().unwrap_err().contains("a is the name of another host"));
        (0..=HOSTS_MAX).for_each(|n| many.add(&format!("n{n}"), "list", false));
        assert!(many.check().unwrap_err().contains("10001 hosts"));
    }
}
