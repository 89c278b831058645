//! The way out: pooled connections, TLS with the system's roots and one's own, h2 by ALPN.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, Response};
use http_body_util::Either;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tower::{BoxError, Service};

use super::{RequestBody, ResponseBody};
use crate::error::Error;

/// How connections to services are made and kept.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Certificates to trust besides the system's, in PEM files.
    pub(crate) authorities: Vec<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// The ways out. The ones with TLS are made when the first route wants them: the system's
/// certificates take milliseconds to read, and memory to keep.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    settings: Arc<Settings>,
    /// Services on this machine.
    plain: Upstream,
    /// The same where they speak h2 and nothing else.
    h2c: Upstream,
    tls: Arc<OnceLock<Upstream>>,
}

/// How a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// HTTP/1.1 without TLS.
    Plain,
    /// h2 without TLS, and without asking.
    H2c,
    /// With TLS, where the URL says so; h2 by ALPN.
    Tls,
}

/// A tower service that sends requests to whatever host their URL names; clones share its pools.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(Arc<Pools>);

/// A pool, and one for upgrades beside it where h2 is spoken, which has none.
#[derive(Debug)]
struct Pools {
    any: Pool,
    upgrade: Option<Pool>,
}

type Pool = Client<HttpsConnector<HttpConnector>, RequestBody>;

impl Upstreams {
    /// # Errors
    ///
    /// For a certificate file that cannot be read.
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        // No route leads through these to https; if one did, it would find nobody to trust.
        let nobody = tls(RootCertStore::empty())?;
        let pool = pool(&settings);
        let mut prior_knowledge = pool.clone();
        prior_knowledge.http2_only(true);
        let http1: Pool = pool.build(http1(&settings, nobody.clone()));
        let wants_tls = !settings.authorities.is_empty();
        let upstreams = Self {
            h2c: Upstream::new(
                prior_knowledge.build(any(&settings, nobody)),
                Some(http1.clone()),
            ),
            plain: Upstream::new(http1, None),
            settings: Arc::new(settings),
            tls: Arc::default(),
        };
        if wants_tls {
            // What is wrong with these is to be told at the start.
            upstreams.upstream(Transport::Tls)?;
        }
        Ok(upstreams)
    }

    /// The way to a service.
    ///
    /// # Errors
    ///
    /// For a certificate file that cannot be read, where it takes TLS.
    pub(crate) fn upstream(&self, transport: Transport) -> Result<Upstream, Error> {
        Ok(match transport {
            Transport::Plain => self.plain.clone(),
            Transport::H2c => self.h2c.clone(),
            Transport::Tls => match self.tls.get() {
                Some(upstream) => upstream.clone(),
                None => {
                    let new = self.tls()?;
                    self.tls.get_or_init(|| new).clone()
                }
            },
        })
    }

    fn tls(&self) -> Result<Upstream, Error> {
        let settings = &*self.settings;
        let (pool, tls) = (pool(settings), tls(roots(settings)?)?);
        Ok(Upstream::new(
            pool.build(any(settings, tls.clone())),
            Some(pool.build(http1(settings, tls))),
        ))
    }
}

impl Upstream {
    fn new(any: Pool, upgrade: Option<Pool>) -> Self {
        Self(Arc::new(Pools { any, upgrade }))
    }
}

impl Service<Request<RequestBody>> for Upstream {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Sent;

    /// Always ready: the pool queues nothing, it connects.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Sent {
        let Pools { any, upgrade } = &*self.0;
        Sent(match upgrade {
            Some(pool) if request.headers().contains_key(UPGRADE) => pool.request(request),
            _ => any.request(request),
        })
    }
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Sent(ResponseFuture);

impl Future for Sent {
    type Output = Result<Response<ResponseBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(response) => Ok(response.map(Either::Left)),
            Err(error) => Err(error.into()),
        })
    }
}

fn any(settings: &Settings, tls: ClientConfig) -> HttpsConnector<HttpConnector> {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http(settings))
}

fn http1(settings: &Settings, tls: ClientConfig) -> HttpsConnector<HttpConnector> {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http(settings))
}

fn http(settings: &Settings) -> HttpConnector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(settings.connect_timeout));
    // A service that is gone without a word is noticed, though it may take its time to answer.
    http.set_keepalive(Some(KEEP_ALIVE));
    http
}

/// The system's certificates, and one's own.
fn roots(settings: &Settings) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    for path in &settings.authorities {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::config(format!(
                "{}: no certificates to trust: {error}",
                path.display()
            ))
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.len() == before {
            return Err(wrong(&"there is none in it"));
        }
    }
    if roots.is_empty() {
        tracing::warn!(
            "there are no trusted certificates on this machine: no https service can be reached"
        );
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::run(format!("TLS cannot be set up: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn pool(settings: &Settings) -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(settings.idle_timeout)
        // A dead network is noticed under a stream that is silent for long.
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE);
    builder
}

const KEEP_ALIVE: Duration = Duration::from_secs(20);
