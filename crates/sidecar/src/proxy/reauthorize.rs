//! On a 401 that blames the token: a new one, and once more what can be sent once more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use google_id_token::{Audience, Cache, IdToken, RefreshOnUnauthorized};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::retry::Policy as _;
use tower::{BoxError, Layer, Service};

use super::{RequestBody, ResponseBody, audience};
use crate::metrics::Metrics;
use crate::policy::Policy;

/// Sends a request a second time where the first was refused for its token.
///
/// The library's `RefreshOnUnauthorized` judges the answer. A request with a body has gone by
/// then, and is not kept: its 401 passes, and the next request has the new token.
#[derive(Clone, Debug)]
pub(crate) struct Reauthorize<S> {
    inner: S,
    shared: Arc<Shared<S>>,
}

#[derive(Debug)]
struct Shared<S> {
    /// What second attempts go through.
    inner: S,
    judge: RefreshOnUnauthorized<Policy>,
    policy: Policy,
    metrics: Arc<Metrics>,
}

impl<S> Reauthorize<S> {
    pub(crate) fn layer(
        policy: Policy,
        tokens: Cache<Audience, IdToken>,
        metrics: Arc<Metrics>,
    ) -> impl Layer<S, Service = Self> + Clone
    where
        S: Clone,
    {
        tower::layer::layer_fn(move |inner: S| Self {
            shared: Arc::new(Shared {
                inner: inner.clone(),
                judge: RefreshOnUnauthorized::new(policy.clone(), tokens.clone()),
                policy: policy.clone(),
                metrics: Arc::clone(&metrics),
            }),
            inner,
        })
    }
}

impl<S> Service<Request<RequestBody>> for Reauthorize<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = BoxError> + Clone,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = ReauthorizeFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Shared {
            policy, metrics, ..
        } = &*self.shared;
        metrics.serves(|| audience(policy, request.uri()));
        let again = if request.body().is_end_stream() {
            Again::Whole(Head::copy(&request))
        } else {
            Again::TokenOnly(request.uri().clone())
        };
        ReauthorizeFuture {
            state: State::First {
                response: self.inner.call(request),
            },
            again,
            shared: Arc::clone(&self.shared),
        }
    }
}

/// What is kept of a request for the case of a 401.
enum Again {
    Whole(Head),
    TokenOnly(Uri),
}

/// A request without a body. Its headers are kept as a list: most are never needed again.
struct Head {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

type Refresh = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    pub(crate) struct ReauthorizeFuture<S>
    where
        S: Service<Request<RequestBody>>,
    {
        #[pin]
        state: State<S::Future>,
        again: Again,
        shared: Arc<Shared<S>>,
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
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = BoxError> + Clone,
{
    type Output = Result<Response<ResponseBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::First { response } => {
                    let response = ready!(response.poll(cx))?;
                    if response.status() != StatusCode::UNAUTHORIZED {
                        return Poll::Ready(Ok(response));
                    }
                    let uri = match &*this.again {
                        Again::Whole(head) => &head.uri,
                        Again::TokenOnly(uri) => uri,
                    };
                    let Some(refresh) = this.shared.refresh(uri, &response) else {
                        return Poll::Ready(Ok(response));
                    };
                    this.shared.metrics.refused_tokens.add();
                    if matches!(this.again, Again::TokenOnly(_)) {
                        // The flight goes on by itself; nobody here waits for it.
                        drop(refresh);
                        return Poll::Ready(Ok(response));
                    }
                    this.state.set(State::Refresh { refresh });
                }
                StateProj::Refresh { refresh } => {
                    ready!(refresh.as_mut().poll(cx));
                    let Again::Whole(head) = this.again else {
                        unreachable!("only whole requests wait for a refresh");
                    };
                    this.shared.metrics.retries.add();
                    // Always ready: see `proxy::stack`.
                    let response = this.shared.inner.clone().call(head.take());
                    this.state.set(State::Second { response });
                }
                StateProj::Second { response } => return response.poll(cx),
            }
        }
    }
}

impl<S> Shared<S> {
    /// A refresh of the token, where the answer blames it.
    fn refresh(&self, uri: &Uri, response: &Response<ResponseBody>) -> Option<Refresh> {
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

impl Head {
    fn copy(request: &Request<RequestBody>) -> Self {
        let headers = request.headers();
        let mut list = Vec::with_capacity(headers.len());
        list.extend(
            headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: list,
        }
    }

    fn take(&mut self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = std::mem::take(&mut self.method);
        *request.uri_mut() = std::mem::take(&mut self.uri);
        for (name, value) in self.headers.drain(..) {
            request.headers_mut().append(name, value);
        }
        request
    }
}
