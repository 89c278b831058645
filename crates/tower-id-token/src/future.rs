//! The response future: the inner one, and now and then a wait for the token before it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use crate::{IdToken, Placement, SourceError, Wait};

pin_project! {
    /// The future of [`AddIdToken`](crate::AddIdToken).
    ///
    /// On a hit it is the inner future and a tag; what waiting takes is boxed.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S::Future, Box<Miss<S, B>>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, M> {
        Inner {
            #[pin]
            response: F,
        },
        Wait {
            miss: M,
        },
        Failed {
            error: Option<SourceError>,
        },
    }
}

/// A request that waits for its token, with the readied service that it will go to.
struct Miss<S, B> {
    wait: Wait<IdToken>,
    service: S,
    request: Option<Request<B>>,
    placement: Placement,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(crate) fn inner(response: S::Future) -> Self {
        Self {
            state: State::Inner { response },
        }
    }

    #[cold]
    pub(crate) fn failed(error: SourceError) -> Self {
        Self {
            state: State::Failed { error: Some(error) },
        }
    }

    #[cold]
    pub(crate) fn wait(
        wait: Wait<IdToken>,
        service: S,
        request: Request<B>,
        placement: Placement,
    ) -> Self {
        let miss = Box::new(Miss {
            wait,
            service,
            request: Some(request),
            placement,
        });
        Self {
            state: State::Wait { miss },
        }
    }

    /// Until the inner service has been called.
    #[cold]
    fn poll_token(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        let mut state = self.project().state;
        let response = match state.as_mut().project() {
            StateProj::Inner { .. } => return Poll::Ready(Ok(())),
            StateProj::Wait { miss } => {
                let token = ready!(Pin::new(&mut miss.wait).poll(cx))?;
                let mut request = miss.request.take().expect("polled after it was ready");
                miss.placement
                    .place(request.headers_mut(), token.into_header());
                miss.service.call(request)
            }
            StateProj::Failed { error } => {
                return Poll::Ready(Err(error.take().expect("polled after it was ready")));
            }
        };
        state.set(State::Inner { response });
        Poll::Ready(Ok(()))
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project().state.project() {
                StateProj::Inner { response } => return response.poll(cx).map_err(Into::into),
                StateProj::Wait { .. } | StateProj::Failed { .. } => {
                    ready!(self.as_mut().poll_token(cx))?;
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
