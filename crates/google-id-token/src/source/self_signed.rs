//! A service account's own JWTs, for the doors that take those: Identity-Aware Proxy.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;
use tower_id_token::{Audience, Clock, ErrorKind, IdToken, SourceError};

use super::assertion::{own_claims, signed};
use crate::file::ServiceAccountFile;
use crate::jwt::id_token_from_jwt;

/// JWTs that a service account has signed with its key: no endpoint is asked.
///
/// [Identity-Aware Proxy] takes them in place of Google's ID tokens, with the URL of the resource
/// as the audience (`https://app.example.com/path`, or `https://app.example.com/*` for all of
/// it). Cloud Run does not take them. They live an hour.
///
/// [Identity-Aware Proxy]: https://cloud.google.com/iap/docs/authentication-howto#authenticate_with_a_jwt
#[derive(Clone)]
pub struct SelfSigned {
    file: Arc<ServiceAccountFile>,
}

impl SelfSigned {
    pub(super) fn new(file: Arc<ServiceAccountFile>) -> Result<Self, SourceError> {
        if file.key_id.is_some() {
            return Ok(Self { file });
        }
        Err(SourceError::new(
            ErrorKind::Config,
            format!(
                "the key file of {} has no `private_key_id`, and a JWT that it signs by itself \
                 has to name its key",
                file.email
            ),
        ))
    }

    fn sign(&self, audience: &Audience) -> Result<IdToken, SourceError> {
        let claims = own_claims(&self.file.email, audience.as_str(), Clock::default().now());
        id_token_from_jwt(&signed(&self.file, &claims)?)
    }
}

impl Service<Audience> for SelfSigned {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Ready<Result<IdToken, SourceError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        ready(self.sign(&audience))
    }
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned")
            .field("email", &self.file.email)
            .finish_non_exhaustive()
    }
}
