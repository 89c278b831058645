//! Impersonation: access tokens below, another service account's ID tokens above.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{StatusCode, header};
use serde_json::json;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_id_token::{Audience, Cache, Clock, ErrorKind, IdToken, Source, SourceError};

use super::assertion::own_claims;
use super::target::{Iam, Target};
use super::{Fetch, Metadata, minted};
use crate::endpoint::Endpoint;
use crate::http::{Call, Refusal, deadline};
use crate::universe::Universe;
use crate::{AccessToken, Env, HttpClient, Scopes};

/// Makes a source of access tokens one of ID tokens for a service account.
///
/// ```
/// # fn example(http: google_id_token::HttpClient) -> Result<(), google_id_token::SourceError> {
/// use google_id_token::{Cache, ImpersonateLayer, Metadata};
/// use tower::Layer;
///
/// // One access token serves all audiences: give the source a cache of its own.
/// let source = Cache::new(Metadata::new(http.clone(), "metadata.google.internal")?);
/// let layer = ImpersonateLayer::new(http, "robot@project.iam.gserviceaccount.com")?;
/// let tokens = Cache::new(layer.layer(source));
/// # let _: Cache<google_id_token::Audience, _> = tokens;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImpersonateLayer {
    http: HttpClient,
    target: Target,
    caller: Option<Arc<str>>,
    proof: Proof,
    /// The cache that the source is, where it is known to be one.
    renew: Option<Cache<Scopes, AccessToken>>,
    /// Who knows the universe, where nothing else tells it.
    metadata: Option<Metadata>,
    /// How much longer than others the source may take.
    patience: Duration,
    email_azp: bool,
}

/// What the account is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// `generateIdToken`.
    IdToken,
    /// `signJwt`.
    SignedJwt,
}

impl ImpersonateLayer {
    /// Tokens for this service account, by its e-mail or unique id, from Google's IAM Credentials.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for what is no service account's name.
    pub fn new(http: HttpClient, principal: &str) -> Result<Self, SourceError> {
        let iam = Iam::of(&Env::empty())?.endpoint(&Universe::default());
        let target = Target::new(&iam, principal).map_err(config)?;
        Ok(Self::to(http, target))
    }

    /// From IAM Credentials at this URL: https, or plain http on loopback.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a URL that no secret may be sent to.
    pub fn endpoint(mut self, url: &str) -> Result<Self, SourceError> {
        let iam = Endpoint::parse(url, "the IAM Credentials endpoint")?;
        self.target = self.target.at(&iam);
        Ok(self)
    }

    /// By way of this service account too: the source's owner acts as the first delegate, each
    /// delegate as the next, and the last as the target.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for what is no service account's name.
    pub fn delegate(mut self, email: &str) -> Result<Self, SourceError> {
        self.target = self.target.through(email).map_err(config)?;
        Ok(self)
    }

    /// JWTs that the account signs itself ([`signJwt`]), in place of Google's ID tokens.
    ///
    /// [Identity-Aware Proxy] takes them, with the URL of the resource as the audience; Cloud Run
    /// does not. The source needs `roles/iam.serviceAccountTokenCreator` on the account, which has
    /// to be named by its e-mail. They live an hour.
    ///
    /// [`signJwt`]: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt
    /// [Identity-Aware Proxy]: https://cloud.google.com/iap/docs/authentication-howto#authenticate_with_a_jwt
    #[must_use]
    pub fn self_signed(mut self) -> Self {
        self.proof = Proof::SignedJwt;
        self
    }

    pub(crate) fn to(http: HttpClient, target: Target) -> Self {
        Self {
            http,
            target,
            caller: None,
            proof: Proof::IdToken,
            renew: None,
            metadata: None,
            patience: Duration::ZERO,
            email_azp: false,
        }
    }

    /// Has this cache, which is the source, fetch a new access token where one is refused.
    pub(crate) fn renewing(mut self, source: Cache<Scopes, AccessToken>) -> Self {
        self.renew = Some(source);
        self
    }

    /// At the IAM of this metadata server's universe.
    pub(crate) fn in_universe_of(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// The source may take this much longer than a request.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// With the account's e-mail as the authorized party, as its own key would have it.
    pub(crate) fn with_email_azp(mut self) -> Self {
        self.email_azp = true;
        self
    }

    /// Who the source speaks for, as IAM names members: `serviceAccount:EMAIL`.
    pub(crate) fn called_by(mut self, member: Option<String>) -> Self {
        self.caller = member.map(Into::into);
        self
    }
}

impl<S> Layer<S> for ImpersonateLayer {
    type Service = Impersonate<S>;

    fn layer(&self, source: S) -> Impersonate<S> {
        Impersonate {
            source,
            to: Arc::new(self.clone()),
        }
    }
}

/// A service account's ID tokens, by [`generateIdToken`] and another identity's access tokens.
///
/// The source is any tower service from [`Scopes`] to an [`AccessToken`]. The tokens name the
/// account's e-mail (`includeEmail`).
///
/// [`generateIdToken`]: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken
#[derive(Clone)]
pub struct Impersonate<S> {
    source: S,
    to: Arc<ImpersonateLayer>,
}

impl<S> Service<Audience> for Impersonate<S>
where
    S: Source<Scopes, Value = AccessToken>,
{
    type Response = IdToken;
    type Error = SourceError;
    type Future = Fetch<IdToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        let source = self.source.clone();
        let to = Arc::clone(&self.to);
        Box::pin(async move {
            // The source's time counts too: one flight waits for both.
            let deadline = deadline() + to.patience;
            let access = source
                .oneshot(Scopes::cloud_platform())
                .await
                .map_err(|error| SourceError::from(error.into()))?;
            let refused = match to.mint(&access, &audience, deadline).await {
                Ok(token) => return Ok(token),
                Err(refused) => refused,
            };
            match to.renewed(&refused, &access).await {
                // Once: whoever refuses a new one refuses more than the token.
                Some(access) => to.mint(&access, &audience, deadline).await,
                None => Err(refused),
            }
            .map_err(SourceError::from)
        })
    }
}

