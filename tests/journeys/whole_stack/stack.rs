//! The whole stack, and the world that it stands in.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use google_emulator::{Body, Credential, Emulator, Journal, RunService, Server};
use google_id_token::{
    AddIdTokenLayer, Audience, AudiencePolicy, Cache, Clock, IdToken, RefreshOnUnauthorized,
};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tower::retry::RetryLayer;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::trace::TraceLayer;

use crate::world::{found, hyper, loopback};

/// Trace → FollowRedirect → Retry → AddIdToken → Timeout → client.
///
/// A retry of failures goes above redirects. This one, which replaces tokens, goes below: it must
/// see the URL of the hop that refused.
pub(super) fn stack<P>(
    policy: P,
    tokens: Cache<Audience, IdToken>,
    limit: Duration,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl http_body::Body<Error: Into<BoxError>>>,
    Error = BoxError,
> + Clone
where
    P: AudiencePolicy + Clone,
{
    let refresh = RefreshOnUnauthorized::new(policy.clone(), tokens.clone());
    ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(FollowRedirectLayer::new())
        .layer(RetryLayer::new(refresh))
        .layer(AddIdTokenLayer::new(policy, tokens))
        .timeout(limit)
        .service(hyper())
}

/// Two services, of which one redirects and the other tells the key of the caller's token; and a
/// clock that moves when it is told to.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) tokens: Cache<Audience, IdToken>,
    seconds: Arc<AtomicU64>,
}

impl World {
    pub(super) async fn new() -> Self {
        let seconds = Arc::new(AtomicU64::new(1_800_000_000));
        let clock = {
            let seconds = Arc::clone(&seconds);
            move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed))
        };
        let emulator = Emulator::builder()
            .clock(clock.clone())
            .run(RunService::new("front").container(service_fn(redirect)))
            .run(RunService::new("kid").container(service_fn(tell_key)))
            .build();
        let server = emulator.serve().await.unwrap();
        let credentials = found(&server, &Credential::metadata())
            .cache(Cache::builder().clock(Clock::from_fn(clock)));
        let tokens = credentials.build().await.unwrap().id_tokens();
        Self {
            server,
            tokens,
            seconds,
        }
    }

    pub(super) fn stack(
        &self,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<impl http_body::Body<Error: Into<BoxError>>>,
        Error = BoxError,
    > + Clone {
        stack(loopback(), self.tokens.clone(), MINUTE)
    }

    pub(super) fn pass(&self, time: Duration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    pub(super) fn journal(&self) -> Journal {
        self.server.emulator().journal()
    }

    pub(super) fn url(&self, service: &str) -> String {
        self.server.run_url(service)
    }

    pub(super) fn redirect_to(&self, url: &str) -> String {
        format!("{}/?{url}", self.url("front"))
    }
}

async fn redirect(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let to = request.uri().query().unwrap_or_default();
    let answer = Response::builder().status(307).header("location", to);
    Ok(answer.body(Body::empty()).unwrap())
}

/// The id of the key that signed the caller's token.
async fn tell_key(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let Some(token) = request.headers().get("authorization") else {
        return Ok(Response::new("no token".into()));
    };
    let header = token.to_str().unwrap()["Bearer ".len()..].split('.').next();
    let header = URL_SAFE_NO_PAD.decode(header.unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    Ok(Response::new(Body::from(
        header["kid"].as_str().unwrap().to_owned(),
    )))
}

/// Longer than anything here takes.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
