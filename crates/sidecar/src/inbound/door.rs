//! The door: who may come in, and what nobody may bring along.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use google_id_token::verify::{
    Authorize, Caller, IdentityHeaders, Issuer, Refusal, RefusalKind, RequireIdToken, Verifier,
};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{Either, Full};
use tower_http::auth::AsyncAuthorizeRequest;

use super::{NAME, Parts, Unchecked};
use crate::metrics::{Counters, Metrics};
use crate::proxy::{REASON, RequestBody, ResponseBody, chain, is_grpc};

/// The library's check, for all paths but those that need none; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    require: RequireIdToken<Full<Bytes>>,
    shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    unchecked: Unchecked,
    identity: IdentityHeaders,
    counters: Arc<Counters>,
    metrics: Arc<Metrics>,
}

impl Door {
    pub(crate) fn new(verifier: Verifier, unchecked: Unchecked, parts: &Parts) -> Self {
        let require = RequireIdToken::new(verifier).identity_headers(parts.identity.clone());
        Self {
            require: match parts.keep_token {
                true => require.keep_token(),
                false => require,
            },
            shared: Arc::new(Shared {
                unchecked,
                identity: parts.identity.clone(),
                counters: parts.metrics.route(NAME),
                metrics: Arc::clone(&parts.metrics),
            }),
        }
    }
}

impl AsyncAuthorizeRequest<RequestBody> for Door {
    type RequestBody = RequestBody;
    type ResponseBody = ResponseBody;
    type Future = Entering;

    fn authorize(&mut self, mut request: Request<RequestBody>) -> Entering {
        let shared = Arc::clone(&self.shared);
        if shared.unchecked.covers(request.uri().path()) {
            shared.metrics.accepted.unchecked.add();
            // Nobody has looked at these, and nobody is to take them for checked.
            shared.identity.strip(request.headers_mut());
            return Entering::Unchecked(Some(request));
        }
        Entering::Checked {
            grpc: is_grpc(request.headers()),
            authorize: self.require.authorize(request),
            shared,
        }
    }
}

/// The future of [`Door`].
#[derive(Debug)]
pub(crate) enum Entering {
    Unchecked(Option<Request<RequestBody>>),
    Checked {
        authorize: Authorize<RequestBody, Full<Bytes>>,
        grpc: bool,
        shared: Arc<Shared>,
    },
}

impl Future for Entering {
    type Output = Result<Request<RequestBody>, Response<ResponseBody>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Unchecked(request) => {
                Poll::Ready(Ok(request.take().expect("polled after it was ready")))
            }
            Self::Checked {
                authorize,
                grpc,
                shared,
            } => Poll::Ready(match ready!(Pin::new(authorize).poll(cx)) {
                Ok(request) => {
                    shared.accepted(request.extensions().get().map(Caller::issuer));
                    Ok(request)
                }
                Err(response) => Err(shared.refused(response, *grpc)),
            }),
        }
    }
}

impl Shared {
    fn accepted(&self, issuer: Option<Issuer>) {
        let accepted = &self.metrics.accepted;
        match issuer {
            Some(Issuer::Iap) => accepted.iap.add(),
            _ => accepted.google.add(),
        }
    }

    /// The answer to a refused request, in words too.
    fn refused(&self, response: Response<Full<Bytes>>, grpc: bool) -> Response<ResponseBody> {
        let (mut head, mut body) = response.into_parts();
        let refusal = head.extensions.remove::<Refusal>();
        let reason = refusal.as_ref().map_or("refused", |it| reason(it.kind()));
        self.counters.failed(reason);
        if let Some(refusal) = refusal {
            tracing::info!(reason, why = chain(&refusal), "a request was not let in");
            if !grpc {
                body = Full::from(format!("{refusal}\n"));
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                head.headers.insert(CONTENT_TYPE, plain);
            }
        }
        head.headers
            .insert(REASON, HeaderValue::from_static(reason));
        Response::from_parts(head, Either::Right(body))
    }
}

/// The kind of a refusal in one word, for metrics and programs.
fn reason(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Missing => "missing",
        RefusalKind::Ambiguous => "ambiguous",
        RefusalKind::TooLong => "too-long",
        RefusalKind::NotJwt => "not-jwt",
        RefusalKind::Encoding => "encoding",
        RefusalKind::Header => "header",
        RefusalKind::Payload => "payload",
        RefusalKind::Duplicate => "duplicate",
        RefusalKind::Algorithm => "algorithm",
        RefusalKind::Critical => "critical",
        RefusalKind::UnknownKey => "unknown-key",
        RefusalKind::SignatureRemoved => "signature-removed",
        RefusalKind::Signature => "signature",
        RefusalKind::Issuer => "issuer",
        RefusalKind::Audience => "audience",
        RefusalKind::MissingClaim => "missing-claim",
        RefusalKind::InvalidClaim => "invalid-claim",
        RefusalKind::Expired => "expired",
        RefusalKind::NotYetValid => "not-yet-valid",
        RefusalKind::Lifetime => "lifetime",
        RefusalKind::EmailNotVerified => "email-not-verified",
        RefusalKind::NotAllowed => "not-allowed",
        RefusalKind::KeysUnavailable => "keys-unavailable",
        _ => "refused",
    }
}
