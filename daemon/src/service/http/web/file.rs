//! Reads the web configuration file of Prometheus exporters: YAML, every error with its line.
//!
//! The format is that of the exporter-toolkit (`docs/web-configuration.md` of prometheus/exporter-toolkit), so a file that works for
//! the node exporter works here.

use std::{collections::BTreeMap, path::Path, time::Duration};

use saphyr::{LoadableYamlNode as _, MarkedYaml};

use super::{
    error::WebError,
    node::{Node, Pem},
};

/// Keys of the file, by section.
const SECTIONS: [&str; 4] = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];

/// The file as written; paths are absolute.
#[derive(Clone, Debug, Default)]
pub(super) struct WebFile {
    /// `None` if TLS is off.
    pub(super) tls: Option<TlsSection>,
    /// Headers that every answer gets.
    pub(super) headers: Vec<(String, String)>,
    /// bcrypt hashes by user.
    pub(super) users: BTreeMap<String, String>,
    /// Time between two requests and the burst, if there is a limit.
    pub(super) rate: Option<(Duration, u32)>,
}

/// Whether clients must show a certificate (`ClientAuthType` of Go's crypto/tls).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientAuth {
    #[default]
    No,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// `tls_server_config`.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsSection {
    pub(super) cert: Option<Pem>,
    pub(super) key: Option<Pem>,
    pub(super) client_ca: Option<Pem>,
    pub(super) client_auth: ClientAuth,
    pub(super) allowed_sans: Vec<String>,
    /// The lowest and highest version: 12 or 13.
    pub(super) versions: (u8, u8),
    /// Names of cipher suites for TLS 1.2; empty for all.
    pub(super) suites: Vec<String>,
    /// Names of curves; empty for all.
    pub(super) curves: Vec<String>,
}

impl TlsSection {
    /// Returns the files that the section names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key, &self.client_ca].into_iter().flatten().filter_map(|pem| match pem {
            Pem::File(path) => Some(path.as_path()),
            Pem::Inline(_) => None,
        })
    }

    fn is_empty(&self) -> bool {
        self.cert.is_none()
            && self.key.is_none()
            && self.client_ca.is_none()
            && self.client_auth == ClientAuth::No
    }
}

/// Parses the text of `file`.
pub(super) fn parse(file: &Path, text: &str) -> Result<WebFile, WebError> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| WebError::Syntax {
        file: file.into(),
        line: error.marker().line(),
        what: error.info().to_owned(),
    })?;
    let Some(yaml) = documents.first() else { return Ok(WebFile::default()) };
    let mut web = WebFile::default();
    for (name, node) in (Node { file, key: String::new(), yaml }).fields()? {
        match name.as_str() {
            "tls_server_config" => web.tls = Some(tls(&node)?).filter(|tls| !tls.is_empty()),
            "http_server_config" => web.headers = headers(&node)?,
            "basic_auth_users" => web.users = users(&node)?,
            "rate_limit" => web.rate = rate(&node)?,
            _ => return Err(node.unknown(&SECTIONS)),
        }
    }
    Ok(web)
}

