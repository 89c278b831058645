//! The HTTP client as everything else sees it: any tower service that can send a request.

use std::fmt;
use std::sync::Arc;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

use super::client::DefaultClient;
use crate::Env;

/// What credentials are exchanged over: a tower service from request to response.
///
/// The default one speaks HTTP/1.1, with rustls and the system's root certificates, or those of
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set. It goes through the proxy that
/// `HTTPS_PROXY` or else `ALL_PROXY` names (http, https, socks5, socks5h; in small letters too),
/// but for the hosts in `NO_PROXY`; never to loopback and the metadata servers, which are all that
/// it speaks plain http to, so that `HTTP_PROXY` is for nothing here. It follows no redirects,
/// and one of the caller's own must follow none either.
///
/// Time-outs, retries and limits come on top of it, so a service of your own brings none:
///
/// ```
/// use bytes::Bytes;
/// use google_id_token::HttpClient;
/// use http::{Request, Response};
/// use http_body_util::Full;
///
/// let http = HttpClient::from_service(tower::service_fn(|_: Request<Full<Bytes>>| async {
///     Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from("{}"))))
/// }));
/// ```
#[derive(Clone)]
pub struct HttpClient {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>,
    /// The caller has brought it.
    own: bool,
    /// What stands around it, and has to around whatever is used in its place.
    around: Option<Around>,
}

type Around = Arc<dyn Fn(HttpClient) -> HttpClient + Send + Sync>;

pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

impl HttpClient {
    /// The default client. Root certificates are loaded when https is first spoken, so that a
    /// container that only asks its metadata server needs none.
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// The default client, with the proxies and root certificates that this environment names.
    ///
    /// What is wrong with them is the error of the first request by https.
    pub fn from_env(env: &Env) -> Self {
        Self {
            own: false,
            ..Self::from_service(DefaultClient::new(env))
        }
    }

    /// A client of your own, or a server in its place.
    pub fn from_service<S, B>(service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service
            .map_response(|response: Response<B>| {
                response.map(|body| Limited::new(body, LARGEST_BODY).boxed_unsync())
            })
            .map_err(Into::into);
        Self {
            service: BoxCloneSyncService::new(service),
            own: true,
            around: None,
        }
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// The same with something around it. Whose it is stays as it was.
    pub(crate) fn within(
        self,
        around: impl Fn(HttpClient) -> HttpClient + Send + Sync + 'static,
    ) -> Self {
        Self {
            own: self.own,
            service: around(self).service,
            around: Some(Arc::new(around)),
        }
    }

    /// Another client in place of this one, with what stands around this one.
    pub(super) fn replaced_by(&self, other: Self) -> Self {
        match &self.around {
            None => other,
            Some(around) => around(other),
        }
    }

    pub(crate) fn service(
        &self,
    ) -> BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError> {
        self.service.clone()
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// Longer bodies are not read: no answer of Google's has a hundredth of it.
const LARGEST_BODY: usize = 1024 * 1024;
