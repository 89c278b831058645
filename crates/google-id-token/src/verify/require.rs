//! The check as an authorizer of tower-http's: lets a request through with its caller, or answers.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderName, Request, Response, header};
use tower_http::auth::AsyncAuthorizeRequest;

use super::pick::{SERVERLESS, pick};
use super::taken::take;
use super::{Caller, IdentityHeaders, Issuer, Refusal, Verifier};

/// Lets only requests with a good ID token through, for tower-http's
/// [`AsyncRequireAuthorizationLayer`](tower_http::auth::AsyncRequireAuthorizationLayer).
///
/// The token is looked for in `X-Serverless-Authorization` and `Authorization`, and an assertion
/// of IAP's in `X-Goog-IAP-JWT-Assertion` where the verifier listens to IAP. Who called is in the
/// extensions of the request as a [`Caller`]. A request that is refused is answered by
/// [`Refusal::response`], with the [`Refusal`] in the extensions of the answer; gRPC is answered
/// as gRPC.
///
/// `R` is the body of the service's responses, and follows from it. A refusal's is the default
/// one, which is empty.
pub struct RequireIdToken<R> {
    verifier: Verifier,
    identity: Option<IdentityHeaders>,
    keep_token: bool,
    body: PhantomData<fn() -> R>,
}

impl<R> RequireIdToken<R> {
    /// Lets through whom this verifier does.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            identity: None,
            keep_token: false,
            body: PhantomData,
        }
    }

    /// Names the caller to the service behind in headers that no client can forge, and takes the
    /// token out of the request, so that the service can neither log it nor pass for its caller
    /// elsewhere: for services that are not in this process.
    ///
    /// Of the headers with tokens in them, these do not reach the service:
    ///
    /// - The one whose token was checked.
    /// - `X-Serverless-Authorization` and `X-Goog-IAP-JWT-Assertion`, whatever is in them. They
    ///   are there for a check, and what this one has not looked at is not to pass for checked.
    /// - An `Authorization` that has the checked token in it as well, by any scheme or none, and
    ///   with anything around it. It is the same token if header and payload are, whatever its
    ///   signature. So a copy whose signature was taken out goes too: Cloud Run leaves such a one
    ///   to tell a container who calls, which the headers do here; and a service that checks
    ///   tokens could only refuse it.
    ///
    /// Every other `Authorization` is the service's own and goes on as it came, byte for byte:
    /// `Basic …`, whatever is encoded in it, or another token, with its signature or without, for
    /// which nobody vouches here; a token of Google's beside IAP's assertion is one of those. Of
    /// several, each is judged by itself. No other header is looked at.
    #[must_use]
    pub fn identity_headers(mut self, headers: IdentityHeaders) -> Self {
        self.identity = Some(headers);
        self
    }

    /// Leaves the headers with tokens in them as they came, beside
    /// [`identity_headers`](Self::identity_headers): for services that check the token too.
    /// Without identity headers, nothing is taken out anyway.
    ///
    /// An assertion of IAP's stays only if it is what was checked: another could be anybody's.
    ///
    /// ```
    /// # use google_id_token::verify::{IdentityHeaders, RequireIdToken, Verifier};
    /// # fn authorizer(verifier: Verifier) -> RequireIdToken<()> {
    /// RequireIdToken::new(verifier)
    ///     .identity_headers(IdentityHeaders::new())
    ///     .keep_token()
    /// # }
    /// ```
    #[must_use]
    pub fn keep_token(mut self) -> Self {
        self.keep_token = true;
        self
    }
}

impl<R> Clone for RequireIdToken<R> {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            identity: self.identity.clone(),
            keep_token: self.keep_token,
            body: PhantomData,
        }
    }
}

impl<R> fmt::Debug for RequireIdToken<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireIdToken")
            .field("verifier", &self.verifier)
            .field("identity", &self.identity)
            .field("keep_token", &self.keep_token)
            .finish()
    }
}

impl<B, R: Default> AsyncAuthorizeRequest<B> for RequireIdToken<R> {
    type RequestBody = B;
    type ResponseBody = R;
    type Future = Authorize<B, R>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        let google = self.verifier.trusted(Issuer::Google).is_some();
        let iap = self.verifier.trusted(Issuer::Iap).is_some();
        let (checked, check) = match pick(request.headers(), google, iap) {
            Err(kind) => (None, Check::Done(Some(Err(kind.into())))),
            Ok(picked) => {
                let check = match self.verifier.verify_now(picked.token, Some(picked.issuer)) {
                    Some(result) => Check::Done(Some(result)),
                    None => {
                        let token = picked.token.to_owned();
                        let verifier = self.verifier.clone();
                        let issuer = Some(picked.issuer);
                        Check::UnderWay(Box::pin(verifier.verify_later(token, issuer)))
                    }
                };
                (Some(picked.header), check)
            }
        };
        Authorize {
            request: Some(request),
            checked,
            check,
            identity: self.identity.clone(),
            keep_token: self.keep_token,
            body: PhantomData,
        }
    }
}

/// The future of [`RequireIdToken`]. It is ready at once where the keys are at hand, without an
/// allocation of its own.
pub struct Authorize<B, R> {
    request: Option<Request<B>>,
    /// The header whose token it is about.
    checked: Option<HeaderName>,
    check: Check,
    identity: Option<IdentityHeaders>,
    keep_token: bool,
    body: PhantomData<fn() -> R>,
}

enum Check {
    Done(Option<Result<Caller, Refusal>>),
    UnderWay(Pin<Box<dyn Future<Output = Result<Caller, Refusal>> + Send>>),
}

// The request is never pinned: it is handed on whole.
impl<B, R> Unpin for Authorize<B, R> {}

impl<B, R: Default> Future for Authorize<B, R> {
    type Output = Result<Request<B>, Response<R>>;

    /// # Panics
    ///
    /// When polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.check {
            Check::Done(result) => result.take().expect("polled after it was ready"),
            Check::UnderWay(check) => ready!(check.as_mut().poll(cx)),
        };
        let mut request = self.request.take().expect("polled after it was ready");
        Poll::Ready(match result {
            Ok(caller) => {
                if let (Some(identity), Some(checked)) = (&self.identity, &self.checked) {
                    let headers = request.headers_mut();
                    if self.keep_token {
                        let kept = |name: &HeaderName| *name == SERVERLESS || name == checked;
                        identity.replace_but(headers, &caller, kept);
                    } else {
                        take(headers, checked);
                        identity.replace(headers, &caller);
                    }
                }
                request.extensions_mut().insert(caller);
                Ok(request)
            }
            Err(refusal) => {
                tracing::debug!(kind = ?refusal.kind(), %refusal, "request refused");
                Err(refusal.response(is_grpc(&request)))
            }
        })
    }
}

impl<B, R> fmt::Debug for Authorize<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").finish_non_exhaustive()
    }
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"))
}