fn tls(section: &Node<'_, '_>) -> Result<TlsSection, WebError> {
    const KEYS: [&str; 13] = [
        "cert",
        "cert_file",
        "key",
        "key_file",
        "client_ca",
        "client_ca_file",
        "client_auth_type",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
    ];
    let mut tls = TlsSection { versions: (12, 13), ..TlsSection::default() };
    for (name, node) in section.fields()? {
        match name.as_str() {
            "cert" => node.once(&mut tls.cert, node.pem()?)?,
            "cert_file" => node.once(&mut tls.cert, node.path()?)?,
            "key" => node.once(&mut tls.key, node.pem()?)?,
            "key_file" => node.once(&mut tls.key, node.path()?)?,
            "client_ca" => node.once(&mut tls.client_ca, node.pem()?)?,
            "client_ca_file" => node.once(&mut tls.client_ca, node.path()?)?,
            "client_auth_type" => tls.client_auth = client_auth(&node)?,
            "client_allowed_sans" => tls.allowed_sans = node.texts()?,
            "min_version" => tls.versions.0 = version(&node)?,
            "max_version" => tls.versions.1 = version(&node)?,
            "cipher_suites" => tls.suites = node.texts()?,
            // Go ignores it too: the order of the server is used.
            "prefer_server_cipher_suites" => drop(node.truth()?),
            "curve_preferences" => tls.curves = node.texts()?,
            _ => return Err(node.unknown(&KEYS)),
        }
    }
    if tls.is_empty() {
        return Ok(tls);
    }
    match (&tls.cert, &tls.key) {
        (Some(_), Some(_)) => {}
        (None, _) => return Err(section.wrong("has no cert or cert_file")),
        (_, None) => return Err(section.wrong("has no key or key_file")),
    }
    match (&tls.client_ca, tls.client_auth) {
        (Some(_), ClientAuth::No) => Err(section.wrong(
            "has a client CA but no client_auth_type: use RequireAndVerifyClientCert to require certificates",
        )),
        (None, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify) => {
            Err(section.wrong("verifies certificates of clients but has no client_ca or client_ca_file"))
        }
        (_, ClientAuth::No | ClientAuth::Request | ClientAuth::VerifyIfGiven) if !tls.allowed_sans.is_empty() => {
            Err(section.wrong(
                "has client_allowed_sans but lets clients in without a certificate: use RequireAndVerifyClientCert",
            ))
        }
        _ if tls.versions.0 > tls.versions.1 => Err(section.wrong("has a min_version above its max_version")),
        _ => Ok(tls),
    }
}

fn client_auth(node: &Node<'_, '_>) -> Result<ClientAuth, WebError> {
    Ok(match node.text()?.as_str() {
        "" | "NoClientCert" => ClientAuth::No,
        "RequestClientCert" => ClientAuth::Request,
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
        other => {
            return Err(node.wrong(format!(
                "`{other}` is not one of NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, \
                 RequireAndVerifyClientCert"
            )));
        }
    })
}

fn version(node: &Node<'_, '_>) -> Result<u8, WebError> {
    match node.text()?.as_str() {
        "TLS12" => Ok(12),
        "TLS13" => Ok(13),
        other => Err(node.wrong(format!("`{other}` is not supported: use TLS12 or TLS13"))),
    }
}

fn headers(section: &Node<'_, '_>) -> Result<Vec<(String, String)>, WebError> {
    /// The headers that may be set, with their values where only some are valid.
    const HEADERS: [(&str, &[&str]); 5] = [
        ("Content-Security-Policy", &[]),
        ("X-Frame-Options", &["deny", "sameorigin"]),
        ("X-Content-Type-Options", &["nosniff"]),
        ("X-XSS-Protection", &[]),
        ("Strict-Transport-Security", &[]),
    ];
    let mut headers = Vec::new();
    for (name, node) in section.fields()? {
        match name.as_str() {
            // HTTP/1.1 is served in any case.
            "http2" => drop(node.truth()?),
            "headers" => {
                for (name, node) in node.fields()? {
                    let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
                        return Err(node.unknown(&HEADERS.map(|(known, _)| known)));
                    };
                    let value = node.text()?;
                    if value.is_empty() {
                        continue;
                    }
                    if !values.is_empty() && !values.contains(&value.to_lowercase().as_str()) {
                        return Err(node.wrong(format!("`{value}` is not one of {}", values.join(", "))));
                    }
                    headers.push((name, value));
                }
            }
            _ => return Err(node.unknown(&["http2", "headers"])),
        }
    }
    Ok(headers)
}

/// The highest cost: a password then takes some ten seconds of CPU time.
const MAX_COST: u32 = 18;

fn users(section: &Node<'_, '_>) -> Result<BTreeMap<String, String>, WebError> {
    let mut users = BTreeMap::new();
    for (name, node) in section.fields()? {
        let hash = node.text()?;
        // The message must not show what may be a password.
        let parts: bcrypt::HashParts = hash.parse().map_err(|_| {
            node.wrong("is not a bcrypt hash such as htpasswd -nBC 10 prints; it begins with $2y$ and is 60 characters long")
        })?;
        if !(4..=MAX_COST).contains(&parts.get_cost()) {
            let what =
                format!("has the cost {}, which is not between 4 and {MAX_COST}: use 10", parts.get_cost());
            return Err(node.wrong(what));
        }
        users.insert(name, hash);
    }
    Ok(users)
}

