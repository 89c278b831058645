//! Cloud Run's exemption: a user's ID token, which is for gcloud, opens its door all the same.

use std::task::{Context, Poll};

use tower::Service;
use tower_id_token::{Audience, ErrorKind, IdToken, SourceError};

use super::{Fetch, User};
use crate::jwt::id_token_from_jwt;

/// A user's ID tokens for Cloud Run.
///
/// Whatever audience is asked for, the token's own is **gcloud's client id**: Cloud Run takes it
/// by way of an exemption, Identity-Aware Proxy and everything else do not, and any service that
/// gets one can use it as that user at any Cloud Run service. That is for a developer's own
/// machine; a program impersonates a service account instead.
#[derive(Clone, Debug)]
pub struct CloudRunUser(User);

impl CloudRunUser {
    pub(super) fn new(user: User) -> Result<Self, SourceError> {
        if GCLOUD.contains(&user.client_id()) {
            return Ok(Self(user));
        }
        Err(SourceError::new(
            ErrorKind::Config,
            format!(
                "this user's login is of the OAuth client {}, and Cloud Run takes a user's ID \
                 tokens of gcloud's own clients only. {IMPERSONATE}",
                user.client_id()
            ),
        ))
    }
}

impl Service<Audience> for CloudRunUser {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Fetch<IdToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Audience) -> Self::Future {
        let user = self.0.clone();
        Box::pin(async move {
            let answer = user.refresh().await?;
            if answer.json()?.get("id_token").is_none_or(|it| it.is_null()) {
                return Err(SourceError::new(
                    ErrorKind::Config,
                    "the user's login came without an ID token: it lacks the scope `openid`. Run \
                     `gcloud auth application-default login` again, without `--scopes` or with \
                     openid among them",
                ));
            }
            id_token_from_jwt(&answer.field("id_token")?).map_err(|error| answer.spoiled(&error))
        })
    }
}

/// What a user is told who asks for ID tokens as themselves.
pub(crate) const IMPERSONATE: &str = "Impersonate a service account instead: `gcloud auth \
    application-default login --impersonate-service-account=EMAIL`, or name it to the builder \
    (`impersonate`); your account needs roles/iam.serviceAccountOpenIdTokenCreator on it";

/// The OAuth clients of the gcloud CLI and of its application-default login.
pub(crate) const GCLOUD: [&str; 2] = [
    "32555940559.apps.googleusercontent.com",
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
];
