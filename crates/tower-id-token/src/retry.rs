//! A second try with a new token, where the server says that it did not like the old one.

use std::pin::Pin;

use http::header::WWW_AUTHENTICATE;
use http::{Request, Response, StatusCode};
use tower::retry::Policy;

use crate::policy::RequestAudience;
use crate::{Audience, AudiencePolicy, Cache, Decision, IdToken};

/// A policy for tower's [`RetryLayer`](tower::retry::RetryLayer): on a 401 that blames the token,
/// fetch a new one and try once more.
///
/// It acts on `WWW-Authenticate: Bearer … error="invalid_token"` ([RFC 6750, section 3]; Cloud
/// Run's answer to a token that it does not accept), so an app's own 401 passes; and never on 403,
/// which no new token mends. The fetch is shared by all who wait for it, and is left out where
/// the token is less than ten seconds old.
///
/// It stands right above [`AddIdToken`](crate::AddIdToken), with the same policy and cache, and
/// below a layer that follows redirects: from above, it would renew the token of the first hop,
/// whichever hop refused. Requests are cloned to be sent again, so bodies have to be `Clone`
/// (`Full`, `Empty`, `String`).
///
/// [RFC 6750, section 3]: https://www.rfc-editor.org/rfc/rfc6750#section-3
///
/// ```
/// # use tower_id_token::{AddIdTokenLayer, Audience, Cache, IdToken, PerOrigin, RefreshOnUnauthorized};
/// # fn example(tokens: Cache<Audience, IdToken>) {
/// use tower::{ServiceBuilder, retry::RetryLayer};
///
/// let stack = ServiceBuilder::new()
///     .layer(RetryLayer::new(RefreshOnUnauthorized::new(PerOrigin::new(), tokens.clone())))
///     .layer(AddIdTokenLayer::new(PerOrigin::new(), tokens));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RefreshOnUnauthorized<P> {
    policy: P,
    tokens: Cache<Audience, IdToken>,
    tried: bool,
}

impl<P> RefreshOnUnauthorized<P> {
    /// Refreshes tokens in this cache, for the audiences that this policy gives.
    pub fn new(policy: P, tokens: Cache<Audience, IdToken>) -> Self {
        Self {
            policy,
            tokens,
            tried: false,
        }
    }
}

impl<P, B, R, E> Policy<Request<B>, Response<R>, E> for RefreshOnUnauthorized<P>
where
    P: AudiencePolicy,
    B: Clone,
{
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Self::Future> {
        let response = result.as_ref().ok()?;
        if self.tried || !blames_the_token(response) {
            return None;
        }
        let uri = request.uri();
        let own = request.extensions().get::<RequestAudience>();
        let audience = match own.and_then(|own| own.for_uri(uri)) {
            Some(audience) => audience.clone(),
            None => match self.policy.decide(uri) {
                Decision::Token(audience) => audience.to_audience(),
                Decision::Pass | Decision::Refuse => return None,
            },
        };
        self.tried = true;
        let refresh = self.tokens.refresh(&audience);
        Some(Box::pin(async move {
            // A failure shows itself in the second try, as the layer's own error or as the 401.
            let _ = refresh.await;
        }))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

fn blames_the_token<R>(response: &Response<R>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        && response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .any(|challenge| {
                let challenge = challenge.to_str().unwrap_or_default();
                challenge
                    .get(..6)
                    .is_some_and(|scheme| scheme.eq_ignore_ascii_case("Bearer"))
                    && (challenge.contains("error=\"invalid_token\"")
                        || challenge.contains("error=invalid_token"))
            })
}
