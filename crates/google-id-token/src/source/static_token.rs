//! One token that somebody has fetched already.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;
use tower_id_token::{Audience, ErrorKind, IdToken, SourceError};

use super::given::{Exemption, check};
use crate::Env;

/// One ID token, minted elsewhere and good until it expires: for scripts and for tests.
///
/// Asked for another audience than its own, it fails with [`ErrorKind::Config`] and names both;
/// so it does once it has expired, as nothing renews it.
#[derive(Clone)]
pub struct StaticToken {
    origin: Arc<str>,
    jwt: Arc<str>,
    exemption: Exemption,
}

impl StaticToken {
    /// This token, a JWT. White space around it is dropped.
    pub fn new(jwt: &str) -> Self {
        Self::from(GIVEN, jwt)
    }

    /// The token in this variable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where it is not set or empty, and [`ErrorKind::Config`] where it is
    /// not text.
    pub fn from_variable(env: &Env, name: &str) -> Result<Self, SourceError> {
        let jwt = env.text(name)?.ok_or_else(|| {
            let message = format!("the variable {name}, which is to hold an ID token, is not set");
            SourceError::new(ErrorKind::NotFound, message)
        })?;
        Ok(Self::from(&format!("the variable {name}"), &jwt))
    }

    /// Takes a user's token, which is for gcloud itself, for any audience: Cloud Run's exemption.
    ///
    /// See [`Builder::user_tokens_for_cloud_run`](crate::Builder::user_tokens_for_cloud_run).
    #[must_use]
    pub fn user_tokens_for_cloud_run(mut self) -> Self {
        self.exemption = Exemption::CloudRun;
        self
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    fn from(origin: &str, jwt: &str) -> Self {
        Self {
            origin: origin.into(),
            jwt: jwt.into(),
            exemption: Exemption::None,
        }
    }
}

impl Service<Audience> for StaticToken {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Ready<Result<IdToken, SourceError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        let late = (ErrorKind::Config, "nothing renews it, so give a new one");
        ready(check(
            &self.origin,
            &self.jwt,
            &audience,
            self.exemption,
            late,
        ))
    }
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

const GIVEN: &str = "the token given";
