//! Every failure and its answer, in one list.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use google_id_token::SourceError;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

use super::route::Route;
use super::{RequestBody, ResponseBody};

/// Why a request was not answered by the service that it was meant for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no token for it.
    NoToken { message: String, wait: Duration },
    /// The upstream could not be reached.
    Connect(String),
    /// The upstream broke off.
    Upstream(String),
    /// The upstream did not begin to answer in time.
    Timeout(String),
    /// No route leads where the request wants to go.
    Misdirected(String),
    /// The request has no host, or one that is none.
    BadHost,
    /// A tunnel was asked for, and cannot be had: this is why.
    Tunnel(&'static str),
}

impl Failure {
    /// The answer to this failure; gRPC callers get theirs as gRPC wants it.
    pub(crate) fn answer(self, grpc: bool) -> Response<ResponseBody> {
        // status, gRPC's code (https://grpc.github.io/grpc/core/md_doc_statuscodes.html), extra
        let (status, code, extra) = match &self {
            Self::NoToken { wait, .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                UNAVAILABLE,
                Some((RETRY_AFTER, HeaderValue::from(seconds(*wait)))),
            ),
            Self::Connect(_) | Self::Upstream(_) => (StatusCode::BAD_GATEWAY, UNAVAILABLE, None),
            Self::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, DEADLINE_EXCEEDED, None),
            Self::Misdirected(_) => (StatusCode::MISDIRECTED_REQUEST, UNIMPLEMENTED, None),
            Self::BadHost => (StatusCode::BAD_REQUEST, INVALID_ARGUMENT, None),
            Self::Tunnel(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                UNIMPLEMENTED,
                Some((ALLOW, HeaderValue::from_static(METHODS))),
            ),
        };
        let reason = self.reason();
        let mut text = self.text();
        let mut response = if grpc {
            let message = utf8_percent_encode(&text, GRPC_MESSAGE).to_string();
            let mut response = Response::new(Either::Right(Full::default()));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from_static(code));
            if let Ok(message) = HeaderValue::try_from(message) {
                headers.insert("grpc-message", message);
            }
            response
        } else {
            text.push('\n');
            let mut response = Response::new(Either::Right(Full::from(text)));
            *response.status_mut() = status;
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, plain);
            response
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, value);
        }
        let reason = HeaderValue::from_static(reason);
        response.headers_mut().insert(REASON, reason);
        response
    }

    /// The failure in one word: for metrics, and so that a program can tell the sidecar's own
    /// answers from the service's.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoToken { .. } => "no-token",
            Self::Connect(_) => "connect",
            Self::Upstream(_) => "upstream",
            Self::Timeout(_) => "timeout",
            Self::Misdirected(_) => "misdirected",
            Self::BadHost => "bad-host",
            Self::Tunnel(_) => "tunnel",
        }
    }

    fn text(self) -> String {
        match self {
            Self::NoToken { message, .. } => {
                format!("no ID token, so the request was not sent: {message}")
            }
            Self::Connect(message) => format!("the service cannot be reached: {message}"),
            Self::Upstream(message) => format!("the service broke off: {message}"),
            Self::Timeout(message) | Self::Misdirected(message) => message,
            Self::BadHost => "the request names no host that can be read".to_owned(),
            Self::Tunnel(why) => why.to_owned(),
        }
    }

    fn of(error: BoxError, route: &Route) -> Self {
        if let Some(error) = SourceError::find(&*error) {
            return Self::NoToken {
                message: chain(error),
                wait: error.retry_after().unwrap_or(RETRY),
            };
        }
        let host = route.host();
        if error.is::<tower::timeout::error::Elapsed>() {
            return Self::Timeout(format!("{host} did not begin to answer in time"));
        }
        let connect = error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        let message = format!("{host}: {}", chain(&*error));
        if connect {
            Self::Connect(message)
        } else {
            Self::Upstream(message)
        }
    }
}

/// Turns the failures of the service below it into answers.
#[derive(Clone, Debug)]
pub(crate) struct Rescue<S> {
    inner: S,
    route: Arc<Route>,
}

impl<S> Rescue<S> {
    pub(crate) fn layer(route: Arc<Route>) -> impl Layer<S, Service = Self> + Clone {
        tower::layer::layer_fn(move |inner| Self {
            inner,
            route: Arc::clone(&route),
        })
    }
}

impl<S> Service<Request<RequestBody>> for Rescue<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = std::convert::Infallible;
    type Future = RescueFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Nothing below has anything to wait for: see `proxy::stack`.
        let _ = self.inner.poll_ready(cx);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        RescueFuture {
            grpc: is_grpc(request.headers()),
            route: Arc::clone(&self.route),
            response: self.inner.call(request),
        }
    }
}

pin_project! {
    #[derive(Debug)]
    pub(crate) struct RescueFuture<F> {
        #[pin]
        response: F,
        route: Arc<Route>,
        grpc: bool,
    }
}

impl<F> Future for RescueFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, BoxError>>,
{
    type Output = Result<Response<ResponseBody>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match ready!(this.response.poll(cx)) {
            Ok(response) => response,
            Err(error) => {
                let failure = Failure::of(error, this.route);
                let reason = failure.reason();
                this.route.counters.failed(reason);
                tracing::warn!(
                    route = this.route.name,
                    reason,
                    ?failure,
                    "answered for the service"
                );
                failure.answer(*this.grpc)
            }
        };
        this.route.counters.answered(response.status());
        Poll::Ready(Ok(response))
    }
}

/// Whether the caller speaks gRPC, and so wants to hear of failures its way.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// An error and what lies below it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let below = error.to_string();
        // Many errors already say what their cause says.
        if !text.ends_with(&below) {
            text.push_str(": ");
            text.push_str(&below);
        }
        next = error.source();
    }
    text
}

/// Whole seconds, rounded up: a zero would say "at once".
pub(crate) fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// How long callers are asked to wait where nobody said otherwise: the longest time that the
/// cache leaves a failing source alone while requests want a token.
pub(crate) const RETRY: Duration = Duration::from_secs(5);
/// The failure in one word, on the sidecar's own answers.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-id-token-sidecar");
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const INVALID_ARGUMENT: &str = "3";
const DEADLINE_EXCEEDED: &str = "4";
const UNIMPLEMENTED: &str = "12";
const UNAVAILABLE: &str = "14";
/// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Percent-Encoded.
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');
