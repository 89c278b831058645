//! TLS on loopback, for clients that show a certificate: by certificates that are public test
//! keys, like all keys here.

use std::sync::{Arc, LazyLock};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

/// The certificate that the client of a connection has shown, and that was found to be good.
#[derive(Clone, Debug)]
pub(crate) struct Shown(pub(crate) Option<Vec<u8>>);

/// Accepts clients with a certificate of the emulated workload, and those without any.
pub(crate) fn acceptor() -> TlsAcceptor {
    TlsAcceptor::from(CONFIG.clone())
}

static CONFIG: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut anchors = RootCertStore::empty();
    anchors
        .add(certificate(CLIENT_CA))
        .expect("a checked-in certificate is a trust anchor");
    // The chain between is in the subject token, and need not be in the handshake as well.
    anchors
        .add(certificate(CLIENT_INTERMEDIATE))
        .expect("a checked-in certificate is a trust anchor");
    let clients = WebPkiClientVerifier::builder_with_provider(anchors.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .expect("there are trust anchors");
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).expect("a checked-in key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate(SERVER)], key)
        .expect("certificate and key are a pair");
    Arc::new(config)
});

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a checked-in certificate")
}

/// The trust anchor of the emulated workload, in DER: what its pool is configured with.
pub(crate) fn trust_anchor() -> Vec<u8> {
    certificate(CLIENT_CA).to_vec()
}

/// The intermediate certificate of the emulated workload, in DER.
pub(crate) fn intermediate() -> Vec<u8> {
    certificate(CLIENT_INTERMEDIATE).to_vec()
}

/// The root that clients have to trust.
pub(crate) const SERVER_CA: &str = include_str!("../keys/tls/server-ca.crt");
pub(crate) const CLIENT: &str = include_str!("../keys/tls/client.crt");
pub(crate) const CLIENT_KEY: &str = include_str!("../keys/tls/client.key");
pub(crate) const CLIENT_INTERMEDIATE: &str = include_str!("../keys/tls/client-intermediate.crt");
const CLIENT_CA: &str = include_str!("../keys/tls/client-ca.crt");
const SERVER: &str = include_str!("../keys/tls/server.crt");
const SERVER_KEY: &str = include_str!("../keys/tls/server.key");
