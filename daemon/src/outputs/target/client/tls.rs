//! The certificates and keys of a client, which are read again when their files change.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use crate::{
    outputs::{SettingError, TlsFiles},
    pem, tls_client,
};

/// TLS to one server.
pub(super) struct Tls {
    files: TlsFiles,
    /// The name that the server's certificate must have.
    name: ServerName<'static>,
    /// The name of the protocol for ALPN.
    pub(super) protocol: &'static str,
    connector: TlsConnector,
    /// The state of the files when they were read last.
    read: Vec<FileState>,
}

/// The path of a file, and its inode, size and modification time (s and ns); `None` if it cannot be found.
type FileState = (PathBuf, Option<(u64, u64, i64, i64)>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    pub(super) fn new(files: TlsFiles, host: &str, protocol: &'static str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("url: no certificate can have the name {host}"))?;
        let read = states(&files);
        let connector = load(&files, protocol).map_err(|(key, what)| format!("{key}: {what}"))?;
        Ok(Self { files, name, protocol, connector, read })
    }

    /// Returns the connector and the server's name for a new connection. Reads changed files; if they cannot be used, the earlier
    /// connector stays in use.
    pub(super) fn connector(&mut self) -> (TlsConnector, ServerName<'static>) {
        let now = states(&self.files);
        if now != self.read {
            match load(&self.files, self.protocol) {
                Ok(connector) => self.connector = connector,
                Err((key, what)) => {
                    log::warn!("outputs: {key}: {what}; the files that were read before stay in use");
                }
            }
            self.read = now;
        }
        (self.connector.clone(), self.name.clone())
    }

    /// Returns the file with the authorities.
    pub(super) fn authorities(&self) -> String {
        self.files.authorities().map_or_else(|| "none".into(), |path| path.display().to_string())
    }

    /// Returns the file with the client's certificate.
    pub(super) fn certificate(&self) -> Option<String> {
        self.files.pair.as_ref().map(|(cert, _)| cert.display().to_string())
    }
}

fn states(files: &TlsFiles) -> Vec<FileState> {
    let state = |path: &Path| {
        let found = fs::metadata(path).ok();
        let found = found.map(|file| (file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        (path.to_owned(), found)
    };
    files.all().map(state).collect()
}

/// Reads the files to find errors in them. An error names the key of the configuration.
pub(in crate::outputs) fn check(files: &TlsFiles) -> Result<(), SettingError> {
    load(files, "http/1.1").map(drop)
}

fn load(files: &TlsFiles, protocol: &str) -> Result<TlsConnector, SettingError> {
    let config = config(files, protocol)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn config(files: &TlsFiles, protocol: &str) -> Result<ClientConfig, SettingError> {
    let authorities = match (&files.ca, files.authorities()) {
        (Some(ca), _) => tls_client::authorities(ca),
        (None, Some(system)) => of_system(system),
        (None, None) => {
            Err("is missing, and this system has no file with certificates of public authorities \
                             (package ca-certificates)"
                .into())
        }
    };
    let authorities = authorities.map_err(|what| ("ca", what))?;
    let pair = files.pair.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    tls_client::config(authorities, pair, protocol.as_bytes())
        .map_err(|error| (if error.is_in_key { "key" } else { "cert" }, error.what))
}

/// Reads the authorities of the system. Certificates that rustls cannot parse are ignored; an error if none is left.
fn of_system(file: &Path) -> Result<RootCertStore, String> {
    let found = pem::certificates(&tls_client::read(file, pem::MOST_BYTES)?);
    let mut roots = RootCertStore::empty();
    let (valid, _) =
        roots.add_parsable_certificates(found.map_err(|what| format!("{} {what}", file.display()))?);
    if valid == 0 {
        return Err(format!("no certificate in {} is valid", file.display()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_a_file_names_its_key() {
        let missing = Path::new("/nonexistent/ca.pem");
        let files = TlsFiles { ca: Some(missing.into()), pair: None };
        let (key, what) = check(&files).unwrap_err();
        assert!(key == "ca" && what.contains("/nonexistent/ca.pem"), "{key}: {what}");
        let error = Tls::new(files, "h", "h2").unwrap_err();
        assert!(error.starts_with("ca: reading /nonexistent/ca.pem"), "{error}");
        assert!(Tls::new(TlsFiles::default(), "a b", "h2").unwrap_err().contains("a b"));
    }
}
