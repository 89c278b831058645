//! A service account's key file: a signed JWT is exchanged for a token.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower::Service;
use tower_id_token::{Audience, Clock, ErrorKind, IdToken, SourceError};

use super::assertion::{self, Wanted};
use super::{Fetch, Iam, ImpersonateLayer, SelfSigned, Target, minted, oauth};
use crate::file::{CredentialFile, ServiceAccountFile};
use crate::http::{Answer, Call, Refusal, deadline};
use crate::universe::Universe;
use crate::{AccessToken, HttpClient, Scopes};

/// A service account, by its key ([JWT bearer grant], RFC 7523).
///
/// In another universe than googleapis.com there is no such grant: the key signs an access token
/// for IAM Credentials, and that mints the ID token. The account needs
/// `roles/iam.serviceAccountTokenCreator` on itself there.
///
/// [JWT bearer grant]: https://developers.google.com/identity/protocols/oauth2/service-account
#[derive(Clone)]
pub struct ServiceAccount {
    http: HttpClient,
    file: Arc<ServiceAccountFile>,
    /// Itself, at the IAM of another universe.
    own: Option<ImpersonateLayer>,
}

impl ServiceAccount {
    /// The account of a key file with this content.
    ///
    /// Reads root certificates from the disk: call it where blocking for some milliseconds is
    /// fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with the field that is wrong.
    pub fn from_json(http: HttpClient, json: &str) -> Result<Self, SourceError> {
        match CredentialFile::parse(GIVEN, &Bytes::copy_from_slice(json.as_bytes()))? {
            CredentialFile::ServiceAccount(file) => Self::new(http, file, &Iam::default()),
            _ => Err(SourceError::new(
                ErrorKind::Config,
                format!("{GIVEN}: the field `type` is not service_account"),
            )),
        }
    }

    pub(crate) fn new(
        http: HttpClient,
        file: ServiceAccountFile,
        iam: &Iam,
    ) -> Result<Self, SourceError> {
        let own = (!file.universe.is_google())
            .then(|| {
                let iam = iam.endpoint(&file.universe);
                let own = Target::new(&iam, &file.email).map_err(|what| {
                    SourceError::new(
                        ErrorKind::Config,
                        format!("the field `client_email`: {what}"),
                    )
                })?;
                let member = format!("serviceAccount:{}", file.email);
                let layer = ImpersonateLayer::to(http.clone(), own).called_by(Some(member));
                Ok::<_, SourceError>(layer.with_email_azp())
            })
            .transpose()?;
        Ok(Self {
            http,
            file: Arc::new(file),
            own,
        })
    }

    /// Its e-mail.
    pub fn principal(&self) -> &str {
        &self.file.email
    }

    /// The account's own JWTs in place of Google's: see [`SelfSigned`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] where the key file does not name its key.
    pub fn self_signed(self) -> Result<SelfSigned, SourceError> {
        SelfSigned::new(self.file)
    }

    pub(crate) fn universe(&self) -> &Universe {
        &self.file.universe
    }

    async fn exchange(&self, wanted: Wanted<'_>) -> Result<Answer, SourceError> {
        let assertion = wanted.assertion(&self.file, Clock::default().now())?;
        let call = Call::form(
            "the token endpoint",
            self.file.token_endpoint.uri().clone(),
            &[("grant_type", GRANT), ("assertion", &assertion)],
            deadline(),
        )
        .secret(&assertion);
        self.http
            .ask(call, |refusal| self.advise(refusal, wanted))
            .await
    }

    /// An access token of its own making.
    fn own_access_token(&self, scopes: &Scopes) -> Result<AccessToken, SourceError> {
        let now = Clock::default().now();
        let (jwt, expires_at) = assertion::access_token(&self.file, scopes.as_str(), now)?;
        AccessToken::new(&jwt, expires_at)
    }

    fn advise(&self, refusal: &Refusal, wanted: Wanted<'_>) -> Option<(ErrorKind, String)> {
        let email = &self.file.email;
        let advice = match (refusal.status().as_u16(), refusal.code(), wanted) {
            (400 | 401, "invalid_grant", _) => format!(
                "The key of {email} was deleted or disabled, or this machine's clock is wrong (it \
                 says {}): mend the clock, or make a new key with `gcloud iam service-accounts \
                 keys create key.json --iam-account={email}`",
                httpdate::fmt_http_date(Clock::default().now())
            ),
            (400, _, Wanted::Audience(audience)) => {
                format!("It was asked for {email}, for the audience {audience}")
            }
            _ => return None,
        };
        Some((refusal.kind(), advice))
    }
}

impl Service<Audience> for ServiceAccount {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Fetch<IdToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if let Some(own) = &this.own {
                let access = this.own_access_token(&Scopes::new([IAM_SCOPE]))?;
                return Ok(own.mint(&access, &audience, deadline()).await?);
            }
            let answer = this.exchange(Wanted::Audience(audience.as_str())).await?;
            // Nothing else is in this answer: no lifetime, no type.
            minted(&answer, &answer.field("id_token")?, &audience)
        })
    }
}

impl Service<Scopes> for ServiceAccount {
    type Response = AccessToken;
    type Error = SourceError;
    type Future = Fetch<AccessToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, scopes: Scopes) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if this.own.is_some() {
                return this.own_access_token(&scopes);
            }
            let asked_at = Clock::default().now();
            let answer = this.exchange(Wanted::Scopes(scopes.as_str())).await?;
            oauth::access_token(&answer, asked_at)
        })
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("email", &self.file.email)
            .field("token_endpoint", &self.file.token_endpoint)
            .finish_non_exhaustive()
    }
}

const GIVEN: &str = "the JSON given";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const IAM_SCOPE: &str = "https://www.googleapis.com/auth/iam";
