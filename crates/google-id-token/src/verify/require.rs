//! The check as an authorizer of tower-http's: lets a request through with its caller, or answers.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderName, Request, Response, header};
use tower_http::auth::AsyncAuthorizeRequest;

use super::pick::{is_in_authorization, pick};
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
    body: PhantomData<fn() -> R>,
}

impl<R> RequireIdToken<R> {
    /// Lets through whom this verifier does.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            identity: None,
            body: PhantomData,
        }
    }

    /// Names the caller to the service behind in headers that no client can forge, and takes the
    /// token out of the request: for services that are not in this process.
    #[must_use]
    pub fn identity_headers(mut self, headers: IdentityHeaders) -> Self {
        self.identity = Some(headers);
        self
    }
}

impl<R> Clone for RequireIdToken<R> {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            identity: self.identity.clone(),
            body: PhantomData,
        }
    }
}

impl<R> fmt::Debug for RequireIdToken<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireIdToken")
            .field("verifier", &self.verifier)
            .field("identity", &self.identity)
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
        let mut copied = false;
        let (token_header, check) = match pick(request.headers(), google, iap) {
            Err(kind) => (None, Check::Done(Some(Err(kind.into())))),
            Ok(picked) => {
                copied =
                    self.identity.is_some() && is_in_authorization(request.headers(), picked.token);
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
            token_header,
            copied,
            check,
            identity: self.identity.clone(),
            body: PhantomData,
        }
    }
}

/// The future of [`RequireIdToken`]. It is ready at once where the keys are at hand, without an
/// allocation of its own.
pub struct Authorize<B, R> {
    request: Option<Request<B>>,
    token_header: Option<HeaderName>,
    /// The token is in `Authorization` too, or there alone.
    copied: bool,
    check: Check,
    identity: Option<IdentityHeaders>,
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
                if let Some(identity) = &self.identity {
                    if let Some(token) = &self.token_header {
                        request.headers_mut().remove(token);
                    }
                    if self.copied {
                        request.headers_mut().remove(header::AUTHORIZATION);
                    }
                    identity.replace(request.headers_mut(), &caller);
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
