//! Finds the mirror of this machine's own apt, in both formats of sources.list(5).

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// One enabled binary source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::vm) struct Source {
    pub(in crate::vm) uris: Vec<String>,
    pub(in crate::vm) suites: Vec<String>,
    pub(in crate::vm) components: Vec<String>,
    pub(in crate::vm) signed_by: String,
}

/// The addresses of Debian's archive, and of its security archive if the machine has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vm) struct Mirror {
    archive: String,
    security: Option<String>,
}

impl Mirror {
    /// Derives the addresses from `/etc/apt`-like directory `etc`.
    pub(in crate::vm) fn of_system(etc: &Path) -> anyhow::Result<Self> {
        Self::choose(&read(etc)?).with_context(|| {
            format!(
                "no source of Debian's archive under {}: kernels come from Debian's archive through the \
                 machine's own apt; add one, or name a bzImage with --kernel PATH",
                etc.display()
            )
        })
    }

    /// Chooses the source of Debian's archive: by its keyring, by suites that only it has, and last by the usual path, because
    /// third parties also use the names of Debian's suites.
    fn choose(sources: &[Source]) -> Option<Self> {
        let best = |wanted: fn(&str) -> bool| {
            sources
                .iter()
                .filter(|source| source.components.iter().any(|component| component == "main"))
                .filter(|source| source.suites.iter().any(|suite| wanted(suite)))
                .max_by_key(|source| score(source, sources))
                .and_then(|source| source.uris.first().cloned())
        };
        let archive = best(is_release)?;
        let security = best(|suite| suite.ends_with("-security"));
        Some(Self { archive, security })
    }

    /// Returns the address that serves `suite`; `None` for a security suite without a security source.
    pub(in crate::vm) fn uri(&self, suite: &str) -> Option<&str> {
        if suite.ends_with("-security") { self.security.as_deref() } else { Some(&self.archive) }
    }
}

fn is_release(suite: &str) -> bool {
    const NAMES: [&str; 12] = [
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "duke",
        "sid",
        "oldoldstable",
        "oldstable",
        "stable",
        "testing",
        "unstable",
        "oldoldoldstable",
    ];
    NAMES.contains(&suite)
}

fn score(source: &Source, all: &[Source]) -> u32 {
    let uri = source.uris.first().map_or("", |uri| uri.trim_end_matches('/'));
    let same_place = |other: &&Source| other.uris.iter().any(|o| o.trim_end_matches('/') == uri);
    let updates = all
        .iter()
        .filter(same_place)
        .any(|other| other.suites.iter().any(|suite| suite.ends_with("-updates")));
    4 * u32::from(source.signed_by.contains("debian-archive"))
        + 2 * u32::from(updates)
        + u32::from(uri.ends_with("/debian") || uri.ends_with("/debian-security"))
}

fn read(etc: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let main = etc.join("sources.list");
    if main.exists() {
        sources.extend(one_line(&text(&main)?));
    }
    let parts = etc.join("sources.list.d");
    let mut paths: Vec<_> = match fs::read_dir(&parts) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line(&text(&path)?)),
            Some("sources") => sources.extend(deb822(&text(&path)?)),
            _ => {}
        }
    }
    Ok(sources)
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Parses a line `deb [option=value ...] uri suite component...`.
fn one_line(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next()?.trim();
            let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
            let mut signed_by = String::new();
            if let Some(options) = rest.strip_prefix('[') {
                let (options, tail) = options.split_once(']')?;
                let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
                key.unwrap_or_default().clone_into(&mut signed_by);
                rest = tail;
            }
            let mut words = rest.split_whitespace().map(str::to_owned);
            let uris = vec![words.next()?];
            let suites = vec![words.next()?];
            Some(Source { uris, suites, components: words.collect(), signed_by })
        })
        .collect()
}

/// Parses stanzas of `Field: value` lines; an indented line continues the field above.
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(stanza(&std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((field, value)) = line.split_once(':') {
            fields.push((field.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let words = |name: &str| -> Vec<String> {
        let value = fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
        value.split_whitespace().map(str::to_owned).collect()
    };
    let off = words("enabled").first().is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if off || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: words("signed-by").join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites:
 bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
";

    #[test]
    fn deb822_stanzas_give_archive_and_security() {
        let sources = deb822(DEB822);
        assert_eq!(sources.len(), 2, "the disabled stanza is left out: {sources:?}");
        let mirror = Mirror::choose(&sources).unwrap();
        assert_eq!(mirror.uri("sid"), Some("http://mirror.example/debian"));
        assert_eq!(mirror.uri("trixie-security"), Some("http://mirror.example/debian-security"));
    }

    #[test]
    fn one_line_entries_take_options_and_comments() {
        let sources = one_line(
            "# deb http://no.example/debian sid main\n\
             deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ bookworm main contrib # x\n\
             deb-src http://a.example/debian/ bookworm main\n",
        );
        assert_eq!(
            sources,
            [Source {
                uris: vec!["http://a.example/debian/".into()],
                suites: vec!["bookworm".into()],
                components: vec!["main".into(), "contrib".into()],
                signed_by: "/k.gpg".into(),
            }]
        );
    }

    #[test]
    fn a_third_party_with_debians_suite_name_is_not_taken_for_debian() {
        let sources = one_line(
            "deb https://vendor.example/debian bookworm main\n\
             deb https://tools.example/linux/debian bookworm stable\n\
             deb http://near.example/debian bookworm main\n\
             deb http://near.example/debian bookworm-updates main\n",
        );
        let mirror = Mirror::choose(&sources).unwrap();
        assert_eq!(mirror.uri("bullseye"), Some("http://near.example/debian"));
        assert_eq!(mirror.uri("bookworm-security"), None);
    }

    #[test]
    fn without_debian_sources_the_error_names_the_remedy() {
        let error = Mirror::of_system(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("--kernel PATH"), "{error}");
    }
}
