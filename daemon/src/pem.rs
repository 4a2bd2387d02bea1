//! Certificates and keys in PEM. Error texts continue a message that begins with the name of the file.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// The longest PEM file, bytes: a bundle of all public authorities has 220 KB.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// Returns the certificates of a file, at least one.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let list = list.map_err(|error| format!("is not PEM: {error}"))?;
    if list.is_empty() {
        return Err("has no certificate in PEM (-----BEGIN CERTIFICATE-----)".into());
    }
    Ok(list)
}

/// Returns the key of a file.
pub(crate) fn key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(bytes)
        .map_err(|error| format!("has no private key in PEM, without a passphrase: {error}"))
}
