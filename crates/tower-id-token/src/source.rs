//! A source is a tower service from a key to something that expires.

use tower::{BoxError, Service};

use crate::Expires;

/// What a [`Cache`](crate::Cache) can be filled from: any `tower::Service<K>` whose answer
/// [expires](Expires).
///
/// Nothing implements this by hand: it is there for every service that fits, and stands for the
/// bounds in one word. Write a source with [`tower::service_fn`]; add retries, time-outs and
/// limits with tower's own layers; fake one with `tower_test::mock`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_id_token::{Audience, Cache, IdToken, SourceError};
///
/// let source = tower::service_fn(|audience: Audience| async move {
///     // Ask your own issuer here.
///     IdToken::new("a.b.c", SystemTime::now() + Duration::from_secs(3600))
/// });
/// let tokens: Cache<Audience, IdToken> = Cache::new(source);
/// ```
pub trait Source<K>:
    Service<K, Response = Self::Value, Error = Self::Failure, Future = Self::Fetch>
    + Clone
    + Send
    + 'static
{
    /// What it hands out.
    type Value: Expires + Clone + Send + Sync + 'static;
    /// What it fails with. A [`SourceError`](crate::SourceError) keeps its kind.
    type Failure: Into<BoxError>;
    /// The fetch itself.
    type Fetch: Future<Output = Result<Self::Value, Self::Failure>> + Send + 'static;
}

impl<S, K> Source<K> for S
where
    S: Service<K> + Clone + Send + 'static,
    S::Response: Expires + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Value = S::Response;
    type Failure = S::Error;
    type Fetch = S::Future;
}
