//! TLS of the switch: its certificate, read again when it changes, and whom it trusts.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::{ClientCertificates, SwitchError, TlsConfig};

/// Where certificates are, and how they are checked.
#[derive(Debug, Clone)]
pub(super) struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    roots: Option<PathBuf>,
    clients: ClientCertificates,
    verifies_trunks: bool,
}

impl TlsFiles {
    pub(super) fn of(config: &TlsConfig) -> Self {
        Self {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
            roots: config.roots.clone(),
            clients: config.clients,
            verifies_trunks: config.verify_trunks,
        }
    }

    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.certificate), Some(&self.key), self.roots.as_ref()];
        files
            .into_iter()
            .flatten()
            .map(|file| std::fs::metadata(file).and_then(|found| found.modified()).ok())
            .collect()
    }
}

struct Loaded {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    changed_at: Vec<Option<SystemTime>>,
}

/// Our side of every TLS connection.
pub(super) struct Tls {
    files: TlsFiles,
    loaded: RwLock<Loaded>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why.
    pub(super) fn load(files: TlsFiles) -> Result<Self, SwitchError> {
        let loaded = load(&files)?;
        Ok(Self { files, loaded: RwLock::new(loaded) })
    }

    /// Reads them again if one has changed; connections that are up keep what they have.
    pub(super) fn reload_if_changed(&self) -> Result<bool, SwitchError> {
        if self.read(|loaded| loaded.changed_at == self.files.changed_at()) {
            return Ok(false);
        }
        let fresh = load(&self.files)?;
        *self.loaded.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(true)
    }

    fn read<T>(&self, look: impl FnOnce(&Loaded) -> T) -> T {
        look(&self.loaded.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Shakes hands with somebody who connected.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<server::TlsStream<TcpStream>> {
        let config = self.read(|loaded| loaded.server.clone());
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Shakes hands with a trunk whose certificate must be for `name`.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        name: &str,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let config = self.read(|loaded| loaded.client.clone());
        TlsConnector::from(config).connect(server_name(name)?, stream).await
    }
}

/// Whether a certificate is for one of these names: the SIP URIs in it count, or where it has none its DNS names and addresses (RFC 5922, 7.1).
pub(super) fn is_for(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return false };
    // A URI with a user is for that user and for no domain.
    let domain = |uri: &str| {
        let (scheme, rest) = uri.split_once(':')?;
        let is_sip = scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips");
        (is_sip && !rest.contains('@')).then(|| rest.to_owned())
    };
    let domains: Vec<String> = parsed.valid_uri_names().filter_map(domain).collect();
    if !domains.is_empty() {
        return names.iter().any(|name| domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)));
    }
    names.iter().any(|name| {
        server_name(name).is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&name).is_ok())
    })
}

fn server_name(name: &str) -> std::io::Result<ServerName<'static>> {
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => Ok(ServerName::from(address)),
        Err(_not_an_address) => ServerName::try_from(name.to_owned()).map_err(std::io::Error::other),
    }
}

fn unusable(file: &std::path::Path, why: impl std::fmt::Display) -> SwitchError {
    SwitchError::Certificate { file: file.to_owned(), why: why.to_string() }
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, SwitchError> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|why| unusable(file, why))?.collect();
    let all = all.map_err(|why| unusable(file, why))?;
    if all.is_empty() { Err(unusable(file, "it holds no certificate")) } else { Ok(all) }
}

fn load(files: &TlsFiles) -> Result<Loaded, SwitchError> {
    // Before they are read: a change meanwhile is seen next time.
    let changed_at = files.changed_at();
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|why| unusable(&files.key, why))?;
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    if let Some(file) = &files.roots {
        for root in certificates(file)? {
            roots.add(root).map_err(|why| unusable(file, why))?;
        }
    }
    let roots = Arc::new(roots);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|why| unusable(&files.certificate, why))?;
    let verifier = || WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let builder = match files.clients {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional => {
            let verifier = verifier().allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|why| unusable(&files.certificate, why))?)
        }
        ClientCertificates::Required => {
            let verifier = verifier().build();
            builder.with_client_cert_verifier(verifier.map_err(|why| unusable(&files.certificate, why))?)
        }
    };
    let server = builder
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|why| unusable(&files.certificate, why))?;

    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|why| unusable(&files.certificate, why))?;
    let builder = if files.verifies_trunks {
        let verifier: Arc<dyn ServerCertVerifier> = if roots.is_empty() {
            // Nobody can be checked without roots; a trunk then fails, with this reason in the log.
            Arc::new(Nobody(provider.clone()))
        } else {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
            Arc::new(OfDomain(verifier.map_err(|why| unusable(&files.certificate, why))?))
        };
        builder.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider.clone())))
    };
    // A trunk that asks for one gets our certificate.
    let client =
        builder.with_client_auth_cert(chain, key).map_err(|why| unusable(&files.certificate, why))?;
    Ok(Loaded { server: Arc::new(server), client: Arc::new(client), changed_at })
}

/// Takes certificates whose SIP URI is for the name, beside those that are for it by the rules of the web (RFC 5922, 7.1).
#[derive(Debug)]
struct OfDomain(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for OfDomain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: when it alone is wrong, the chain is good.
        let verdict = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if is_for(end_entity, &[server_name.to_str().into_owned()]) => {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes any certificate: for closed networks, where the operator says so.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

/// Takes none.
#[derive(Debug)]
struct Nobody(Arc<CryptoProvider>);

macro_rules! signatures_by_the_book {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_the_book!();
}

impl ServerCertVerifier for Nobody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Err(Error::General(
            "no roots are configured: name them in switch.tls.roots, or set switch.tls.verify_trunks = false"
                .to_owned(),
        ))
    }

    signatures_by_the_book!();
}
