//! The loop that is measured: a service called again and again, each time to the end.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, poll_fn, ready};
use std::hint::black_box;
use std::pin::Pin;

use http::{Request, Response};
use tower::Service;

use crate::request::Requests;

/// Sends requests, one after the other.
pub trait Runner: Send {
    /// Sends this many.
    fn run(&mut self, requests: usize) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Whether one service sends all requests, or a new clone of it each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// One service for all.
    Again,
    /// A clone for each, as clients do that take a service by value.
    Clone,
}

/// A [`Runner`] over any service.
#[derive(Debug)]
pub struct Loop<S> {
    /// What is called.
    pub service: S,
    /// What it is called with.
    pub requests: Requests,
    /// How it is called.
    pub mode: Use,
}

impl<S, R> Runner for Loop<S>
where
    S: Service<Request<()>, Response = R, Error: fmt::Debug, Future: Send> + Clone + Send,
{
    fn run(&mut self, requests: usize) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // The loop must not give way now and then, as tokio would have it.
        Box::pin(tokio::task::unconstrained(async move {
            match self.mode {
                Use::Again => {
                    for _ in 0..requests {
                        call(&mut self.service, self.requests.make()).await;
                    }
                }
                Use::Clone => {
                    for _ in 0..requests {
                        call(&mut self.service.clone(), self.requests.make()).await;
                    }
                }
            }
        }))
    }
}

#[inline]
async fn call<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Error: fmt::Debug>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.expect("a service that is ready");
    black_box(service.call(request).await.expect("a service that does not fail"));
}

/// The inner service: always ready, answers at once.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Service<Request<()>> for Bare {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(())))
    }
}
