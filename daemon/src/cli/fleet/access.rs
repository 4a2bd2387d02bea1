//! The settings of requests to daemons: certificates, password, and limits of time and size.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderValue;
use base64::Engine as _;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

use crate::{duration, tls_client};

/// The longest file with a password, bytes.
const PASSWORD_MAX: usize = 4096;

/// Arguments of all subcommands of `fleet`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AccessArgs {
    /// Ask by https, and accept certificates that an authority in this PEM file has signed; hosts with http:// are asked without TLS
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Client certificate, with its chain, in PEM
    #[arg(long, value_name = "FILE", global = true, requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the client certificate in PEM, without a passphrase
    #[arg(long, value_name = "FILE", global = true, requires = "cert")]
    key: Option<PathBuf>,
    /// File with one line USER:PASSWORD for basic authentication
    #[arg(long, value_name = "FILE", global = true)]
    basic_auth_file: Option<PathBuf>,
    /// How long one host may take to answer, from the look-up of its name to the last byte
    #[arg(long, value_name = "DURATION", global = true, default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

/// How daemons are asked.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) tls: Option<TlsConnector>,
    /// The header `authorization`.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) timeout: Duration,
}

/// The shortest time that a host gets.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

impl AccessArgs {
    /// Whether hosts without a scheme are asked by https.
    pub(super) const fn is_https(&self) -> bool {
        self.ca.is_some()
    }

    /// How long one host, or the name servers, may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.max(TIMEOUT_MIN)
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<Access, String> {
        let pair = self.cert.as_deref().zip(self.key.as_deref());
        let tls = match &self.ca {
            Some(ca) => Some(TlsConnector::from(Arc::new(config(ca, pair)?))),
            None if pair.is_some() => {
                return Err(
                    "--cert needs --ca FILE: the authority that has signed the hosts' certificates".into()
                );
            }
            None => None,
        };
        let authorization = self.basic_auth_file.as_deref().map(password).transpose()?;
        Ok(Access { tls, authorization, timeout: self.timeout() })
    }
}

fn config(ca: &Path, pair: Option<(&Path, &Path)>) -> Result<ClientConfig, String> {
    tls_client::config(tls_client::authorities(ca)?, pair, b"http/1.1").map_err(|error| error.what)
}

/// Reads a file with `USER:PASSWORD`; returns the header.
fn password(file: &Path) -> Result<HeaderValue, String> {
    let name = file.display();
    let text = String::from_utf8(tls_client::read(file, PASSWORD_MAX)?)
        .map_err(|_| format!("{name} is not text in UTF-8"))?;
    let line = text.trim_end_matches(['\r', '\n']);
    let (user, _) = line.split_once(':').unwrap_or_default();
    if user.is_empty() || line.contains(['\r', '\n']) {
        return Err(format!("{name} must have one line USER:PASSWORD"));
    }
    if std::fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        log::warn!("{name} has a password, and every user may open it: chmod o= {name}");
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(line);
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_with_a_user() {
        let path = std::env::temp_dir().join(format!("taskscope-fleet-password-{}", std::process::id()));
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            password(&path)
        };
        assert_eq!(of("scraper:correct horse\n").unwrap(), "Basic c2NyYXBlcjpjb3JyZWN0IGhvcnNl");
        assert_eq!(of("a:b:c").unwrap(), "Basic YTpiOmM=");
        for wrong in ["", "scraper", ":x", "a:b\nc:d\n"] {
            assert!(of(wrong).unwrap_err().contains("one line USER:PASSWORD"), "{wrong:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(password(&path).unwrap_err().contains("reading"));
    }
}
