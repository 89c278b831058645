//! The middleware: decides, looks up, sets the header, calls.

use std::mem;
use std::task::{Context, Poll};

use http::{Request, Uri};
use tower::{BoxError, Service};

use crate::cache::Reader;
use crate::policy::{RequestAudience, is_safe};
use crate::{
    Audience, AudiencePolicy, Cache, Decision, ErrorKind, IdToken, Lookup, Placement,
    ResponseFuture, SourceError,
};

/// Puts an ID token on requests before the inner service gets them.
///
/// For each request:
///
/// 1. A [`RequestAudience`] among its extensions that fits its origin names the audience; else
///    the policy decides.
/// 2. A request that wants no token, or that brings one of its own where ours would go (both
///    `Authorization` and `X-Serverless-Authorization`, by the default [`Placement`]), passes
///    untouched.
/// 3. A token wants https, or loopback; otherwise the request fails.
/// 4. With the token at hand, the header is set and the inner service called, at once. Without,
///    the request waits for the token; where there is none to be had, it fails and is not sent.
///
/// # Errors
///
/// The inner service's own, and [`SourceError`] for a token that cannot be had and for a request
/// that must not be sent; [`SourceError::find`] tells them apart.
#[derive(Clone, Debug)]
pub struct AddIdToken<S, P> {
    inner: S,
    policy: P,
    tokens: Reader<Audience, IdToken>,
    placement: Placement,
}

impl<S, P> AddIdToken<S, P> {
    pub(crate) fn new(
        inner: S,
        policy: P,
        tokens: Cache<Audience, IdToken>,
        placement: Placement,
    ) -> Self {
        Self {
            inner,
            policy,
            tokens: Reader::new(tokens),
            placement,
        }
    }

    /// The service below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service below, without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, B> Service<Request<B>> for AddIdToken<S, P>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
    P: AudiencePolicy,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let uri = request.uri();
        let own = request.extensions().get::<RequestAudience>();
        let decision = match own.and_then(|own| own.for_uri(uri)) {
            Some(audience) => Decision::Token(audience.into()),
            None => self.policy.decide(uri),
        };
        if let Decision::Token(audience) = &decision
            && is_safe(uri)
            && let Some(token) = self.tokens.fresh(audience)
        {
            let value = token.header().clone();
            self.placement.place(request.headers_mut(), value);
            return ResponseFuture::inner(self.inner.call(request));
        }
        match self.consider(&request, decision) {
            Step::Pass => ResponseFuture::inner(self.inner.call(request)),
            Step::Refuse(error) => ResponseFuture::failed(error),
            Step::Token(Lookup::Hit(token)) => {
                self.placement
                    .place(request.headers_mut(), token.into_header());
                ResponseFuture::inner(self.inner.call(request))
            }
            Step::Token(Lookup::Wait(wait)) => {
                // The service that was polled ready goes along; its clone, which was not, stays.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(wait, ready, request, self.placement)
            }
        }
    }
}

/// What becomes of a request that has no token at hand.
enum Step {
    Pass,
    Refuse(SourceError),
    Token(Lookup<IdToken>),
}

impl<S, P> AddIdToken<S, P> {
    #[cold]
    fn consider<B>(&self, request: &Request<B>, decision: Decision<'_>) -> Step {
        let uri = request.uri();
        match decision {
            Decision::Pass => Step::Pass,
            Decision::Refuse => Step::Refuse(unnamed(uri)),
            Decision::Token(_) if self.placement.is_taken(request.headers()) => Step::Pass,
            Decision::Token(_) if !is_safe(uri) => Step::Refuse(unsafe_url(uri)),
            Decision::Token(audience) => Step::Token(self.tokens.lookup(&audience.derived())),
        }
    }
}

fn unnamed(uri: &Uri) -> SourceError {
    SourceError::new(
        ErrorKind::Config,
        match uri.host() {
            Some(host) => {
                format!("the policy names no audience for {host}, so nothing is sent there")
            }
            None => NO_HOST.to_owned(),
        },
    )
}

fn unsafe_url(uri: &Uri) -> SourceError {
    SourceError::new(
        ErrorKind::Config,
        match (uri.scheme_str(), uri.host()) {
            (Some(scheme), Some(host)) => format!(
                "a token is not sent to {host} by {scheme}: use https (plain http is for loopback only)"
            ),
            _ => NO_HOST.to_owned(),
        },
    )
}

const NO_HOST: &str = "the request's URL has no host, so nobody can say whom its token is for: \
    give the client whole URLs (tonic: `Client::with_origin`)";
