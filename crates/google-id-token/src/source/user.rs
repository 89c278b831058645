//! A user's login by gcloud: a refresh token is exchanged for an access token.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower::Service;
use tower_id_token::{Clock, ErrorKind, SourceError};

use super::{CloudRunUser, Fetch, oauth};
use crate::file::{CredentialFile, UserFile};
use crate::http::{Answer, Call, Refusal, deadline};
use crate::universe::Universe;
use crate::{AccessToken, HttpClient, Scopes};

/// A user, by the refresh token of `gcloud auth application-default login` (RFC 6749, section 6).
///
/// A user has access tokens, and those pay for an [impersonation](crate::ImpersonateLayer). A
/// user has no ID tokens for an audience of choice: Google mints them for gcloud's own client
/// id, which [`for_cloud_run`](Self::for_cloud_run) makes the best of.
#[derive(Clone)]
pub struct User {
    http: HttpClient,
    file: Arc<UserFile>,
}

impl User {
    /// The user of a credential file with this content.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with the field that is wrong.
    pub fn from_json(http: HttpClient, json: &str) -> Result<Self, SourceError> {
        match CredentialFile::parse(GIVEN, &Bytes::copy_from_slice(json.as_bytes()))? {
            CredentialFile::User(file) => Ok(Self::new(http, file)),
            _ => Err(SourceError::new(
                ErrorKind::Config,
                format!("{GIVEN}: the field `type` is not authorized_user"),
            )),
        }
    }

    pub(crate) fn new(http: HttpClient, file: UserFile) -> Self {
        Self {
            http,
            file: Arc::new(file),
        }
    }

    /// ID tokens after all, all for gcloud's client id: see [`CloudRunUser`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where the login is not one of gcloud's own client ids.
    pub fn for_cloud_run(self) -> Result<CloudRunUser, SourceError> {
        CloudRunUser::new(self)
    }

    /// The user's e-mail, where the file has it.
    pub fn principal(&self) -> Option<&str> {
        self.file.account.as_deref()
    }

    pub(crate) fn universe(&self) -> &Universe {
        &self.file.universe
    }

    pub(super) fn client_id(&self) -> &str {
        &self.file.client_id
    }

    pub(super) async fn refresh(&self) -> Result<Answer, SourceError> {
        let file = &self.file;
        let call = Call::form(
            "the token endpoint",
            file.token_endpoint.uri().clone(),
            &[
                ("grant_type", "refresh_token"),
                ("client_id", &file.client_id),
                ("client_secret", &file.client_secret),
                ("refresh_token", &file.refresh_token),
            ],
            deadline(),
        )
        .secret(&file.client_secret)
        .secret(&file.refresh_token);
        self.http.ask(call, advise).await
    }
}

fn advise(refusal: &Refusal) -> Option<(ErrorKind, String)> {
    (refusal.kind() == ErrorKind::Denied).then(|| {
        let advice = "The login has expired or was revoked: run `gcloud auth \
                      application-default login` again";
        (ErrorKind::Denied, advice.to_owned())
    })
}

impl Service<Scopes> for User {
    type Response = AccessToken;
    type Error = SourceError;
    type Future = Fetch<AccessToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    /// The scopes are those of the login, whichever are asked for: gcloud's has `cloud-platform`.
    fn call(&mut self, _: Scopes) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let asked_at = Clock::default().now();
            oauth::access_token(&this.refresh().await?, asked_at)
        })
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("client_id", &self.file.client_id)
            .field("token_endpoint", &self.file.token_endpoint)
            .finish_non_exhaustive()
    }
}

const GIVEN: &str = "the JSON given";
