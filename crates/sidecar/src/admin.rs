//! What a machine asks a process: is it alive, is it ready, what has it done.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::drain::Drain;
use crate::metrics::Metrics;
use crate::serve::Peer;

type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// What is still missing for requests to be served, a line each; nothing when all is there.
pub(crate) type Missing = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Answers `/healthz`, `/readyz` and `/metrics`.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) missing: Missing,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
}

impl Admin {
    /// The handler for [`serve`](crate::serve::serve).
    pub(crate) fn handler(
        self,
    ) -> impl Fn(Request<Incoming>, &Peer) -> Answer + Clone + Send + Sync + 'static {
        move |request, _| ready(Ok(self.answer(&request)))
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "alive\n"),
            "/readyz" => self.readiness(),
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.render());
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, format);
                response
            }
            _ => text(StatusCode::NOT_FOUND, "/healthz, /readyz or /metrics\n"),
        }
    }

    /// Ready while nothing is missing, and until the end is near.
    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.drain.has_begun() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "about to end\n");
        }
        let missing = (self.missing)();
        if missing.is_empty() {
            return text(StatusCode::OK, "ready\n");
        }
        let lines = missing.iter().map(|line| format!("{line}\n"));
        text(StatusCode::SERVICE_UNAVAILABLE, lines.collect::<String>())
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
