//! The answer to a request that is refused, in HTTP's words and in gRPC's.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::Refusal;

impl Refusal {
    /// The answer to the request, with this refusal in its extensions: [`status`](Self::status),
    /// [`challenge`](Self::challenge), `Retry-After` in seconds, and the default body.
    ///
    /// For gRPC it is a response of trailers only ("gRPC over HTTP2", Responses), with the status
    /// UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE, and the reason as its message.
    pub fn response<B: Default>(self, grpc: bool) -> Response<B> {
        let mut response = Response::new(B::default());
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if grpc {
            let code = HeaderValue::from(self.grpc_code());
            headers.insert(GRPC_STATUS, code);
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/grpc"),
            );
            if let Ok(message) = HeaderValue::try_from(self.to_string()) {
                headers.insert(GRPC_MESSAGE, message);
            }
        } else {
            *response.status_mut() = self.status();
        }
        response.extensions_mut().insert(self);
        response
    }

    fn grpc_code(&self) -> u16 {
        match self.status() {
            StatusCode::FORBIDDEN => PERMISSION_DENIED,
            StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
            _ => UNAUTHENTICATED,
        }
    }
}

/// Whole seconds, rounded up: 0 would mean at once.
fn seconds(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(up).max(1)
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PERMISSION_DENIED: u16 = 7;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;
