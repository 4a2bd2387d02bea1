//! TLS clients: reads certificates and keys, and finds what a TLS error means. `fleet` and outputs use it.

use std::{io, path::Path, sync::Arc};

use rustls::{
    AlertDescription as Alert, ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer,
};

use crate::{bounded, pem};

/// Why TLS failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsFailure {
    /// The client does not accept the server's certificate.
    ServerCertificate(String),
    /// The server does not accept the client's certificate, or requires one.
    ClientCertificate(Alert),
    /// The server ends TLS for another reason.
    Alert(Alert),
    /// The server's bytes are not TLS.
    NotTls,
    /// Another error.
    Other(String),
}

impl TlsFailure {
    /// Returns the TLS failure in an error of the stream; `None` if the stream itself failed.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match tls {
            rustls::Error::InvalidCertificate(why) => Self::ServerCertificate(why.to_string()),
            rustls::Error::AlertReceived(alert) if is_about_certificate(*alert) => {
                Self::ClientCertificate(*alert)
            }
            rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        })
    }
}

/// Whether a server sends this alert because of the client's certificate.
const fn is_about_certificate(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
    )
}

/// Reads a file of at most `most` bytes.
pub(crate) fn read(file: &Path, most: usize) -> Result<Vec<u8>, String> {
    bounded::read(file, most).map_err(|error| format!("reading {}: {error}", file.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    pem::certificates(&read(file, pem::MOST_BYTES)?).map_err(|what| format!("{} {what}", file.display()))
}

/// Reads the certificates of authorities. Each must be valid.
pub(crate) fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in {} is not valid: {error}", file.display()))?;
    }
    Ok(roots)
}

/// An error in the files of the client's own certificate.
pub(crate) struct PairError {
    /// Whether it is in the file with the key.
    pub(crate) is_in_key: bool,
    /// The file, and what is wrong with it.
    pub(crate) what: String,
}

/// Returns the configuration of a client that accepts certificates signed by `authorities`. `pair` is the files with its own
/// certificate and key, `protocol` the name of its protocol for ALPN.
pub(crate) fn config(
    authorities: RootCertStore,
    pair: Option<(&Path, &Path)>,
    protocol: &[u8],
) -> Result<ClientConfig, PairError> {
    let of_certificate = |what| PairError { is_in_key: false, what };
    let of_key = |what| PairError { is_in_key: true, what };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| of_certificate(format!("preparing TLS: {error}")))?
        .with_root_certificates(authorities);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert).map_err(of_certificate)?;
            let name = key.display();
            let text = read(key, pem::MOST_BYTES).map_err(of_key)?;
            let key = pem::key(&text).map_err(|what| of_key(format!("{name} {what}")))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                of_certificate(format!("{} does not go with {name}: {error}", cert.display()))
            })?
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_in_an_error_of_the_stream() {
        let of = |error: rustls::Error| TlsFailure::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(
            of(rustls::Error::AlertReceived(Alert::CertificateRequired)),
            Some(TlsFailure::ClientCertificate(Alert::CertificateRequired))
        );
        assert_eq!(
            of(rustls::Error::AlertReceived(Alert::ProtocolVersion)),
            Some(TlsFailure::Alert(Alert::ProtocolVersion))
        );
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert!(matches!(of(expired), Some(TlsFailure::ServerCertificate(_))));
        assert_eq!(TlsFailure::of(&io::ErrorKind::ConnectionReset.into()), None);
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_named() {
        let path = std::env::temp_dir().join(format!("taskscope-tls-client-{}", std::process::id()));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let wrong = authorities(&path).unwrap_err();
        let no_key = config(RootCertStore::empty(), Some((&path, &path)), b"h2").unwrap_err().what;
        std::fs::remove_file(&path).unwrap();
        let missing = authorities(&path).unwrap_err();
        let name = path.display().to_string();
        assert!(wrong.contains(&name) && wrong.contains("is not valid"), "{wrong}");
        assert!(no_key.contains(&name) && no_key.contains("no private key"), "{no_key}");
        assert!(missing.contains(&name) && missing.starts_with("reading "), "{missing}");
    }
}
