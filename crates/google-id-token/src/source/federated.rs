//! Workload and workforce identity federation: another party's token is exchanged for Google's.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tower::Service;
use tower_id_token::{Clock, ErrorKind, SourceError};

use super::{Fetch, Target, oauth};
use crate::file::{CredentialFile, ExternalFile, Pool};
use crate::http::{Call, Refusal, deadline};
use crate::subject::{Asking, SubjectSource};
use crate::universe::Universe;
use crate::{AccessToken, Env, HttpClient, Scopes};

/// An external account: a subject token of another party's, exchanged at Google's Security Token
/// Service for an access token ([AIP-4117], RFC 8693).
///
/// It has access tokens and no ID tokens: those are a service account's, by an
/// [impersonation](crate::ImpersonateLayer) on top.
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
#[derive(Clone)]
pub struct Federated {
    http: HttpClient,
    env: Env,
    file: Arc<ExternalFile>,
}

impl Federated {
    /// The account of a credential file with this content. Variables and files that it needs for
    /// its subject token are those of `env`.
    ///
    /// The service account that the file may name is left alone: these are the access tokens
    /// below the impersonation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with the field that is wrong.
    pub fn from_json(http: HttpClient, env: Env, json: &str) -> Result<Self, SourceError> {
        match CredentialFile::parse(GIVEN, &Bytes::copy_from_slice(json.as_bytes()))? {
            CredentialFile::External(file) => Self::new(http, env, *file),
            _ => Err(SourceError::new(
                ErrorKind::Config,
                format!("{GIVEN}: the field `type` is not external_account"),
            )),
        }
    }

    pub(crate) fn new(http: HttpClient, env: Env, file: ExternalFile) -> Result<Self, SourceError> {
        file.subject.check(&env)?;
        Ok(Self {
            http: file.subject.client(http, &env),
            env,
            file: Arc::new(file),
        })
    }

    /// Where its subject token comes from.
    pub fn subject_source(&self) -> SubjectSource {
        self.file.subject.source()
    }

    pub(crate) fn universe(&self) -> &Universe {
        &self.file.universe
    }

    /// Its pool's members, as IAM names them.
    pub(crate) fn member(&self) -> Option<String> {
        self.file.pool.as_ref().map(Pool::member)
    }

    /// The client that its access tokens are to be shown over: they may be bound to a certificate.
    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }

    /// How much longer than other sources it may take.
    pub(crate) fn patience(&self) -> Duration {
        self.file.subject.patience()
    }

    async fn exchange(&self, scopes: &Scopes) -> Result<AccessToken, SourceError> {
        let file = &*self.file;
        // The subject token's time counts too: one flight waits for both.
        let deadline = deadline() + self.patience();
        let subject_token = file
            .subject
            .token(&Asking {
                env: &self.env,
                http: &self.http,
                deadline,
                audience: &file.audience,
                token_type: &file.subject_token_type,
                impersonated: file.target.as_ref().map(Target::principal),
            })
            .await?;
        let options = match (&file.user_project, &file.client) {
            (Some(project), None) => Some(json!({ "userProject": project }).to_string()),
            _ => None,
        };
        let mut fields = vec![
            ("grant_type", GRANT),
            ("audience", &file.audience),
            ("scope", scopes.as_str()),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", &subject_token),
            ("subject_token_type", &file.subject_token_type),
        ];
        if let Some(options) = &options {
            fields.push(("options", options));
        }
        let uri = file.token_endpoint.uri().clone();
        let mut call = Call::form(STS, uri, &fields, deadline).secret(&subject_token);
        if let Some(client) = &file.client {
            call = client.authenticate(call);
        }
        let asked_at = Clock::default().now();
        let answer = self.http.ask(call, |refusal| self.advise(refusal)).await?;
        oauth::access_token(&answer, asked_at)
    }

    fn advise(&self, refusal: &Refusal) -> Option<(ErrorKind, String)> {
        let source = self.subject_source();
        let audience = &self.file.audience;
        let advice = match (refusal.status().as_u16(), refusal.code()) {
            (_, "invalid_client") => {
                "The fields `client_id` and `client_secret` of the credential file are not \
                 accepted"
                    .to_owned()
            }
            (_, "invalid_target") => format!(
                "The field `audience` of the credential file names no provider that is there and \
                 enabled: {audience}"
            ),
            (400 | 401 | 403, _) => format!(
                "The subject token (from {source}) was shown to {audience}: it may have expired, \
                 or issuer, audience or attributes are not what the pool's provider asks for"
            ),
            _ => return None,
        };
        Some((refusal.kind(), advice))
    }
}

impl Service<Scopes> for Federated {
    type Response = AccessToken;
    type Error = SourceError;
    type Future = Fetch<AccessToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, scopes: Scopes) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.exchange(&scopes).await })
    }
}

impl fmt::Debug for Federated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federated")
            .field("audience", &self.file.audience)
            .field("subject_source", &self.subject_source())
            .field("token_endpoint", &self.file.token_endpoint)
            .finish_non_exhaustive()
    }
}

const GIVEN: &str = "the JSON given";
const STS: &str = "the Security Token Service";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