fn rate(section: &Node<'_, '_>) -> Result<Option<(Duration, u32)>, WebError> {
    let (mut interval, mut burst) = (Duration::ZERO, 0);
    for (name, node) in section.fields()? {
        match name.as_str() {
            "interval" => {
                let text = node.text()?;
                let parsed = if text == "0" { Ok(Duration::ZERO) } else { crate::duration::parse(&text) };
                interval = parsed.map_err(|what| node.wrong(what))?;
            }
            "burst" => burst = node.number()?,
            _ => return Err(node.unknown(&["interval", "burst"])),
        }
    }
    if interval.is_zero() {
        return Ok(None);
    }
    if burst == 0 {
        return Err(section.wrong("has an interval but no burst, so no request would be answered"));
    }
    Ok(Some((interval, burst)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("/etc/web.yml"), text).unwrap_err().to_string()
    }

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    #[test]
    fn a_full_file_is_read() {
        let text = format!(
            "tls_server_config:\n  cert_file: a.crt\n  key_file: /k/a.key\n  client_ca_file: ca.crt\n  \
             client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\n  client_allowed_sans: [a.example, 10.0.0.1]\n\
             http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: {HASH}\n  7: {HASH}\nrate_limit:\n  interval: 1s\n  burst: 20\n"
        );
        let web = parse(Path::new("/etc/web.yml"), &text).unwrap();
        let tls = web.tls.unwrap();
        let files: Vec<_> = tls.files().collect();
        assert_eq!(files, ["/etc/a.crt", "/k/a.key", "/etc/ca.crt"].map(Path::new));
        assert_eq!((tls.versions, tls.client_auth), ((13, 13), ClientAuth::RequireAndVerify));
        assert_eq!(web.users.keys().collect::<Vec<_>>(), ["7", "alice"]);
        assert_eq!(web.rate, Some((Duration::from_secs(1), 20)));
        assert_eq!(web.headers, [("X-Frame-Options".to_owned(), "deny".to_owned())]);
    }

    #[test]
    fn an_empty_file_turns_nothing_on() {
        for text in ["", "# nothing\n", "tls_server_config: {}\nbasic_auth_users:\n"] {
            let web = parse(Path::new("/etc/web.yml"), text).unwrap();
            assert!(web.tls.is_none() && web.users.is_empty() && web.rate.is_none(), "{text}");
        }
    }

    #[test]
    fn each_error_names_line_and_key() {
        for (text, expected) in [
            (
                "tls_server_config:\n  cert_fil: a\n",
                "/etc/web.yml: line 2: tls_server_config.cert_fil: there is no such key",
            ),
            ("tls_server_config:\n  cert_file: a\n", "has no key or key_file"),
            ("tls_server_config:\n  key_file: a\n", "has no cert or cert_file"),
            ("tls_server_config: {cert_file: a, cert: b, key: c}\n", "cert: is given twice"),
            (
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}\n",
                "`TLS10` is not supported",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}\n",
                "min_version above",
            ),
            ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}\n", "no client_auth_type"),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: Sometimes}\n",
                "`Sometimes` is not one of",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}\n",
                "no client_ca",
            ),
            ("basic_auth_users:\n  alice: secret\n", "line 2: basic_auth_users.alice: is not a bcrypt hash"),
            ("basic_auth_users: [alice]\n", "should be a mapping"),
            (
                "http_server_config: {headers: {X-Frame-Options: maybe}}\n",
                "`maybe` is not one of deny, sameorigin",
            ),
            ("http_server_config: {headers: {Server: me}}\n", "there is no such key"),
            ("rate_limit: {interval: 1s}\n", "no burst"),
            ("a: b: c\n", "/etc/web.yml: line 1: "),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_cost_that_would_take_hours_is_refused() {
        assert!(
            error(&format!("basic_auth_users:\n  a: {}\n", HASH.replace("$10$", "$31$")))
                .contains("the cost 31")
        );
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(error(&text).starts_with("/etc/web.yml: line "));
    }
}
