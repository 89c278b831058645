//! The proxy: one chain of layers for each route.

mod body;
mod client;
mod headers;
mod reauthorize;
mod rescue;
mod rewrite;
mod route;
mod router;
mod tunnel;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use google_id_token::{
    AddIdTokenLayer, Audience, AudiencePolicy, Cache, Decision, IdToken, Placement,
};
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::timeout::TimeoutLayer;
use tower::{Service, ServiceBuilder};

pub(crate) use self::body::RequestBody;
pub(crate) use self::client::{Settings, Transport, Upstreams};
#[cfg(any(feature = "ext-authz", feature = "inbound"))]
pub(crate) use self::headers::SERVERLESS;
pub(crate) use self::headers::{Direction, forwarded};
use self::reauthorize::Reauthorize;
#[cfg(any(feature = "ext-authz", feature = "inbound"))]
pub(crate) use self::rescue::chain;
#[cfg(feature = "inbound")]
pub(crate) use self::rescue::{Failure, REASON};
#[cfg(feature = "ext-authz")]
pub(crate) use self::rescue::{RETRY, seconds};
pub(crate) use self::rescue::{Rescue, is_grpc};
pub(crate) use self::rewrite::Rewrite;
pub(crate) use self::route::{Route, Upstream};
use self::router::Router;
pub(crate) use self::tunnel::Tunnels;
use crate::drain::Drain;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::rules::Rules;
use crate::serve::Peer;

/// The service's body, or the sidecar's own words.
pub(crate) type ResponseBody = Either<Incoming, Full<Bytes>>;

/// What every route's chain is made with.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) tokens: Cache<Audience, IdToken>,
    pub(crate) placement: Placement,
    pub(crate) upstreams: Upstreams,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    /// Callers come from other machines, by whatever name this one has there.
    pub(crate) any_host: bool,
}

/// The way of a request, from the top down.
fn stack(route: Arc<Route>, policy: &Policy, parts: &Parts) -> Result<impl Stack + use<>, Error> {
    let tunnels = Tunnels::new(parts.drain.clone());
    let transport = route
        .upstream
        .as_ref()
        .map_or(Transport::Tls, Upstream::transport);
    let upstream = parts.upstreams.upstream(transport)?;
    Ok(ServiceBuilder::new()
        // Answers for every failure below (the list is in rescue.rs), and counts all answers.
        .layer(Rescue::layer(Arc::clone(&route)))
        // Gives the request its URL at the service, takes out what ends at a proxy and what only
        // the sidecar may say; joins upgrades, and leads `Location` back here.
        .layer(Rewrite::layer(
            Arc::clone(&route),
            Direction::Out(parts.placement),
            tunnels,
        ))
        // On a 401 that blames the token, gets a new one, and sends again what it can. Counts
        // requests that live on borrowed time.
        .layer(Reauthorize::layer(
            policy.clone(),
            parts.tokens.clone(),
            Arc::clone(&parts.metrics),
        ))
        // Puts the token on. Without one, nothing goes further down.
        .layer(AddIdTokenLayer::new(policy.clone(), parts.tokens.clone()).placement(parts.placement))
        // Gives the service so long to begin its answer, if it is not to have all the time.
        .option_layer(parts.response_timeout.map(TimeoutLayer::new))
        // Always ready, as is everything above it: so no layer has to wait before it calls.
        .service(upstream))
}

/// What the layers of a route make together.
pub(crate) trait Stack:
    Service<
        Request<RequestBody>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Stack for S where
    S: Service<
            Request<RequestBody>,
            Response = Response<ResponseBody>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// The routes by these rules, and the audiences that they are known to want.
fn routes(
    rules: &Rules,
    parts: &Parts,
) -> Result<(Router<impl Stack + use<>>, Vec<Audience>), Error> {
    let urls = rules.url.iter().chain(rules.routes.values());
    let upstreams: Vec<Upstream> = urls
        .map(|url| Upstream::parse(url))
        .collect::<Result<_, _>>()?;
    let policy = Policy::new(rules, upstreams.iter().map(|it| it.authority.host()))?;
    let mut audiences: Vec<_> = upstreams
        .iter()
        .filter_map(|upstream| audience(&policy, &upstream.root()))
        .collect();
    audiences.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    audiences.dedup();
    let router = Router::new(rules, parts.any_host, policy.clone(), |name, upstream| {
        let counters = parts.metrics.route(&name);
        let route = Route {
            name,
            upstream,
            counters,
        };
        stack(Arc::new(route), &policy, parts)
    })?;
    Ok((router, audiences))
}

/// The audience of requests to this URL, if they want a token.
pub(crate) fn audience(policy: &Policy, uri: &Uri) -> Option<Audience> {
    match policy.decide(uri) {
        Decision::Token(audience) => Some(audience.to_audience()),
        Decision::Pass | Decision::Refuse => None,
    }
}

