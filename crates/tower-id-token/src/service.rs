//! The middleware: decides, looks up, sets the header, calls.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::Authority;
use http::{HeaderValue, Request, Uri};
use tower::{BoxError, Service};

use crate::cache::{Reader, Scheme};
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
/// A service that is kept and called again costs less than a clone of it for each request: it
/// remembers the header of an origin that it calls again and again, in a copy of its own (about a
/// kilobyte), for policies that [say](AudiencePolicy::by_origin_alone) that they can be remembered.
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
        // The request must not be lent to anything that is not inlined, or the compiler copies it
        // once more to call the inner service. So whatever is not simple takes it whole.
        let Some(value) = self.at_hand(&request, Scheme::Https) else {
            return self.find(request);
        };
        match self.placement.set(request.headers_mut(), value) {
            None => ResponseFuture::inner(self.inner.call(request)),
            Some(value) => self.place(request, value),
        }
    }
}

impl<S, P: AudiencePolicy> AddIdToken<S, P> {
    /// The header's value for a request by this scheme, where the policy alone decides and the
    /// token is there.
    #[inline(always)]
    fn at_hand<B>(&mut self, request: &Request<B>, scheme: Scheme) -> Option<HeaderValue> {
        let authority = plain(request, scheme)?;
        if let Some(header) = self.tokens.again(scheme, authority) {
            return Some(header.clone());
        }
        if scheme == Scheme::Http && !is_safe(request.uri()) {
            return None;
        }
        let Decision::Token(audience) = self.policy.decide(request.uri()) else {
            return None;
        };
        let (entry, often) = self.tokens.fresh(&audience)?;
        let value = entry.value.header().clone();
        if often && self.policy.by_origin_alone() {
            let entry = Arc::clone(entry);
            self.tokens.keep(scheme, authority, entry);
        }
        Some(value)
    }

    /// Decides again, and does what that takes.
    #[cold]
    #[inline(never)]
    fn find<B>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>> + Clone,
        S::Error: Into<BoxError>,
    {
        // To a service on this machine.
        if let Some(value) = self.at_hand(&request, Scheme::Http) {
            return self.place(request, value);
        }
        match self.consider(&request) {
            Step::Pass => ResponseFuture::inner(self.inner.call(request)),
            Step::Refuse(error) => ResponseFuture::failed(error),
            Step::Token(Lookup::Hit(token)) => self.place(request, token.into_header()),
            Step::Token(Lookup::Wait(wait)) => {
                // The service that was polled ready goes along; its clone, which was not, stays.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(wait, ready, request, self.placement)
            }
        }
    }

    fn consider<B>(&self, request: &Request<B>) -> Step {
        let uri = request.uri();
        let own = request.extensions().get::<RequestAudience>();
        let decision = match own.and_then(|own| own.for_uri(uri)) {
            Some(audience) => Decision::Token(audience.into()),
            None => self.policy.decide(uri),
        };
        match decision {
            Decision::Pass => Step::Pass,
            Decision::Refuse => Step::Refuse(unnamed(uri)),
            Decision::Token(_) if self.placement.is_taken(request.headers()) => Step::Pass,
            Decision::Token(_) if !is_safe(uri) => Step::Refuse(unsafe_url(uri)),
            Decision::Token(audience) => Step::Token(self.tokens.lookup(&audience.derived())),
        }
    }

    #[cold]
    #[inline(never)]
    fn place<B>(&mut self, mut request: Request<B>, value: HeaderValue) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        self.placement.place(request.headers_mut(), value);
        ResponseFuture::inner(self.inner.call(request))
    }
}

/// The authority of a URL by this scheme, if nothing else decides about the request.
#[inline]
fn plain<B>(request: &Request<B>, scheme: Scheme) -> Option<&str> {
    let uri = request.uri();
    let own = request.extensions().get::<RequestAudience>();
    let name = match scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
    };
    if own.is_some() || uri.scheme_str() != Some(name) {
        return None;
    }
    uri.authority().map(Authority::as_str)
}

/// What becomes of a request that has no token at hand.
enum Step {
    Pass,
    Refuse(SourceError),
    Token(Lookup<IdToken>),
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