/// Why there is no token, and whether the access token is to blame.
pub(super) struct Refused {
    unauthorized: bool,
    error: SourceError,
}

impl From<SourceError> for Refused {
    fn from(error: SourceError) -> Self {
        Self {
            unauthorized: false,
            error,
        }
    }
}

impl From<Refused> for SourceError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

impl ImpersonateLayer {
    /// The token for this audience, paid for with this access token.
    pub(super) async fn mint(
        &self,
        access: &AccessToken,
        audience: &Audience,
        deadline: Instant,
    ) -> Result<IdToken, Refused> {
        let (verb, field, body) = match self.proof {
            Proof::IdToken => {
                let mut body = json!({
                    "audience": audience.as_str(),
                    "includeEmail": true,
                    "delegates": self.target.delegates(),
                });
                if self.email_azp {
                    body["useEmailAzp"] = true.into();
                }
                ("generateIdToken", "token", body)
            }
            Proof::SignedJwt => {
                let (principal, now) = (self.target.principal(), Clock::default().now());
                let body = json!({
                    "payload": own_claims(principal, audience.as_str(), now).to_string(),
                    "delegates": self.target.delegates(),
                });
                ("signJwt", "signedJwt", body)
            }
        };
        let uri = self.target(deadline).await?.url(verb)?;
        let call = Call::json("IAM Credentials", uri, &body, deadline)
            .header(header::AUTHORIZATION, access.header().clone())
            .secret(access.secret());
        let mut unauthorized = false;
        let asked = self.http.ask(call, |refusal| {
            unauthorized = refusal.status() == StatusCode::UNAUTHORIZED;
            self.advise(refusal, audience)
        });
        let asked = asked.await;
        let answer = asked.map_err(|error| Refused {
            unauthorized,
            error,
        })?;
        Ok(minted(&answer, &answer.field(field)?, audience)?)
    }

    /// A new access token in place of one that was refused. None where that one is as good as new
    /// already, so that a refusal that is meant is not asked for again and again.
    async fn renewed(&self, refused: &Refused, old: &AccessToken) -> Option<AccessToken> {
        let source = self.renew.as_ref().filter(|_| refused.unauthorized)?;
        let new = source.refresh(&Scopes::cloud_platform()).await.ok()?;
        (new.secret() != old.secret()).then_some(new)
    }

    /// The target, at the IAM of the universe that it is in.
    async fn target(&self, deadline: Instant) -> Result<Cow<'_, Target>, SourceError> {
        let Some(metadata) = &self.metadata else {
            return Ok(Cow::Borrowed(&self.target));
        };
        let universe = metadata.universe(deadline).await?;
        let iam = Iam::default().endpoint(&universe);
        Ok(Cow::Owned(self.target.clone().at(&iam)))
    }

    fn advise(&self, refusal: &Refusal, audience: &Audience) -> Option<(ErrorKind, String)> {
        let principal = self.target.principal();
        let advice = match refusal.status().as_u16() {
            403 => self.how_to_allow(),
            401 => "The access token of the credentials below was not accepted".to_owned(),
            404 => format!("There is no service account {principal}"),
            400 => format!("It was asked for {principal}, for the audience {audience}"),
            _ => return None,
        };
        Some((refusal.kind(), advice))
    }

    /// The role that is missing, and the commands that give it, one for each link of the chain.
    fn how_to_allow(&self) -> String {
        let principal = self.target.principal();
        let mut member = self
            .caller
            .as_deref()
            .map_or("user:YOUR_EMAIL", |caller| caller)
            .to_owned();
        let mut commands = Vec::new();
        for delegate in self.target.delegate_names() {
            commands.push(binding(delegate, &member, "iam.serviceAccountTokenCreator"));
            member = format!("serviceAccount:{delegate}");
        }
        let (role, or) = match self.proof {
            Proof::IdToken => (
                "iam.serviceAccountOpenIdTokenCreator",
                " (or roles/iam.serviceAccountTokenCreator)",
            ),
            Proof::SignedJwt => ("iam.serviceAccountTokenCreator", ""),
        };
        commands.push(binding(principal, &member, role));
        format!(
            "To act as {principal}, {member} needs roles/{role}{or} on it; a new grant takes a \
             minute to work: {}",
            commands.join("; ")
        )
    }
}

fn binding(account: &str, member: &str, role: &str) -> String {
    format!(
        "`gcloud iam service-accounts add-iam-policy-binding {account} --member={member} \
         --role=roles/{role}`"
    )
}

fn config(message: String) -> SourceError {
    SourceError::new(ErrorKind::Config, message)
}

impl<S> fmt::Debug for Impersonate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Impersonate")
            .field("target", &self.to.target)
            .finish_non_exhaustive()
    }
}