/// The proxy by these rules: how it answers requests, how it takes over new rules, and the
/// audiences that it is known to want.
///
/// # Errors
///
/// For rules that are not right.
pub(crate) fn proxy(
    rules: &Rules,
    parts: Parts,
) -> Result<Proxy<impl Handler + use<>, impl Reload + use<>>, Error> {
    let (router, audiences) = routes(rules, &parts)?;
    let router = Arc::new(ArcSwap::from_pointee(router));
    let swap = Arc::clone(&router);
    let nowhere = parts.metrics.route("none");
    let reload = move |rules: &Rules| {
        let (router, audiences) = routes(rules, &parts)?;
        swap.store(Arc::new(router));
        Ok(audiences)
    };
    let mut router = arc_swap::Cache::new(router);
    let mut mine: Option<Mine<Router<_>, _>> = None;
    let handler = move |mut request: Request<Incoming>, peer: &Peer| {
        forwarded(request.headers_mut(), peer.as_ref());
        let router = router.load();
        let stack = match &mut mine {
            Some(mine) if mine.is_for(router, &mut request) => &mut mine.stack,
            mine => match router.find(&request) {
                Ok(found) => Mine::of(mine, router, found, router.decides_by(&request)),
                Err(failure) => {
                    let reason = failure.reason();
                    tracing::info!(reason, "a request found no route");
                    let response = failure.answer(is_grpc(request.headers()));
                    nowhere.failed(reason);
                    nowhere.answered(response.status());
                    return Answer::Own {
                        response: Some(response),
                    };
                }
            },
        };
        // Always ready: see `stack`.
        Answer::Stack {
            response: stack.call(request.map(RequestBody::Caller)),
        }
    };
    Ok(Proxy {
        handler,
        reload,
        audiences,
    })
}

/// A connection's own copy of the stack that it used last: callers use the same one again and
/// again, and one's own knows the token of the last time.
pub(crate) struct Mine<O, S> {
    origin: Arc<O>,
    /// Where in it the stack stands that this is the copy of.
    address: usize,
    /// The `Host` that leads there, whatever else a request says; none where it takes more.
    /// A copy of its own: one of a request's would keep all that was read with it.
    host: Option<HeaderValue>,
    stack: S,
}

impl<O, S: Clone> Clone for Mine<O, S> {
    fn clone(&self) -> Self {
        Self {
            origin: Arc::clone(&self.origin),
            address: self.address,
            host: self.host.clone(),
            stack: self.stack.clone(),
        }
    }
}

impl<O, S: Clone> Mine<O, S> {
    /// One's own copy of the stack that was found in this origin.
    pub(crate) fn of<'a>(
        mine: &'a mut Option<Self>,
        origin: &Arc<O>,
        found: &S,
        host: Option<&HeaderValue>,
    ) -> &'a mut S {
        let address = std::ptr::from_ref(found).addr();
        let same = mine
            .as_ref()
            .is_some_and(|mine| mine.address == address && Arc::ptr_eq(&mine.origin, origin));
        if !same {
            *mine = None;
        }
        let mine = mine.get_or_insert_with(|| Self {
            origin: Arc::clone(origin),
            address,
            host: None,
            stack: found.clone(),
        });
        mine.host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        &mut mine.stack
    }
}

impl<S> Mine<Router<S>, S> {
    /// Whether this is the stack for a request, as far as that can be told at a glance.
    ///
    /// Gives such a request the host that is kept here for its own: who holds on to that, for
    /// `Location`, then does not hold on to all that was read with it.
    fn is_for<B>(&self, router: &Arc<Router<S>>, request: &mut Request<B>) -> bool {
        if self.host.is_none()
            || !Arc::ptr_eq(&self.origin, router)
            || self.host.as_ref() != router.decides_by(request)
        {
            return false;
        }
        if let (Some(host), Some(own)) = (&self.host, request.headers_mut().get_mut(HOST)) {
            own.clone_from(host);
        }
        true
    }
}

pin_project! {
    /// The answer of a stack, or one of the sidecar's own.
    #[project = AnswerProj]
    pub(crate) enum Answer<F> {
        Stack { #[pin] response: F },
        Own { response: Option<Response<ResponseBody>> },
    }
}

impl<F> Future for Answer<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerProj::Stack { response } => response.poll(cx),
            AnswerProj::Own { response } => {
                Poll::Ready(Ok(response.take().expect("polled after it was ready")))
            }
        }
    }
}

/// What [`proxy`] makes.
pub(crate) struct Proxy<H, R> {
    pub(crate) handler: H,
    pub(crate) reload: R,
    pub(crate) audiences: Vec<Audience>,
}

/// What answers requests.
pub(crate) trait Handler:
    FnMut(Request<Incoming>, &Peer) -> Self::Answer + Clone + Send + Sync + 'static
{
    /// The answer, in time.
    type Answer: Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + 'static;
}

impl<H, F> Handler for H
where
    H: FnMut(Request<Incoming>, &Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + 'static,
{
    type Answer = F;
}

/// What takes over new rules, and says which audiences they are known to want.
pub(crate) trait Reload:
    Fn(&Rules) -> Result<Vec<Audience>, Error> + Send + 'static
{
}

impl<R> Reload for R where R: Fn(&Rules) -> Result<Vec<Audience>, Error> + Send + 'static {}
