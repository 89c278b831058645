//! A workforce user's login: a refresh token is exchanged for an access token, and for the next
//! refresh token.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use serde_json::Value;
use tower::Service;
use tower_id_token::{Clock, ErrorKind, SourceError};

use super::{Fetch, oauth};
use crate::file::{CredentialFile, ExternalUserFile, Pool};
use crate::http::{Call, Refusal, deadline};
use crate::universe::Universe;
use crate::{AccessToken, HttpClient, Scopes};

/// A workforce user, by the refresh token of `gcloud auth application-default login
/// --login-config` ([AIP-4117]; RFC 6749, section 6).
///
/// The user has access tokens and no ID tokens: those are a service account's, by an
/// [impersonation](crate::ImpersonateLayer) on top.
///
/// Where the endpoint hands out a new refresh token, all clones use that from then on; the file
/// is left as it is.
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
#[derive(Clone)]
pub struct FederatedUser {
    http: HttpClient,
    file: Arc<ExternalUserFile>,
    refresh_token: Arc<Mutex<String>>,
}

impl FederatedUser {
    /// The user of a credential file with this content.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with the field that is wrong.
    pub fn from_json(http: HttpClient, json: &str) -> Result<Self, SourceError> {
        match CredentialFile::parse(GIVEN, &Bytes::copy_from_slice(json.as_bytes()))? {
            CredentialFile::ExternalUser(file) => Ok(Self::new(http, *file)),
            _ => Err(SourceError::new(
                ErrorKind::Config,
                format!("{GIVEN}: the field `type` is not external_account_authorized_user"),
            )),
        }
    }

    pub(crate) fn new(http: HttpClient, mut file: ExternalUserFile) -> Self {
        let refresh_token = std::mem::take(&mut file.refresh_token);
        Self {
            http,
            file: Arc::new(file),
            refresh_token: Arc::new(Mutex::new(refresh_token)),
        }
    }

    pub(crate) fn universe(&self) -> &Universe {
        &self.file.universe
    }

    /// The pool's members, as IAM names them.
    pub(crate) fn member(&self) -> Option<String> {
        self.file.pool.as_ref().map(Pool::member)
    }

    async fn refresh(&self) -> Result<AccessToken, SourceError> {
        let refresh_token = self.latest().clone();
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &*refresh_token),
        ];
        let uri = self.file.token_endpoint.uri().clone();
        let call = Call::form("the token endpoint", uri, &fields, deadline());
        let call = self.file.client.authenticate(call.secret(&refresh_token));
        let asked_at = Clock::default().now();
        let answer = self.http.ask(call, advise).await?;
        let access_token = oauth::access_token(&answer, asked_at)?;
        if let Some(Value::String(next)) = answer.json()?.remove("refresh_token")
            && !next.is_empty()
        {
            *self.latest() = next;
        }
        Ok(access_token)
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, String> {
        self.refresh_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn advise(refusal: &Refusal) -> Option<(ErrorKind, String)> {
    (refusal.kind() == ErrorKind::Denied).then(|| {
        let advice = "The login has expired or was revoked: run `gcloud auth \
                      application-default login --login-config=FILE` again";
        (ErrorKind::Denied, advice.to_owned())
    })
}

impl Service<Scopes> for FederatedUser {
    type Response = AccessToken;
    type Error = SourceError;
    type Future = Fetch<AccessToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    /// The scopes are those of the login, whichever are asked for.
    fn call(&mut self, _: Scopes) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.refresh().await })
    }
}

impl fmt::Debug for FederatedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederatedUser")
            .field("client_id", &self.file.client.id)
            .field("token_endpoint", &self.file.token_endpoint)
            .finish_non_exhaustive()
    }
}

const GIVEN: &str = "the JSON given";
