//! The layer: what the middleware is made from.

use tower::Layer;

use crate::{AddIdToken, Audience, Cache, IdToken, Placement};

/// Puts an ID token on the requests of the service below it. See [`AddIdToken`].
///
/// ```
/// # use tower_id_token::{AddIdTokenLayer, Audience, Cache, IdToken, PerOrigin, Placement};
/// # fn example(tokens: Cache<Audience, IdToken>) {
/// let layer = AddIdTokenLayer::new(PerOrigin::new(), tokens).placement(Placement::Serverless);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AddIdTokenLayer<P> {
    policy: P,
    tokens: Cache<Audience, IdToken>,
    placement: Placement,
}

impl<P> AddIdTokenLayer<P> {
    /// Tokens from this cache, for the requests that this policy names.
    pub fn new(policy: P, tokens: Cache<Audience, IdToken>) -> Self {
        Self {
            policy,
            tokens,
            placement: Placement::default(),
        }
    }

    /// Which header the token goes into; [`Placement::Authorization`] by default.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }
}

impl<S, P: Clone> Layer<S> for AddIdTokenLayer<P> {
    type Service = AddIdToken<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        AddIdToken::new(
            inner,
            self.policy.clone(),
            self.tokens.clone(),
            self.placement,
        )
    }
}
