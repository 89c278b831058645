//! Envoy's external authorization: each request is answered with the header to put on it.

mod grpc;
mod http;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use ::http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{HeaderName, Request, Response, Uri};
use arc_swap::ArcSwap;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use google_id_token::{
    Audience, AudiencePolicy, Cache, Decision, ErrorKind, IdToken, Placement, SourceError,
    is_loopback,
};
use hyper::body::Incoming;
use tower::Service;

use crate::error::Error;
use crate::metrics::{Counters, Metrics};
use crate::policy::Policy;
use crate::proxy::{SERVERLESS, is_grpc};
use crate::rules::Rules;
use crate::serve::Peer;

/// Who may go where with which token; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Authz {
    policy: Arc<ArcSwap<Policy>>,
    tokens: Cache<Audience, IdToken>,
    placement: Placement,
    counters: Arc<Counters>,
    metrics: Arc<Metrics>,
}

/// What is known of a request that asks to go.
struct Asked<'a> {
    /// The host that it names.
    host: &'a str,
    path: &'a str,
    /// It brings an `Authorization` of its own.
    authorization: bool,
}

/// What becomes of it.
enum Verdict {
    /// It goes, with the token in these headers, and without those.
    Token {
        token: IdToken,
        set: &'static [HeaderName],
        remove: &'static [HeaderName],
    },
    /// It goes as it is.
    Pass,
    /// It does not go: no token may go where it wants to.
    Refuse(String),
    /// It does not go: there is no token.
    NoToken(SourceError),
}

impl Authz {
    /// # Errors
    ///
    /// For an audience that is none.
    pub(crate) fn new(
        rules: &Rules,
        tokens: Cache<Audience, IdToken>,
        placement: Placement,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        Ok(Self {
            policy: Arc::new(ArcSwap::from_pointee(Policy::new(rules, [])?)),
            tokens,
            placement,
            counters: metrics.route("check"),
            metrics,
        })
    }

    /// Takes over new rules, and says which audiences are known to be wanted.
    ///
    /// # Errors
    ///
    /// For an audience that is none; the old rules then stay.
    pub(crate) fn reload(&self, rules: &Rules) -> Result<Vec<Audience>, Error> {
        self.policy.store(Arc::new(Policy::new(rules, [])?));
        audiences(rules)
    }

    async fn judge(&self, asked: Asked<'_>) -> Verdict {
        let audience = {
            let policy = self.policy.load();
            let decision = asked
                .uri(asked.host)
                .map(|uri| decide(&policy, &uri))
                .filter(|decision| !matches!(decision, Decided::Refuse));
            // The port that callers reach Envoy at is not the service's.
            let decision = decision.or_else(|| {
                let uri = asked.uri(without_port(asked.host)?)?;
                Some(decide(&policy, &uri))
            });
            match decision {
                Some(Decided::Token(audience)) => audience,
                Some(Decided::Pass) => return Verdict::Pass,
                Some(Decided::Refuse) | None => {
                    return Verdict::Refuse(format!(
                        "no token may go to {}, so nothing does: name it with --host or --audience",
                        asked.host
                    ));
                }
            }
        };
        self.metrics.serves(|| Some(audience.clone()));
        match self.tokens.get(&audience).await {
            Ok(token) => {
                let (set, remove) = self.places(asked.authorization);
                Verdict::Token { token, set, remove }
            }
            Err(error) => Verdict::NoToken(error),
        }
    }

    /// The headers that the token goes into, and those that only the sidecar may set.
    fn places(&self, authorization: bool) -> (&'static [HeaderName], &'static [HeaderName]) {
        static FREE: [HeaderName; 1] = [AUTHORIZATION];
        static OURS: [HeaderName; 1] = [SERVERLESS];
        static IAP: [HeaderName; 1] = [PROXY_AUTHORIZATION];
        static BOTH: [HeaderName; 2] = [AUTHORIZATION, SERVERLESS];
        match self.placement {
            Placement::Authorization if !authorization => (&FREE, &OURS),
            Placement::Both if !authorization => (&BOTH, &[]),
            Placement::Proxy => (&IAP, &[]),
            _ => (&OURS, &[]),
        }
    }
}

impl Asked<'_> {
    fn uri(&self, host: &str) -> Option<Uri> {
        // Who reads it otherwise takes what stands before an `@` for the host.
        let authority: Authority = (!host.contains('@')).then(|| host.parse().ok())??;
        let mut parts = ::http::uri::Parts::default();
        parts.scheme = Some(if is_loopback(authority.host()) {
            Scheme::HTTP
        } else {
            Scheme::HTTPS
        });
        parts.authority = Some(authority);
        parts.path_and_query = Some(self.path.parse().unwrap_or(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).ok()
    }
}

/// The host of `HOST:PORT`.
fn without_port(host: &str) -> Option<&str> {
    let (bare, port) = host.rsplit_once(':')?;
    let whole = !bare.contains(':') || bare.ends_with(']');
    (whole && port.parse::<u16>().is_ok()).then_some(bare)
}

/// A decision that outlives its policy.
enum Decided {
    Token(Audience),
    Pass,
    Refuse,
}

fn decide(policy: &Policy, uri: &Uri) -> Decided {
    match policy.decide(uri) {
        Decision::Token(audience) => Decided::Token(audience.to_audience()),
        Decision::Pass => Decided::Pass,
        Decision::Refuse => Decided::Refuse,
    }
}

/// The audiences that the rules name, which are worth having at hand.
///
/// # Errors
///
/// For an audience that is none.
pub(crate) fn audiences(rules: &Rules) -> Result<Vec<Audience>, Error> {
    let audiences = rules.audiences.values();
    audiences
        .map(|audience| audience.parse().map_err(Error::from))
        .collect()
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<tonic::body::Body>, Infallible>> + Send>>;

/// Answers by gRPC who asks by gRPC, and everybody else by HTTP.
pub(crate) fn handler(
    authz: Authz,
) -> impl Fn(Request<Incoming>, &Peer) -> Answer + Clone + Send + Sync + 'static {
    let authz = Arc::new(authz);
    let server = AuthorizationServer::from_arc(Arc::clone(&authz));
    move |request, _| {
        if is_grpc(request.headers()) {
            return server.clone().call(request);
        }
        let authz = Arc::clone(&authz);
        Box::pin(async move {
            let answer = http::answer(&authz, &request).await;
            Ok(answer.map(tonic::body::Body::new))
        })
    }
}

/// Whether an error may pass by itself: what gRPC calls unavailable.
fn may_pass(error: &SourceError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Malformed)
}
