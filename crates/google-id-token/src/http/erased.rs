//! The HTTP client as everything else sees it: any tower service that can send a request.

use std::fmt;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

use super::client::DefaultClient;

/// What credentials are exchanged over: a tower service from request to response.
///
/// The default one speaks HTTP/1.1, with rustls and the system's root certificates
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` go before them), and uses no proxy. It follows no
/// redirects, and one of the caller's own must follow none either.
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
}

pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

impl HttpClient {
    /// The default client. Root certificates are loaded when https is first spoken, so that a
    /// container that only asks its metadata server needs none.
    pub fn new() -> Self {
        Self {
            own: false,
            ..Self::from_service(DefaultClient::new())
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
        }
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    pub(super) fn service(
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
