//! On a 401 that blames the token: a new one, and once more what can be sent once more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use google_id_token::{Audience, Cache, IdToken, RefreshOnUnauthorized};
use http::header::WWW_AUTHENTICATE;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::retry::Policy as _;
use tower::{BoxError, Layer, Service};

use super::RequestBody;
use crate::metrics::Metrics;
use crate::policy::Policy;

/// Sends a request a second time where the first was refused for its token.
///
/// The library's `RefreshOnUnauthorized` judges the answer. A request with a body has gone by
/// then, and is not kept: its 401 passes, and the next request has the new token.
#[derive(Clone, Debug)]
pub(crate) struct Reauthorize<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    judge: RefreshOnUnauthorized<Policy>,
    metrics: Arc<Metrics>,
}

impl<S> Reauthorize<S> {
    pub(crate) fn layer(
        policy: Policy,
        tokens: Cache<Audience, IdToken>,
        metrics: Arc<Metrics>,
    ) -> impl Layer<S, Service = Self> + Clone {
        let judge = RefreshOnUnauthorized::new(policy, tokens);
        let shared = Arc::new(Shared { judge, metrics });
        tower::layer::layer_fn(move |inner| Self {
            inner,
            shared: Arc::clone(&shared),
        })
    }
}

impl<S> Service<Request<RequestBody>> for Reauthorize<S>
where
    S: Service<Request<RequestBody>, Response = Response<Incoming>, Error = BoxError> + Clone,
{
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = ReauthorizeFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let again = if request.body().is_end_stream() {
            Again::Whole(copy(&request))
        } else {
            Again::TokenOnly(request.uri().clone())
        };
        ReauthorizeFuture {
            state: State::First {
                response: self.inner.call(request),
            },
            again: Some(again),
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

/// What is kept of a request for the case of a 401.
enum Again {
    Whole(Request<RequestBody>),
    TokenOnly(Uri),
}

type Refresh = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    pub(crate) struct ReauthorizeFuture<S>
    where
        S: Service<Request<RequestBody>>,
    {
        #[pin]
        state: State<S::Future>,
        again: Option<Again>,
        inner: S,
        shared: Arc<Shared>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        First { #[pin] response: F },
        Refresh { refresh: Refresh },
        Second { #[pin] response: F },
    }
}

impl<S> Future for ReauthorizeFuture<S>
where
    S: Service<Request<RequestBody>, Response = Response<Incoming>, Error = BoxError>,
{
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::First { response } => {
                    let response = ready!(response.poll(cx))?;
                    if response.status() != StatusCode::UNAUTHORIZED {
                        return Poll::Ready(Ok(response));
                    }
                    let Some(refresh) = this
                        .again
                        .as_ref()
                        .and_then(|again| this.shared.refresh(again, &response))
                    else {
                        return Poll::Ready(Ok(response));
                    };
                    this.shared.metrics.refused_tokens.add();
                    if matches!(this.again, Some(Again::TokenOnly(_))) {
                        // The flight goes on by itself; nobody here waits for it.
                        drop(refresh);
                        return Poll::Ready(Ok(response));
                    }
                    this.state.set(State::Refresh { refresh });
                }
                StateProj::Refresh { refresh } => {
                    ready!(refresh.as_mut().poll(cx));
                    let Some(Again::Whole(request)) = this.again.take() else {
                        unreachable!("only whole requests wait for a refresh");
                    };
                    this.shared.metrics.retries.add();
                    // Always ready: see `proxy::stack`.
                    let response = this.inner.call(request);
                    this.state.set(State::Second { response });
                }
                StateProj::Second { response } => return response.poll(cx),
            }
        }
    }
}

impl Shared {
    /// A refresh of the token, where the answer blames it.
    fn refresh(&self, again: &Again, response: &Response<Incoming>) -> Option<Refresh> {
        let uri = match again {
            Again::Whole(request) => request.uri(),
            Again::TokenOnly(uri) => uri,
        };
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        let mut answer = Response::new(());
        *answer.status_mut() = response.status();
        for challenge in response.headers().get_all(WWW_AUTHENTICATE) {
            answer
                .headers_mut()
                .append(WWW_AUTHENTICATE, challenge.clone());
        }
        let mut answer = Ok::<_, BoxError>(answer);
        self.judge.clone().retry(&mut request, &mut answer)
    }
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
