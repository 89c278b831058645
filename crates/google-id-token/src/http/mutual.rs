//! A client that shows a certificate of its own: mutual TLS, for federation by X.509.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::uri::Scheme;
use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use rustls::ClientConfig;
use tower::{BoxError, Service};
use tower_id_token::{ErrorKind, SourceError};

use super::HttpClient;
use super::client::{client, connector, crypto_provider, tls_config};
use super::roots::roots;
use super::route::Route;
use crate::Env;
use crate::certificate::{CertificateConfig, Identity};

impl HttpClient {
    /// The same, showing the certificate that this names to whoever asks for one. A client of the
    /// caller's own shows what it was set up with.
    pub(crate) fn showing(&self, certificate: Arc<CertificateConfig>, env: &Env) -> Self {
        if self.is_own() {
            return self.clone();
        }
        self.replaced_by(Self::from_service(MutualClient {
            certificate,
            env: Arc::new(env.clone()),
        }))
    }
}

/// It asks once an hour, and short-lived certificates do not live much longer: each request reads
/// them anew.
#[derive(Clone)]
struct MutualClient {
    certificate: Arc<CertificateConfig>,
    env: Arc<Env>,
}

impl Service<Request<Full<Bytes>>> for MutualClient {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            // This machine, which has nobody to show anything to.
            if request.uri().scheme() == Some(&Scheme::HTTP) {
                return Ok(client(connector()).request(request).await?);
            }
            let identity = this.certificate.identity(&this.env).await?;
            // Roots are read from the disk.
            let task = tokio::task::spawn_blocking(move || {
                // A proxy is shown nothing.
                let route = Route::new(&this.env, connector(), tls_config(&this.env)?)?;
                Ok::<_, SourceError>((mutual_config(&this.env, identity)?, route))
            });
            let (config, route) = task.await.map_err(|error| {
                let message = "TLS could not be set up";
                SourceError::new(ErrorKind::Unavailable, message).with_cause(error)
            })??;
            let https = HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_only()
                .enable_http1()
                .wrap_connector(route);
            Ok(client(https).request(request).await?)
        })
    }
}

fn mutual_config(env: &Env, identity: Identity) -> Result<ClientConfig, SourceError> {
    let roots = roots(env)?;
    let wrong = |message: &'static str| {
        move |error: rustls::Error| SourceError::new(ErrorKind::Config, message).with_cause(error)
    };
    ClientConfig::builder_with_provider(crypto_provider()?)
        .with_safe_default_protocol_versions()
        .map_err(wrong("the crypto provider knows no TLS version in use"))?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(wrong(
            "the certificate of the workload and its key do not make a pair, or are of a kind \
             that TLS does not use",
        ))
}
