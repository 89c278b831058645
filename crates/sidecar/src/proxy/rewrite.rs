//! From the caller's request to the service's, and from the service's answer to the caller's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::headers::{Direction, ask_for_upgrade, forwarded_host, strip_request, strip_response};
use super::route::{Route, Upstream};
use super::tunnel::Tunnels;
use super::{RequestBody, ResponseBody};

/// Gives requests the service's URL, drops the headers that end here, joins the two sides of an
/// upgrade, and leads `Location` back through the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    route: Arc<Route>,
    direction: Direction,
    tunnels: Tunnels,
    /// `Host` for the service, where it surely speaks HTTP/1.1; else the client sees to it.
    host: Option<HeaderValue>,
}

impl<S> Rewrite<S> {
    pub(crate) fn layer(
        route: Arc<Route>,
        direction: Direction,
        tunnels: Tunnels,
    ) -> impl Layer<S, Service = Self> + Clone {
        let upstream = match direction {
            Direction::Out(_) => route.upstream.as_ref(),
            #[cfg(feature = "inbound")]
            Direction::In => None,
        };
        let shared = Arc::new(Shared {
            host: upstream.and_then(Upstream::plain_host),
            route,
            direction,
            tunnels,
        });
        tower::layer::layer_fn(move |inner| Self {
            inner,
            shared: Arc::clone(&shared),
        })
    }
}

impl<S> Service<Request<RequestBody>> for Rewrite<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = RewriteFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let protocol = strip_request(request.headers_mut(), self.shared.direction);
        let upgrade = protocol.map(|protocol| {
            ask_for_upgrade(request.headers_mut(), protocol);
            hyper::upgrade::on(&mut request)
        });
        let host = match &self.shared.host {
            Some(host) => request.headers_mut().insert(HOST, host.clone()),
            None => request.headers_mut().remove(HOST),
        };
        let local = match request.uri().authority() {
            Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
            None => host,
        };
        let local = match self.shared.direction {
            Direction::Out(_) => {
                if let Some(local) = &local {
                    forwarded_host(request.headers_mut(), local);
                }
                local
            }
            // The app has the name that its callers know it by; by h2, the connection's is the
            // one that counts.
            #[cfg(feature = "inbound")]
            Direction::In => {
                if let Some(local) = local {
                    let h2c = self.shared.route.upstream.as_ref().is_some_and(|it| it.h2c);
                    if h2c {
                        forwarded_host(request.headers_mut(), &local);
                    } else {
                        request.headers_mut().insert(HOST, local);
                    }
                }
                None
            }
        };
        let named;
        let upstream = match &self.shared.route.upstream {
            Some(upstream) => Some(upstream),
            None => {
                named = local
                    .as_ref()
                    .and_then(authority)
                    .as_ref()
                    .map(Upstream::named);
                named.as_ref()
            }
        };
        if let Some(upstream) = upstream {
            *request.uri_mut() = upstream.url(request.uri());
        }
        // What this hop speaks is settled by ALPN, whatever the caller spoke.
        *request.version_mut() = Version::HTTP_11;
        RewriteFuture {
            authority: match self.shared.route.upstream {
                Some(_) => None,
                None => request.uri().authority().cloned(),
            },
            response: self.inner.call(request),
            shared: Arc::clone(&self.shared),
            local,
            upgrade,
        }
    }
}

pin_project! {
    #[derive(Debug)]
    pub(crate) struct RewriteFuture<F> {
        #[pin]
        response: F,
        shared: Arc<Shared>,
        // The service, where the request named it.
        authority: Option<Authority>,
        // The name under which the caller reached this proxy, where `Location` is to lead to it.
        local: Option<HeaderValue>,
        upgrade: Option<OnUpgrade>,
    }
}

impl<F> Future for RewriteFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, BoxError>>,
{
    type Output = Result<Response<ResponseBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        let protocol = strip_response(response.headers_mut());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(caller), Some(protocol)) = (this.upgrade.take(), protocol)
        {
            this.shared
                .tunnels
                .join(caller, hyper::upgrade::on(&mut response));
            ask_for_upgrade(response.headers_mut(), protocol);
        }
        if let (Some(location), Some(local)) = (response.headers().get(LOCATION), &this.local) {
            let named;
            let upstream = match &this.shared.route.upstream {
                Some(upstream) => Some(upstream),
                None => {
                    named = this.authority.as_ref().map(Upstream::named);
                    named.as_ref()
                }
            };
            if let Some(back) = upstream.and_then(|upstream| upstream.localize(location, local)) {
                response.headers_mut().insert(LOCATION, back);
            }
        }
        Poll::Ready(Ok(response))
    }
}

pub(crate) fn authority(host: &HeaderValue) -> Option<Authority> {
    Authority::try_from(host.as_bytes()).ok()
}
