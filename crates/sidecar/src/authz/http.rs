//! The same by plain HTTP: the answer's headers are those to put on the request.
//!
//! Envoy's `http_service` and others of its kind send the request's head here, and put the headers
//! of a 200 on the request that they are told to (`allowed_upstream_headers`). Anything but a 200
//! keeps the request back.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;

use super::{Asked, Authz, Verdict};
use crate::proxy::{RETRY, chain, seconds};

pub(super) async fn answer<B>(authz: &Authz, request: &Request<B>) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let asked = Asked {
        host: host.unwrap_or_default(),
        path: request.uri().path(),
        authorization: headers.contains_key(AUTHORIZATION),
    };
    let response = match authz.judge(asked).await {
        Verdict::Token { token, set, remove } => {
            let mut response = Response::new(Full::default());
            for name in remove {
                // Envoy takes the named ones out of the request.
                let name = HeaderValue::from_name(name.clone());
                response.headers_mut().append(TO_REMOVE, name);
            }
            for name in set {
                response.headers_mut().insert(name, token.header().clone());
            }
            response
        }
        Verdict::Pass => Response::new(Full::default()),
        Verdict::Refuse(why) => {
            authz.counters.failed("misdirected");
            text(StatusCode::FORBIDDEN, why)
        }
        Verdict::NoToken(error) => {
            authz.counters.failed("no-token");
            let why = format!(
                "no ID token, so the request was not sent: {}",
                chain(&error)
            );
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, why);
            let wait = seconds(error.retry_after().unwrap_or(RETRY));
            response.headers_mut().insert(RETRY_AFTER, wait.into());
            response
        }
    };
    authz.counters.answered(response.status());
    response
}

fn text(status: StatusCode, why: String) -> Response<Full<Bytes>> {
    tracing::warn!(%status, why, "refused");
    let mut response = Response::new(Full::from(why + "\n"));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
