//! The default client: hyper, and rustls once https is spoken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::uri::Scheme;
use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use tokio::sync::OnceCell;
use tower::{BoxError, Service};
use tower_id_token::{ErrorKind, SourceError};

use super::roots::roots;
use super::route::Route;
use crate::Env;

/// Plain http goes to the metadata server and to loopback, and never through a proxy.
#[derive(Clone)]
pub(super) struct DefaultClient {
    plain: Client<HttpConnector, Full<Bytes>>,
    tls: Arc<OnceCell<Tls>>,
    /// Where proxies and roots are named.
    env: Arc<Env>,
}

type Tls = Client<HttpsConnector<Route>, Full<Bytes>>;

impl DefaultClient {
    pub(super) fn new(env: &Env) -> Self {
        Self {
            plain: client(connector()),
            tls: Arc::default(),
            env: Arc::new(env.clone()),
        }
    }
}

impl Service<Request<Full<Bytes>>> for DefaultClient {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        if request.uri().scheme() == Some(&Scheme::HTTP) {
            let answer = self.plain.request(request);
            return Box::pin(async { Ok(answer.await?) });
        }
        let (tls, env) = (Arc::clone(&self.tls), Arc::clone(&self.env));
        Box::pin(async move {
            let client = tls.get_or_try_init(|| tls_client(env)).await?;
            Ok(client.request(request).await?)
        })
    }
}

async fn tls_client(env: Arc<Env>) -> Result<Tls, SourceError> {
    // Roots are read from the disk.
    let task = tokio::task::spawn_blocking(move || {
        let config = tls_config(&env)?;
        let route = Route::new(&env, connector(), config.clone())?;
        Ok::<_, SourceError>((config, route))
    });
    let (config, route) = task.await.map_err(|error| {
        SourceError::new(ErrorKind::Unavailable, "TLS could not be set up").with_cause(error)
    })??;
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .wrap_connector(route);
    Ok(client(https))
}

pub(super) fn tls_config(env: &Env) -> Result<ClientConfig, SourceError> {
    let roots = roots(env)?;
    let config = ClientConfig::builder_with_provider(crypto_provider()?)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            SourceError::new(
                ErrorKind::Config,
                "the crypto provider knows no TLS version in use",
            )
            .with_cause(error)
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(feature = "ring")]
pub(super) fn crypto_provider() -> Result<Arc<CryptoProvider>, SourceError> {
    Ok(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
pub(super) fn crypto_provider() -> Result<Arc<CryptoProvider>, SourceError> {
    Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
pub(super) fn crypto_provider() -> Result<Arc<CryptoProvider>, SourceError> {
    CryptoProvider::get_default().cloned().ok_or_else(|| {
        SourceError::new(
            ErrorKind::Config,
            "this build has no crypto: enable the feature `ring` or `aws-lc-rs`, or install a \
             rustls CryptoProvider for the process",
        )
    })
}

pub(super) fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector
}

/// Tokens are fetched once an hour. A connection kept that long is dead more often than not, and
/// one kept for another runtime always is.
pub(super) fn client<C>(connector: C) -> Client<C, Full<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector)
}

/// Below the attempt's own limit, so that a host with a dead address still has time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
