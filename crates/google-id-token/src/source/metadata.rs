//! The metadata server of Google Cloud: tokens for the service account that this machine runs as.

use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::uri::Authority;
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tower::Service;
use tower_id_token::{Audience, Clock, ErrorKind, IdToken, SourceError};

use super::{Fetch, minted, oauth};
use crate::endpoint::has_sound_port;
use crate::http::{Answer, Call, Refusal, deadline};
use crate::universe::Universe;
use crate::{AccessToken, HttpClient, Scopes};

/// The `default` account of a [metadata server], by its `identity` and `token` endpoints.
///
/// ID tokens are asked for with `format=full`, so that they name the account's e-mail. An answer
/// without the server's mark (`Metadata-Flavor: Google`) is not believed.
///
/// [metadata server]: https://cloud.google.com/compute/docs/instances/verifying-instance-identity
#[derive(Clone, Debug)]
pub struct Metadata {
    http: HttpClient,
    host: Arc<str>,
    universe: Arc<OnceCell<Universe>>,
}

impl Metadata {
    /// The metadata server at this `host` or `host:port`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for what is no host.
    pub fn new(http: HttpClient, host: &str) -> Result<Self, SourceError> {
        let host = host.trim_start_matches("http://").trim_end_matches('/');
        let authority = host.parse::<Authority>().ok().filter(|authority| {
            let is_host = !authority.host().is_empty() && !host.contains('@');
            is_host && has_sound_port(authority)
        });
        if authority.is_none() {
            return Err(SourceError::new(
                ErrorKind::Config,
                format!("{host:?} is no metadata server: a host or host:port is wanted"),
            ));
        }
        Ok(Self {
            http,
            host: host.into(),
            universe: Arc::default(),
        })
    }

    /// Where it is, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The universe that it is in, asked until it is known. A server too old to be asked is in
    /// googleapis.com.
    pub(crate) async fn universe(&self, deadline: Instant) -> Result<Universe, SourceError> {
        let ask = async || {
            let call = self.call(UNIVERSE, deadline)?;
            let mut is_old = false;
            let answer = self.http.ask(call, |refusal| {
                is_old = refusal.status() == StatusCode::NOT_FOUND
                    && is_metadata_server(&refusal.headers);
                advise(refusal)
            });
            match answer.await {
                Err(_) if is_old => Ok(Universe::default()),
                Err(error) => Err(error),
                Ok(answer) => {
                    let answer = believed(answer)?;
                    match answer.text()? {
                        "" => Ok(Universe::default()),
                        domain => Universe::parse(domain)
                            .map_err(|_| answer.malformed("a universe that is no domain name")),
                    }
                }
            }
        };
        self.universe.get_or_try_init(ask).await.cloned()
    }

    async fn ask(&self, path_and_query: String) -> Result<Answer, SourceError> {
        let call = self.call(&format!("{ACCOUNT}{path_and_query}"), deadline())?;
        believed(self.http.ask(call, advise).await?)
    }

    fn call(&self, path_and_query: &str, deadline: Instant) -> Result<Call, SourceError> {
        let url = format!("http://{}/computeMetadata/v1{path_and_query}", self.host);
        let uri = url.parse().map_err(|_| {
            SourceError::new(
                ErrorKind::Config,
                "this makes no URL for the metadata server",
            )
        })?;
        Ok(Call::get("the metadata server", uri, deadline).header(FLAVOR, GOOGLE))
    }
}

/// An answer that bears the mark.
fn believed(answer: Answer) -> Result<Answer, SourceError> {
    if !is_metadata_server(&answer.headers) {
        return Err(answer.malformed(
            "200, but without `Metadata-Flavor: Google`: something else answers in the metadata \
             server's place, such as a network's sign-in page",
        ));
    }
    Ok(answer)
}

impl Service<Audience> for Metadata {
    type Response = IdToken;
    type Error = SourceError;
    type Future = Fetch<IdToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, audience: Audience) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let encoded = utf8_percent_encode(audience.as_str(), QUERY);
            let answer = this
                .ask(format!("/identity?audience={encoded}&format=full"))
                .await?;
            minted(&answer, answer.text()?, &audience)
        })
    }
}

impl Service<Scopes> for Metadata {
    type Response = AccessToken;
    type Error = SourceError;
    type Future = Fetch<AccessToken>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, scopes: Scopes) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let asked_at = Clock::default().now();
            let scopes: Vec<_> = scopes.iter().collect();
            let scopes = scopes.join(",");
            let encoded = utf8_percent_encode(&scopes, QUERY);
            let answer = this.ask(format!("/token?scopes={encoded}")).await?;
            oauth::access_token(&answer, asked_at)
        })
    }
}

/// Whether an answer bears the mark of a metadata server.
pub(crate) fn is_metadata_server(headers: &HeaderMap) -> bool {
    headers.get(FLAVOR) == Some(&GOOGLE)
}

fn advise(refusal: &Refusal) -> Option<(ErrorKind, String)> {
    let advice = match refusal.status().as_u16() {
        404 => {
            "No service account is attached to this machine, pod or service (or its own is not \
             ready yet): attach one, or set GOOGLE_APPLICATION_CREDENTIALS"
        }
        _ if !is_metadata_server(&refusal.headers) => {
            "The answer has no `Metadata-Flavor: Google`, so something else may answer in the \
             metadata server's place"
        }
        400 => "The audience is what it may object to",
        _ => return None,
    };
    Some((refusal.kind(), advice.to_owned()))
}

pub(crate) const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
pub(crate) const GOOGLE: HeaderValue = HeaderValue::from_static("Google");
const ACCOUNT: &str = "/instance/service-accounts/default";
const UNIVERSE: &str = "/universe/universe-domain";
/// What stays as it is in a query's value: RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
