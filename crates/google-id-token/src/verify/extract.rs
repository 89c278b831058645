//! The caller as an extractor of axum's.

use std::convert::Infallible;
use std::fmt;

use ::http::StatusCode;
use ::http::request::Parts;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};

use super::Caller;

/// Takes the caller that [`RequireIdToken`](super::RequireIdToken) has found.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = NoCaller;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoCaller> {
        parts.extensions.get().cloned().ok_or(NoCaller(()))
    }
}

/// For handlers that are reached with and without the check before them.
impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// A handler wants the caller, and nobody has checked who that is: the answer is 500, as the
/// service is put together wrongly.
#[derive(Debug)]
pub struct NoCaller(());

impl fmt::Display for NoCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the route has no RequireIdToken before it")
    }
}

impl std::error::Error for NoCaller {}

impl IntoResponse for NoCaller {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
