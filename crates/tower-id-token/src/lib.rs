//! Puts a fresh ID token on every request of a tower client, whatever mints the token.
//!
//! Three pieces fit together:
//!
//! 1. A [`Source`] mints tokens: any `tower::Service` from an [`Audience`] to an [`IdToken`].
//! 2. A [`Cache`] makes it shared, always ready and single-flight, and renews tokens ahead of
//!    their end.
//! 3. [`AddIdTokenLayer`] asks an [`AudiencePolicy`] whom a request's token is for, takes the
//!    token from the cache, and sets one sensitive header.
//!
//! This crate has no TLS, no crypto, no JSON and no URL of any issuer in it. Google's ways to
//! prove who you are come with the `google-id-token` crate, which re-exports this one.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use http::{Request, Response};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_id_token::{AddIdTokenLayer, Audience, Cache, IdToken, PerOrigin};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let tokens = Cache::new(service_fn(|_: Audience| async {
//!     IdToken::new("a.b.c", SystemTime::now() + Duration::from_secs(3600))
//! }));
//! let client = ServiceBuilder::new()
//!     .layer(AddIdTokenLayer::new(PerOrigin::new(), tokens))
//!     .service_fn(|request: Request<()>| async move {
//!         // Any HTTP client stands here.
//!         assert_eq!(request.headers()["authorization"], "Bearer a.b.c");
//!         Ok::<_, BoxError>(Response::new(()))
//!     });
//!
//! let request = Request::get("https://hello-abc123-uc.a.run.app/").body(())?;
//! client.oneshot(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where it goes in a stack
//!
//! Trace → Retry → FollowRedirect → Retry([`RefreshOnUnauthorized`]) → **AddIdToken** → Timeout →
//! client. Below retry, so that each attempt carries a token that lives; below redirects, so that
//! each hop is judged by its own URL, and a 401 renews the token of the hop that it came from.
//!
//! # What it promises
//!
//! - No token, no request: where a policy wants a token and there is none, the request fails with
//!   a [`SourceError`] and is not sent.
//! - No token to strangers: only to hosts that the policy names, and by https only (plain http to
//!   loopback excepted).
//! - A token in hand costs a request no allocation and no lock.
//! - No token in any error, log or `Debug`.

mod audience;
mod cache;
mod clock;
mod error;
mod future;
mod layer;
mod placement;
mod policy;
mod probed;
mod retry;
mod service;
mod source;
mod token;

pub use self::audience::{Audience, AudienceRef};
pub use self::cache::{Cache, CacheBuilder, Key, Lookup, Wait};
pub use self::clock::Clock;
pub use self::error::{ErrorKind, SourceError};
pub use self::future::ResponseFuture;
pub use self::layer::AddIdTokenLayer;
pub use self::placement::Placement;
pub use self::policy::{AudiencePolicy, ByHost, Decision, PerOrigin, RequestAudience, is_loopback};
pub use self::retry::RefreshOnUnauthorized;
pub use self::service::AddIdToken;
pub use self::source::Source;
pub use self::token::{Expires, IdToken};
