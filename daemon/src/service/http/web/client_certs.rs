//! Checks the certificates of clients, as `client_auth_type` and `client_allowed_sans` ask.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use webpki::EndEntityCert;

use super::file::ClientAuth;

/// Checks the certificates of clients.
pub(super) struct ClientCertificates {
    /// Checks the chain; `None` if any certificate will do.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    is_mandatory: bool,
    /// The names that are allowed: a certificate must have one of them. Empty: any name.
    allowed_names: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertificates {
    /// Returns the checks, or `None` if clients need no certificate.
    pub(super) fn verifier(
        auth: ClientAuth,
        roots: RootCertStore,
        allowed_names: Vec<String>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, VerifierBuilderError> {
        let chain = || WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let (chain, is_mandatory) = match auth {
            ClientAuth::No => return Ok(None),
            ClientAuth::Request => (None, false),
            ClientAuth::RequireAny => (None, true),
            ClientAuth::VerifyIfGiven => (Some(chain().allow_unauthenticated().build()?), false),
            ClientAuth::RequireAndVerify => (Some(chain().build()?), true),
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Some(Arc::new(Self { chain, is_mandatory, allowed_names, algorithms })))
    }

    /// Whether a certificate has one of the names, as a DNS name, a URI or an IP address.
    fn has_allowed_name(&self, certificate: &EndEntityCert<'_>) -> bool {
        self.allowed_names.iter().any(|allowed| {
            certificate.valid_dns_names().any(|name| name == allowed)
                || certificate.valid_uri_names().any(|name| name == allowed)
                || matches!(
                    ServerName::try_from(allowed.as_str()),
                    Ok(name @ ServerName::IpAddress(_)) if certificate.verify_is_valid_for_subject_name(&name).is_ok()
                )
        })
    }
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates").field("is_mandatory", &self.is_mandatory).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        if !self.allowed_names.is_empty() {
            let certificate = EndEntityCert::try_from(end_entity)
                .map_err(|_| Error::from(CertificateError::BadEncoding))?;
            if !self.has_allowed_name(&certificate) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
