//! Creates rustls's configuration from `tls_server_config`.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};

use super::{
    client_certs::ClientCertificates,
    error::WebError,
    file::{ClientAuth, TlsSection},
    node::Pem,
};
use crate::{bounded, pem};

/// Curves by their name in Go.
const CURVES: [&str; 3] = ["X25519", "CurveP256", "CurveP384"];

/// Returns the text of a PEM and how errors name it.
fn read(from: &Pem, key: &str) -> Result<(String, Vec<u8>), WebError> {
    match from {
        Pem::Inline(text) => Ok((format!("tls_server_config.{key}"), text.clone().into_bytes())),
        Pem::File(path) => bounded::read(path, pem::MOST_BYTES)
            .map(|bytes| (path.display().to_string(), bytes))
            .map_err(|source| WebError::Read { file: path.clone(), source }),
    }
}

fn wrong(name: &str, what: impl Into<String>) -> WebError {
    WebError::Tls { name: name.to_owned(), what: what.into() }
}

fn certificates(from: &Pem, key: &str) -> Result<(String, Vec<CertificateDer<'static>>), WebError> {
    let (name, bytes) = read(from, key)?;
    let list = pem::certificates(&bytes).map_err(|what| wrong(&name, format!("it {what}")))?;
    Ok((name, list))
}

/// Creates the configuration; reads the files.
pub(super) fn config(section: &TlsSection) -> Result<Arc<ServerConfig>, WebError> {
    let (Some(cert), Some(key)) = (&section.cert, &section.key) else {
        return Err(wrong("tls_server_config", "it has no certificate or no key"));
    };
    let (cert_name, chain) = certificates(cert, "cert")?;
    let (key_name, key) = read(key, "key")?;
    let key = pem::key(&key).map_err(|what| wrong(&key_name, format!("it {what}")))?;
    let provider = Arc::new(provider(section)?);
    let clients = clients(section, &provider)?;
    let (lowest, highest) = section.versions;
    let versions: Vec<&SupportedProtocolVersion> = [(12, &TLS12), (13, &TLS13)]
        .into_iter()
        .filter(|(version, _)| (lowest..=highest).contains(version))
        .map(|(_, version)| version)
        .collect();
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| wrong("tls_server_config", error.to_string()))?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&cert_name, format!("it does not go with {key_name}: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the cipher suites and curves that the section allows.
fn provider(section: &TlsSection) -> Result<CryptoProvider, WebError> {
    let mut provider = ring::default_provider();
    if !section.suites.is_empty() {
        let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
        let known: Vec<String> = provider.cipher_suites.iter().map(name).collect();
        if let Some(unknown) = section.suites.iter().find(|suite| !known.contains(suite)) {
            let known: Vec<_> =
                known.iter().filter(|suite| suite.starts_with("TLS_")).map(String::as_str).collect();
            let what = format!("`{unknown}` is not supported; there are: {}", known.join(", "));
            return Err(wrong("tls_server_config.cipher_suites", what));
        }
        // As in Go, the list is for TLS 1.2 alone.
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || section.suites.contains(&name(suite)));
    }
    if !section.curves.is_empty() {
        let mut groups = Vec::new();
        for curve in &section.curves {
            groups.push(match curve.as_str() {
                "X25519" => ring::kx_group::X25519,
                "CurveP256" => ring::kx_group::SECP256R1,
                "CurveP384" => ring::kx_group::SECP384R1,
                other => {
                    let what = format!("`{other}` is not supported; there are: {}", CURVES.join(", "));
                    return Err(wrong("tls_server_config.curve_preferences", what));
                }
            });
        }
        provider.kx_groups = groups;
    }
    Ok(provider)
}

fn clients(
    section: &TlsSection,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>, WebError> {
    let mut roots = RootCertStore::empty();
    let mut name = "tls_server_config".to_owned();
    if let Some(pem) = section.client_ca.as_ref().filter(|_| section.client_auth != ClientAuth::No) {
        let (file, list) = certificates(pem, "client_ca")?;
        for certificate in list {
            roots
                .add(certificate)
                .map_err(|error| wrong(&file, format!("a certificate is not valid: {error}")))?;
        }
        name = file;
    }
    if let Some(mail) = section.allowed_sans.iter().find(|san| san.contains('@') && !san.contains(':')) {
        let what = format!("`{mail}` is an e-mail address; use a DNS name, an IP address or a URI");
        return Err(wrong("tls_server_config.client_allowed_sans", what));
    }
    ClientCertificates::verifier(section.client_auth, roots, section.allowed_sans.clone(), provider)
        .map_err(|error| wrong(&name, error.to_string()))
}
