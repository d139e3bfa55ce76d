//! TLS settings for connections to endpoints: trust anchors, and what failed in words.
//!
//! The certificate is always verified; there is no switch against it.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, CipherSuite, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::CertificateDer;

use crate::calendar;

/// Settings kept for bundles; past it they are made anew. Nothing like so many integrations have their own.
const CACHED_MAX: usize = 256;
/// The only application protocol (RFC 7301): the upgrade is HTTP/1.1's.
const ALPN: &[u8] = b"http/1.1";
/// Names told of a certificate that has other ones.
const NAMES_TOLD: usize = 8;

/// The settings for each set of trust anchors, made once. Sessions are resumed within one of them, so that a
/// reconnection is cheap for both ends.
pub struct ClientConfigs {
    provider: Arc<CryptoProvider>,
    system: Option<Arc<ClientConfig>>,
    bundles: HashMap<String, Arc<ClientConfig>>,
}

impl Default for ClientConfigs {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientConfigs {
    /// Nothing is loaded before it is asked for.
    pub fn new() -> Self {
        Self {
            provider: Arc::new(provider()),
            system: None,
            bundles: HashMap::new(),
        }
    }

    /// The settings that trust `ca_pem`, or the system's roots when there is none.
    ///
    /// # Errors
    /// Says in words why there is nothing to trust.
    pub fn get(&mut self, ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, String> {
        match ca_pem {
            None => self.system_config(),
            Some(pem) => self.bundle_config(pem),
        }
    }

    fn system_config(&mut self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = &self.system {
            return Ok(Arc::clone(config));
        }
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            let reason = loaded.errors.first().map(|error| format!(": {error}"));
            let reason = reason.unwrap_or_default();
            return Err(format!("the system has no trust anchors{reason}"));
        }
        let config = self.make(roots)?;
        self.system = Some(Arc::clone(&config));
        Ok(config)
    }

    fn bundle_config(&mut self, pem: &str) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.bundles.get(pem) {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate =
                certificate.map_err(|error| format!("the CA bundle is no PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("the CA bundle holds no proper certificate: {error}"))?;
        }
        if roots.is_empty() {
            return Err("the CA bundle holds no certificate".to_owned());
        }
        let config = self.make(roots)?;
        if self.bundles.len() >= CACHED_MAX {
            self.bundles.clear();
        }
        self.bundles.insert(pem.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn make(&self, roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS can't be set up: {error}"))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

/// The usual algorithms, AES-128 first: as strong as the certificates' keys, and it and its SHA-256 are cheaper than
/// AES-256 and SHA-384 for every record and handshake. The endpoint may choose otherwise.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    let is_aes_128 = |suite: &rustls::SupportedCipherSuite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    let suites = &mut provider.cipher_suites;
    suites.sort_by_key(|suite| (suite.tls13().is_none(), !is_aes_128(suite)));
    provider
}

/// The TLS version as it is told; empty when there is none yet.
pub fn version_name(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "",
    }
}

/// Why TLS failed, in words; whether it is for the endpoint's certificate.
pub fn describe(error: &rustls::Error) -> (bool, String) {
    match error {
        rustls::Error::InvalidCertificate(fault) => (true, certificate_fault(fault)),
        rustls::Error::NoCertificatesPresented => {
            (true, "the endpoint presented no certificate".to_owned())
        }
        rustls::Error::AlertReceived(alert) => (
            false,
            format!("the endpoint refused with the TLS alert {alert:?}"),
        ),
        rustls::Error::InvalidMessage(_) => {
            (false, format!("the endpoint does not speak TLS: {error}"))
        }
        other => (false, other.to_string()),
    }
}

fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        CertificateError::Expired => "the certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(
                "the certificate expired on {}",
                calendar::date(not_after.as_secs())
            )
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let date = calendar::date(not_before.as_secs());
            format!("the certificate is not valid before {date}")
        }
        CertificateError::Revoked => "the certificate has been revoked".to_owned(),
        CertificateError::UnknownIssuer => {
            "the certificate comes from an unknown issuer: no trust anchor has signed it".to_owned()
        }
        CertificateError::BadSignature => "the certificate's signature is wrong".to_owned(),
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            format!(
                "the certificate is not for {expected} but for {}",
                names(presented)
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not meant for a server".to_owned()
        }
        CertificateError::BadEncoding => "the certificate can't be read".to_owned(),
        other => format!("the certificate does not stand: {other}"),
    }
}

/// Names as rustls presents them (`DnsName("a.example")`, `IpAddress(127.0.0.1)`), without their wrapping.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all".to_owned();
    }
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let mut told: Vec<String> = presented.iter().take(NAMES_TOLD).map(bare).collect();
    if presented.len() > NAMES_TOLD {
        told.push(format!("{} more", presented.len() - NAMES_TOLD));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused_in_words() {
        let mut configs = ClientConfigs::new();
        let error = configs.get(Some("nothing here")).unwrap_err();
        assert!(error.contains("no certificate"), "{error}");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = configs.get(Some(broken)).unwrap_err();
        assert!(error.contains("no proper certificate"), "{error}");
    }

    #[test]
    fn the_cheapest_suite_comes_first_and_none_is_missing() {
        let suites = provider().cipher_suites;
        assert_eq!(suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        let all = rustls::crypto::ring::default_provider().cipher_suites;
        assert_eq!(suites.len(), all.len());
        assert!(suites
            .iter()
            .skip_while(|suite| suite.tls13().is_some())
            .all(|suite| suite.tls13().is_none()));
    }

    #[test]
    fn faults_are_told_in_words() {
        let fault = CertificateError::NotValidForNameContext {
            expected: "calls.example".try_into().unwrap(),
            presented: vec![
                "DnsName(\"a.example\")".to_owned(),
                "IpAddress(127.0.0.1)".to_owned(),
            ],
        };
        let (certificate, words) = describe(&fault.into());
        assert!(certificate);
        assert_eq!(
            words,
            "the certificate is not for calls.example but for a.example, 127.0.0.1"
        );
        let (certificate, words) = describe(&CertificateError::UnknownIssuer.into());
        assert!(certificate && words.contains("unknown issuer"), "{words}");
        let (certificate, _) = describe(&rustls::Error::DecryptError);
        assert!(!certificate);
    }
}
